import { pause } from "../../tests/support/until.ts";
import { startCrowd, stoppedAt, takenOverAt } from "./crowd.ts";
import { now } from "./protocol.ts";
import { type Row, rowOf } from "./rows.ts";
import type { World } from "./world.ts";

/** What is measured of faults is measured with this TTL. */
const faultTtlMs = 5_000;
/** Elections at a time. */
const crashCrowd = 10;
const cutCrowd = 5;
/** From one round to the next the fault comes so much later after the start. */
const stepMs = 300;
const settleMs = 500;

/** The leader's process is killed: how long until another leads. */
export async function measureCrash(world: World, sites: readonly [number, number], rounds: number): Promise<Row[]> {
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await world.etcd.lead(0);
    const crowd = await startCrowd(world, sites, { size: crashCrowd, ttlMs: faultTtlMs });
    await pause(settleMs + round * stepMs);
    const killedAt = now();
    await crowd.leader.kill();
    values.push(...(await takenOverAt(crowd, limitMs(world))).map((at) => at - killedAt));
    await world.dismiss([crowd.leader, crowd.standby]);
  }
  const where = `${world.place(sites[0]).name} → ${world.place(sites[1]).name}`;
  return [rowOf(world.head(`crash until elected, TTL ${faultTtlMs / 1_000} s`, where), values)];
}

/** The leader's site is cut off from the others: when the old leader stops, and when another one leads. */
export async function measureSiteCut(world: World, sites: readonly [number, number], rounds: number): Promise<Row[]> {
  const stops: number[] = [];
  const takesOver: number[] = [];
  const between: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await world.etcd.lead(0);
    const crowd = await startCrowd(world, sites, { size: cutCrowd, ttlMs: faultTtlMs });
    await pause(settleMs + round * stepMs);
    const cutAt = now();
    world.sites.cut(sites[0]);
    const stopped = await stoppedAt(crowd, limitMs(world));
    const taken = await takenOverAt(crowd, limitMs(world));
    world.sites.heal();
    stops.push(...stopped.map((at) => at - cutAt));
    takesOver.push(...taken.map((at) => at - cutAt));
    between.push(...taken.map((at, index) => at - (stopped[index] ?? NaN)));
    await world.dismiss([crowd.leader, crowd.standby]);
  }
  const where = `${world.place(sites[0]).name} cut off`;
  return [
    rowOf(world.head(`the old leader stops, TTL ${faultTtlMs / 1_000} s`, where), stops),
    rowOf(world.head("the other leads", where), takesOver),
    rowOf(world.head("between the two", where), between, "short"),
  ];
}

/** How long a take-over is waited for: etcd may need several elections of its own. */
export function limitMs({ timing }: World): number {
  return 4 * faultTtlMs + 10 * timing.electionMs;
}

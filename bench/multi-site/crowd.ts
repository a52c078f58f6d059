import { pause } from "../../tests/support/until.ts";
import type { NodeProcess } from "./node-process.ts";
import type { World } from "./world.ts";

/** A leader's process and a standby's, in several elections at once: one fault gives that many measurements. */
export interface Crowd {
  readonly leader: NodeProcess;
  readonly standby: NodeProcess;
  readonly elections: readonly string[];
  readonly ttlMs: number;
}

const eventTimeoutMs = 20_000;
let crowds = 0;

/** Has `size` elections led at one site, each on a lease of its own, with a standby at another. */
export async function startCrowd(
  world: World,
  sites: readonly [number, number],
  { size, ttlMs }: { readonly size: number; readonly ttlMs: number },
): Promise<Crowd> {
  const [leader, standby] = await Promise.all([world.node(sites[0], size), world.node(sites[1])]);
  const name = `crowd-${++crowds}`;
  const elections = Array.from({ length: size }, (_, seat) => `${name}-${seat}`);
  for (const [seat, election] of elections.entries()) {
    await leader.order({ do: "stand", seat, election, ttlMs }, eventTimeoutMs);
    // So that keep-alives are not all sent at the same time, and the fault meets them at all their moments.
    await pause(ttlMs / 3 / size);
  }
  for (const election of elections) {
    await leader.told("elected", (line) => line.election === election, eventTimeoutMs);
    await standby.order({ do: "stand", seat: 0, election, ttlMs }, eventTimeoutMs);
  }
  for (const election of elections) {
    await standby.told("queued", (line) => line.election === election, eventTimeoutMs);
  }
  return { leader, standby, elections, ttlMs };
}

/** When the standby was elected in each. */
export async function takenOverAt({ standby, elections }: Crowd, timeoutMs: number): Promise<number[]> {
  const lines = elections.map((each) => standby.told("elected", ({ election }) => election === each, timeoutMs));
  return (await Promise.all(lines)).map(({ at }) => at);
}

/** When the old leader knew that it leads no more, in each. */
export async function stoppedAt({ leader, elections }: Crowd, timeoutMs: number): Promise<number[]> {
  const lines = elections.map((each) => leader.told("over", ({ election }) => election === each, timeoutMs));
  return (await Promise.all(lines)).map(({ at }) => at);
}

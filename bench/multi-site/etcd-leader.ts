import { pause, until } from "../../tests/support/until.ts";
import { limitMs } from "./faults.ts";
import type { NodeProcess } from "./node-process.ts";
import { now } from "./protocol.ts";
import { type Row, rowOf } from "./rows.ts";
import type { World } from "./world.ts";

const ttlsMs = [5_000, 10_000, 15_000];
const survives = "least left then of leases of 5, 10 and 15 s (leaderships kept)";
const writeEveryMs = 100;
const eventTimeoutMs = 20_000;
const stepMs = 600;
const settleMs = 1_000;

interface Outcome {
  readonly ttlMs: number;
  readonly kept: boolean;
  /** How near the lease came to its end; 0 when it was lost. */
  readonly leastLeftMs: number;
}

/** etcd's leader is killed: for how long nobody can write, and which leaderships survive it. */
export async function measureEtcdLeaderKilled(world: World, rounds: number): Promise<Row[]> {
  const [one, other] = world.topology.nodeSites;
  const nodes = await Promise.all([world.node(one.site), world.node(other.site)]);
  const gapsMs: number[] = [];
  const outcomes: Outcome[] = [];
  for (let round = 0; round < rounds; round++) {
    await world.etcd.lead(0);
    await Promise.all(nodes.map((node) => standAll(node, round)));
    await pause(settleMs + round * stepMs);
    const killedAt = now();
    await world.etcd.kill(0);
    const results = await Promise.all(nodes.map((node) => outcomeOf(node, round, killedAt, limitMs(world))));
    gapsMs.push(...results.map(({ gapMs }) => gapMs));
    outcomes.push(...results.flatMap(({ survived }) => survived));
    await Promise.all(nodes.map((node) => resignAll(node, round)));
    world.etcd.restart(0);
  }
  await world.dismiss(nodes);
  return rowsOf(world, gapsMs, outcomes);
}

function rowsOf(world: World, gapsMs: readonly number[], outcomes: readonly Outcome[]): Row[] {
  const where = "both sites";
  const rows = [rowOf(world.head("etcd's leader killed: no write gets through for", where), gapsMs)];
  for (const ttlMs of ttlsMs) {
    const own = outcomes.filter((outcome) => outcome.ttlMs === ttlMs);
    const leftMs = own.map(({ leastLeftMs }) => leastLeftMs);
    const kept = own.filter((outcome) => outcome.kept).length;
    const part = `TTL ${ttlMs / 1_000} s`;
    rows.push(rowOf(world.head(survives, where, { part, kept }), leftMs, "short"));
  }
  return rows;
}

async function standAll(node: NodeProcess, round: number): Promise<void> {
  for (const ttlMs of ttlsMs) {
    const election = electionOf(node, round, ttlMs);
    await node.order({ do: "stand", seat: 0, election, ttlMs }, eventTimeoutMs);
    await node.told("elected", (line) => line.election === election, eventTimeoutMs);
  }
  await node.order({ do: "write", everyMs: writeEveryMs }, eventTimeoutMs);
}

async function resignAll(node: NodeProcess, round: number): Promise<void> {
  await node.order({ do: "write-no-more" }, eventTimeoutMs);
  for (const ttlMs of ttlsMs) {
    // Without a quorum for long the key goes with its lease.
    await node.order({ do: "resign", election: electionOf(node, round, ttlMs) }, eventTimeoutMs).catch(() => undefined);
  }
}

async function outcomeOf(
  node: NodeProcess,
  round: number,
  killedAt: number,
  timeoutMs: number,
): Promise<{ readonly gapMs: number; readonly survived: readonly Outcome[] }> {
  const limit = { timeoutMs, intervalMs: 50 };
  const { from, to } = await until(() => gapAfter(node, killedAt), { ...limit, what: `write of ${node.name}` });
  const survived = ttlsMs.map(async (ttlMs): Promise<Outcome> => {
    const election = electionOf(node, round, ttlMs);
    return until(
      () => {
        if (node.all("over").some((line) => line.election === election)) return { ttlMs, kept: false, leastLeftMs: 0 };
        const answers = node.all("kept").filter((line) => line.ttlMs === ttlMs && line.at > killedAt);
        if (!answers.some(({ at }) => at > to)) return undefined;
        return { ttlMs, kept: true, leastLeftMs: Math.min(...answers.map(({ leftMs }) => leftMs)) };
      },
      { ...limit, what: `end or keep-alive of ${election}` },
    );
  });
  return { gapMs: to - from, survived: await Promise.all(survived) };
}

/** The time without an answered write in which a moment lies, once it is over: from then on they come again. */
function gapAfter(node: NodeProcess, moment: number): { readonly from: number; readonly to: number } | undefined {
  const times = node.all("wrote").map(({ at }) => at);
  let longest: { readonly from: number; readonly to: number } | undefined;
  for (const [index, to] of times.entries()) {
    const from = times[index - 1];
    if (from === undefined || to < moment) continue;
    if (longest === undefined || to - from > longest.to - longest.from) longest = { from, to };
  }
  // What was under way when etcd's leader went may be answered a little later.
  return longest !== undefined && longest.to - longest.from > 5 * writeEveryMs ? longest : undefined;
}

function electionOf(node: NodeProcess, round: number, ttlMs: number): string {
  return `survives-${node.id}-${round}-${ttlMs}`;
}

import type { Contestant } from "./support/contestant.ts";
import { etcd3, floor, go, type Question, type Stage, tenure, type Variant } from "./support/stage.ts";
import { pause } from "../tests/support/until.ts";

const roundsMax = 3;
const settleMs = 500;
const drainTimeoutMs = 180_000;

/** How a hand-over depends on how many stand in the queue, and in how many processes. */
export const manyCandidates: Question = {
  name: "many-candidates",
  overLinks: false,
  measure: async (stage) => {
    const variants = new Map([tenure, go, etcd3, floor].map((variant) => [variant, variant]));
    for (const [candidates, processes] of [
      [10, 1],
      [100, 1],
      [1_000, 1],
      [20, 10],
      [1_000, 10],
    ] as const) {
      const what = `${candidates} candidates in ${processes === 1 ? "one process" : `${processes} processes`}`;
      await stage.alternate(what, variants, Math.min(stage.rounds, roundsMax), async (variant) => {
        await drained(stage, variant, candidates, processes, what);
      });
    }
  },
};

async function drained(
  stage: Stage,
  variant: Variant,
  candidates: number,
  processes: number,
  what: string,
): Promise<void> {
  const election = stage.newElection();
  const contestants = Array.from({ length: processes }, () => stage.start(variant));
  // Another queue first: what is measured is what a process does that has been running.
  await passedOn(stage, contestants, stage.newElection(), processes * 10);
  const there = stage.candidates(election, candidates);
  const { tookMs, sentBytes } = await passedOn(stage, contestants, election, candidates, there);
  stage.record(`${what}: a hand-over`, variant, "ms", [tookMs / candidates]);
  stage.record(`${what}: sent by etcd for a hand-over`, variant, "kB", [sentBytes / candidates / 1_000]);
  stage.record(`${what}: memory of a process`, variant, "MB", [contestants[0]?.residentMb ?? NaN]);
  await stage.dismiss(contestants);
}

/** All stand, then each resigns as soon as it is elected. */
async function passedOn(
  stage: Stage,
  contestants: readonly Contestant[],
  election: string,
  candidates: number,
  there: Promise<void> = stage.candidates(election, candidates),
): Promise<{ tookMs: number; sentBytes: number }> {
  const each = candidates / contestants.length;
  await Promise.all(contestants.map((contestant) => contestant.order({ do: "queue", election, candidates: each })));
  await there;
  await pause(settleMs);
  const before = await stage.store.metric("etcd_network_client_grpc_sent_bytes_total");
  const began = await Promise.all(contestants.map((contestant) => contestant.order({ do: "drain", election })));
  const ended = await Promise.all(
    contestants.map((contestant) => contestant.told("drained", (line) => line.election === election, drainTimeoutMs)),
  );
  const sentBytes = (await stage.store.metric("etcd_network_client_grpc_sent_bytes_total")) - before;
  const startedAt = Math.min(...began.map(([at = NaN]) => at));
  return { tookMs: Math.max(...ended.map(({ at }) => at)) - startedAt, sentBytes };
}

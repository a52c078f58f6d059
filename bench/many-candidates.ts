import { pause } from "../tests/support/until.ts";
import type { Contestant } from "./support/contestant.ts";
import { Patience } from "./support/patience.ts";
import { etcd3, firstLine, floor, go, type Question, type Stage, tenure, type Variant } from "./support/stage.ts";

/** How many processes, and how many candidates in all of them together, one queue after the other. */
type Crowd = readonly [processes: number, candidates: readonly number[]];

const crowds: readonly Crowd[] = [
  [1, [10, 100, 1_000]],
  [2, [2]],
  [10, [10, 100, 1_000]],
  [50, [1_000]],
];
const crowdsQuick: readonly Crowd[] = [
  [1, [10, 1_000]],
  [2, [2]],
  [10, [1_000]],
];
/** Only for those who can do it in time. */
const most = 10_000;
/** Each campaign's request sees all who stand already, so ten times as many cost more than ten times as much. */
const growthMin = 30;
const warmUps = 100;
/** Where there are few hand-overs, so many are made. */
const handOversMin = 20;
/** Everybody has waited long by then. */
const settleMs = 300;
const startedAtOnce = 5;
/** Between one process's candidates and the next one's. */
const arrivalGapMs = 20;
const drainTimeoutMs = 120_000;

/** How a hand-over depends on how many stand in the queue, and in how many processes. */
export const manyCandidates: Question = {
  name: "many-candidates",
  overLinks: false,
  measure: async (stage) => {
    const patience = new Patience(growthMin);
    const all = stage.quick ? [tenure, go] : [tenure, go, etcd3, floor];
    for (const [processes, sizes] of stage.quick ? crowdsQuick : crowds) {
      const what = `candidates in ${processes === 1 ? "one process" : `${processes} processes`}`;
      const variants = new Map(all.map((variant) => [variant, variant]));
      await stage.alternate(`${sizes.join(", ")} ${what}`, variants, 1, async (variant) => {
        await crowd(stage, variant, processes, sizes, what, patience);
      });
    }
    if (stage.quick) return;
    const what = "candidates in one process";
    const able = stage.patient(patience, all, `${most} ${what}`);
    await stage.alternate(`${most} ${what}`, able, 1, async (variant) => {
      try {
        await crowd(stage, variant, 1, [most], what, patience);
      } catch (error) {
        // How it grows up to here does not always say how it goes on.
        stage.settings.signal.throwIfAborted();
        stage.settings.leaveOut(`${most} ${what}: ${variant.name}: ${firstLine(error)}`);
      }
    });
  },
};

async function crowd(
  stage: Stage,
  variant: Variant,
  processes: number,
  sizes: readonly number[],
  what: string,
  patience: Patience,
): Promise<void> {
  const contestants: Contestant[] = [];
  try {
    // Not all at the same time: etcd needs a share of the CPU too, or it loses its own leadership.
    while (contestants.length < processes) {
      const next = Array.from({ length: Math.min(startedAtOnce, processes) }, () => stage.start(variant));
      contestants.push(...next);
      await Promise.all(next.map((contestant) => contestant.order({ do: "ready", seat: 0 })));
    }
    await queues(stage, variant, contestants, sizes, what, patience);
  } finally {
    await stage.dismiss(contestants);
  }
}

async function queues(
  stage: Stage,
  variant: Variant,
  contestants: readonly Contestant[],
  sizes: readonly number[],
  what: string,
  patience: Patience,
): Promise<void> {
  const processes = contestants.length;
  // Another queue first: what is measured is what a process does that has been running.
  await passedOn(stage, contestants, warmUps);
  for (const candidates of sizes) {
    const startedAt = performance.now();
    for (let round = 0; round < Math.max(1, handOversMin / candidates); round++) {
      const { tookMs, sent } = await passedOn(stage, contestants, candidates);
      const cost = processes === 1 || processes === 10 ? `a hand-over among so many ${what}, ms` : undefined;
      const growth = cost === undefined ? undefined : { cost, size: candidates };
      const question = `${candidates} ${what}`;
      stage.record(`${question}: a hand-over`, variant, "ms", [tookMs / candidates], growth);
      stage.record(`${question}: messages for a hand-over`, variant, "messages", [sent.messages / candidates]);
      stage.record(`${question}: sent by etcd for a hand-over`, variant, "kB", [sent.bytes / candidates / 1_000]);
    }
    if (processes === 1) patience.took(variant, performance.now() - startedAt);
  }
  stage.record(`${sizes.at(-1)} ${what}: memory of a process`, variant, "MB", [contestants[0]?.residentMb ?? NaN]);
}

interface Passed {
  readonly tookMs: number;
  /** What went over the wire meanwhile. */
  readonly sent: Traffic;
}

/** All stand, then each resigns as soon as it is elected. */
async function passedOn(stage: Stage, contestants: readonly Contestant[], candidates: number): Promise<Passed> {
  const election = stage.newElection();
  const there = stage.candidates(election, candidates);
  const order = { do: "queue", election, candidates: candidates / contestants.length } as const;
  for (const contestant of contestants) {
    await contestant.order(order);
    await pause(arrivalGapMs);
  }
  await there;
  await pause(settleMs);
  const before = await traffic(stage);
  const began = await Promise.all(contestants.map((contestant) => contestant.order({ do: "drain", election })));
  const ended = await Promise.all(
    contestants.map((contestant) => contestant.told("drained", (line) => line.election === election, drainTimeoutMs)),
  );
  const after = await traffic(stage);
  const startedAt = Math.min(...began.map(([at = NaN]) => at));
  const tookMs = Math.max(...ended.map(({ at }) => at)) - startedAt;
  return { tookMs, sent: { messages: after.messages - before.messages, bytes: after.bytes - before.bytes } };
}

interface Traffic {
  readonly messages: number;
  readonly bytes: number;
}

/** Messages in both directions until now, and bytes sent by etcd. */
async function traffic({ store }: Stage): Promise<Traffic> {
  const [sent, received, bytes] = await Promise.all([
    store.metric("grpc_server_msg_sent_total"),
    store.metric("grpc_server_msg_received_total"),
    store.metric("etcd_network_client_grpc_sent_bytes_total"),
  ]);
  return { messages: sent + received, bytes };
}

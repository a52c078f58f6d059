import { pause } from "../tests/support/until.ts";
import type { Contestant } from "./support/contestant.ts";
import { now } from "./peers/protocol.ts";
import { Patience } from "./support/patience.ts";
import { etcd3, floor, go, type Question, type Stage, tenure, type Variant } from "./support/stage.ts";

type Crowd = readonly [processes: number, observers: number];

const crowds: readonly Crowd[] = [
  [1, 10],
  [1, 100],
  [1, 1_000],
  [1, 10_000],
  [10, 1_000],
];
const crowdsQuick: readonly Crowd[] = [
  [1, 10],
  [1, 1_000],
];
const values = 10;
const warmUps = 40;
const gapMs = 20;
/** Watches that begin with a revision of the past are served later than others at first. */
const settleMs = 300;

/** How soon all of many observers in other processes hear of another value. */
export const manyObservers: Question = {
  name: "many-observers",
  overLinks: false,
  measure: async (stage) => {
    const patience = new Patience();
    for (const [processes, observers] of stage.quick ? crowdsQuick : crowds) {
      const what = `${observers} observers in ${processes === 1 ? "one process" : `${processes} processes`}`;
      const all = [tenure, go, etcd3, floor];
      const variants =
        processes === 1 ? stage.patient(patience, all, what) : new Map(all.map((variant) => [variant, variant]));
      await stage.alternate(what, variants, 1, async (variant) => {
        const startedAt = performance.now();
        await observed(stage, variant, processes, observers, what);
        if (processes === 1) patience.took(variant, performance.now() - startedAt);
      });
    }
  },
};

async function observed(
  stage: Stage,
  variant: Variant,
  processes: number,
  observers: number,
  what: string,
): Promise<void> {
  const election = stage.newElection();
  const leading = stage.start(variant);
  await leading.order({ do: "stand", election, seat: 0, value: "first" });
  await leading.told("elected", () => true);
  const observing = Array.from({ length: processes }, () => stage.start(variant));
  const order = { do: "observe-many", election, observers: observers / processes } as const;
  // The processes are there and connected before it is measured.
  const other = stage.newElection();
  await Promise.all(observing.map((each) => each.order({ do: "observe-many", election: other, observers: 1 })));
  const startedAt = now();
  await Promise.all(observing.map((each) => each.order(order)));
  const begunAt = await heard(observing, election, "first");
  const own = processes === 1;
  const cost = "until so many observers have begun, ms";
  const begun = own ? { cost, size: observers } : undefined;
  stage.record(`${what}: until all have begun`, variant, "ms", [begunAt - startedAt], begun);
  await pause(settleMs);
  for (let round = 0; round < warmUps + values; round++) {
    const [proclaimedAt = NaN] = await leading.order({ do: "proclaim-one", election, seat: 0, value: `next-${round}` });
    const at = await heard(observing, election, `next-${round}`);
    const growth = own ? { cost: "until so many observers hear of a value, ms", size: observers } : undefined;
    const question = `${what}: proclaim until all observe`;
    if (round < warmUps) continue;
    stage.record(question, variant, "ms", [at - proclaimedAt], growth);
    await pause(gapMs);
  }
  stage.record(`${what}: memory of a process`, variant, "MB", [observing[0]?.residentMb ?? NaN]);
  await stage.dismiss([leading, ...observing]);
}

/** When the last observer of all processes told of a value. */
async function heard(observing: readonly Contestant[], election: string, value: string): Promise<number> {
  const all = observing.map((each) => each.told("heard", (line) => line.election === election && line.value === value));
  return Math.max(...(await Promise.all(all)).map(({ at }) => at));
}

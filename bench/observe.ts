import { pause } from "../tests/support/until.ts";
import type { Contestant } from "./support/contestant.ts";
import { etcd3, floor, go, type Question, type Stage, tenure } from "./support/stage.ts";

const perTurn = 6;
const gapMs = 10;
const quietMs = 200;
/** Before the first: campaigns of the one process, and values that the other observes. */
const warmUps = 300;
const warmUpsFar = 10;

/** How soon an observer in another process hears of another value, and of a leader where there was none. */
export const observe: Question = {
  name: "observe",
  overLinks: true,
  measure: async (stage) => {
    const pairs = new Map(
      [tenure, go, etcd3, floor].map((variant) => [variant, [stage.start(variant), stage.start(variant)] as const]),
    );
    for (const pair of pairs.values()) await warmUp(stage, ...pair);
    const value = "proclaim until observed";
    await stage.alternate(value, pairs, stage.fewer(3), async (variant, [leading, observing]) => {
      const election = stage.newElection();
      await leading.order({ do: "stand", election, seat: 0, value: "first" });
      await leading.told("elected", (line) => line.election === election);
      await observing.order({ do: "observe", election });
      await observing.told("leader", (line) => line.election === election);
      await pause(quietMs);
      const times = await leading.order({ do: "proclaim", election, seat: 0, rounds: perTurn, gapMs });
      for (let index = 0; index < perTurn; index++) {
        const seen = (line: { election: string; value: string }): boolean =>
          line.election === election && line.value === `value-${index}`;
        const { at } = await observing.told("leader", seen);
        stage.record(value, variant, "ms", [at - (times[2 * index] ?? NaN)]);
      }
      await leading.order({ do: "resign", election, seat: 0 });
      await pause(quietMs);
      const [stoodAt = NaN] = await leading.order({ do: "stand", election, seat: 0, value: "again" });
      const { at } = await observing.told("leader", (line) => line.election === election && line.value === "again");
      stage.record("campaign until observed", variant, "ms", [at - stoodAt]);
      await leading.told("elected", (line) => line.election === election);
      await leading.order({ do: "resign", election, seat: 0 });
    });
  },
};

async function warmUp(stage: Stage, leading: Contestant, observing: Contestant): Promise<void> {
  const rounds = stage.rttMs === 0 ? warmUps : warmUpsFar;
  const election = stage.newElection();
  await leading.order({ do: "ready", seat: 0 });
  await leading.order({ do: "campaign", rounds });
  await observing.order({ do: "observe", election });
  await leading.order({ do: "stand", election, seat: 0, value: "first" });
  await leading.told("elected", (line) => line.election === election);
  await leading.order({ do: "proclaim", election, seat: 0, rounds, gapMs: 0 });
  const last = (line: { election: string; value: string }): boolean =>
    line.election === election && line.value === `value-${rounds - 1}`;
  await observing.told("leader", last);
  await leading.order({ do: "resign", election, seat: 0 });
}

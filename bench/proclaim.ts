import { etcd3, floor, go, type Question, tenure } from "./support/stage.ts";

const near = 20;
const far = 4;
const warmUps = 500;

/** How long it takes to publish another value. */
export const proclaim: Question = {
  name: "proclaim",
  overLinks: true,
  measure: async (stage) => {
    const election = new Map([tenure, go, etcd3, floor].map((variant) => [variant, stage.newElection()]));
    const contestants = new Map([...election.keys()].map((variant) => [variant, stage.start(variant)]));
    const [perTurn, rounds] = stage.rttMs === 0 ? [near, warmUps] : [far, far];
    for (const [variant, contestant] of contestants) {
      const name = election.get(variant) ?? "";
      await contestant.order({ do: "ready", seat: 0 });
      await contestant.order({ do: "stand", election: name, seat: 0, value: "first" });
      await contestant.told("elected", () => true);
      await contestant.order({ do: "proclaim", election: name, seat: 0, rounds, gapMs: 0 });
    }
    await stage.alternate("proclaim", contestants, stage.rounds, async (variant, contestant) => {
      const name = election.get(variant) ?? "";
      const times = await contestant.order({
        do: "proclaim",
        election: name,
        seat: 0,
        rounds: perTurn,
        gapMs: 0,
      });
      const took = Array.from(
        { length: perTurn },
        (_, index) => (times[2 * index + 1] ?? NaN) - (times[2 * index] ?? 0),
      );
      stage.record("proclaim", variant, "ms", took);
    });
  },
};

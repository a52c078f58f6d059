import { etcd3, floor, go, type Question, type Stage, tenure } from "./support/stage.ts";

const perTurn = 10;
const warmUps = 200;

/** How long it takes to win an empty election when the session is there. */
export const campaign: Question = {
  name: "campaign",
  overLinks: true,
  measure: async (stage) => {
    await measure(stage, "campaign, session ready", "campaign", perTurn);
  },
};

/** How long it takes from no connection at all to being elected. */
export const fromNothing: Question = {
  name: "from-nothing",
  overLinks: true,
  measure: async (stage) => {
    await measure(stage, "connect, session, campaign", "from-nothing", 3);
  },
};

async function measure(stage: Stage, question: string, what: "campaign" | "from-nothing", each: number): Promise<void> {
  const contestants = new Map([tenure, go, etcd3, floor].map((variant) => [variant, stage.start(variant)]));
  for (const contestant of contestants.values()) {
    await contestant.order({ do: "ready", seat: 0 });
    await contestant.order({ do: what, rounds: stage.rttMs === 0 ? warmUps / (10 / each) : each });
  }
  await stage.alternate(question, contestants, stage.rounds, async (variant, contestant) => {
    stage.record(question, variant, "ms", await contestant.order({ do: what, rounds: each }));
  });
}

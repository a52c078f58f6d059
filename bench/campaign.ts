import { etcd3, floor, go, type Question, type Stage, tenure } from "./support/stage.ts";

/** How many a turn has next to etcd, and over a link. */
const campaigns = { near: 10, far: 4 };
const connections = { near: 3, far: 1 };
const warmUps = 500;

/** How long it takes to win an empty election when the session is there. */
export const campaign: Question = {
  name: "campaign",
  overLinks: true,
  measure: async (stage) => {
    await measure(stage, "campaign, session ready", "campaign", campaigns);
  },
};

/** How long it takes from no connection at all to being elected. */
export const fromNothing: Question = {
  name: "from-nothing",
  overLinks: true,
  measure: async (stage) => {
    await measure(stage, "connect, session, campaign", "from-nothing", connections);
  },
};

async function measure(
  stage: Stage,
  question: string,
  what: "campaign" | "from-nothing",
  { near, far }: { readonly near: number; readonly far: number },
): Promise<void> {
  const rounds = stage.rttMs === 0 ? near : far;
  const contestants = new Map([tenure, go, etcd3, floor].map((variant) => [variant, stage.start(variant)]));
  for (const contestant of contestants.values()) {
    await contestant.order({ do: "ready", seat: 0 });
    await contestant.order({ do: what, rounds: stage.rttMs === 0 ? (warmUps * near) / campaigns.near : far });
  }
  await stage.alternate(question, contestants, stage.rounds, async (variant, contestant) => {
    stage.record(question, variant, "ms", await contestant.order({ do: what, rounds }));
  });
}

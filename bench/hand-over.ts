import { pause } from "../tests/support/until.ts";
import type { Contestant } from "./support/contestant.ts";
import { etcd3, floor, go, type Question, type Stage, tenure } from "./support/stage.ts";

/** How long a standby has waited in the queue before the leader resigns. */
const longMs = 200;
const shortMs = 8;
/** Before the first: campaigns of each process, and hand-overs; few over a link, where no code is too slow. */
const warmUps = { campaigns: 300, handOvers: 20 };
const warmUpsFar = { campaigns: 10, handOvers: 3 };
const warmUpsQuick = { campaigns: 100, handOvers: 4 };

/** How long it takes from the leader's resign until the standby in another process is elected. */
export const handOver: Question = {
  name: "hand-over",
  overLinks: true,
  measure: (stage) => measure(stage, "across processes", 2),
};

/** The same with both in one process. */
export const handOverInside: Question = {
  name: "hand-over-inside",
  overLinks: false,
  measure: (stage) => measure(stage, "in one process", 1),
};

async function measure(stage: Stage, where: string, processes: number): Promise<void> {
  const pairs = new Map(
    [tenure, go, etcd3, floor].map((variant) => {
      const first = stage.start(variant);
      return [variant, [first, processes === 1 ? first : stage.start(variant)] as const];
    }),
  );
  for (const [leading, standing] of pairs.values()) {
    await leading.order({ do: "ready", seat: 0 });
    await standing.order({ do: "ready", seat: 1 });
    const { campaigns, handOvers } = stage.rttMs > 0 ? warmUpsFar : stage.quick ? warmUpsQuick : warmUps;
    for (const contestant of [leading, standing]) await contestant.order({ do: "campaign", rounds: campaigns });
    for (let round = 0; round < handOvers; round++) await handedOver(stage, leading, standing, shortMs);
  }
  for (const [how, waitMs] of [
    ["standby long there", longMs],
    ["standby just there", shortMs],
  ] as const) {
    const question = `resign until elected, ${where}, ${how}`;
    await stage.alternate(question, pairs, stage.fewer(2), async (variant, [leading, standing]) => {
      stage.record(question, variant, "ms", [await handedOver(stage, leading, standing, waitMs)]);
    });
  }
}

async function handedOver(stage: Stage, leading: Contestant, standing: Contestant, waitMs: number): Promise<number> {
  const election = stage.newElection();
  await leading.order({ do: "stand", election, seat: 0, value: "first" });
  await leading.told("elected", (line) => line.election === election && line.seat === 0);
  const there = stage.candidates(election, 2);
  await standing.order({ do: "stand", election, seat: 1, value: "second" });
  await there;
  await pause(waitMs);
  const [resignedAt = NaN] = await leading.order({ do: "resign", election, seat: 0 });
  const { at } = await standing.told("elected", (line) => line.election === election && line.seat === 1);
  await standing.order({ do: "resign", election, seat: 1 });
  return at - resignedAt;
}

import { pause } from "../tests/support/until.ts";
import { now } from "./peers/protocol.ts";
import { etcd3, go, type Question, type Stage, tenure, type Variant } from "./support/stage.ts";

const ttlSeconds = 2;
const guarded: Variant = { name: "tenure with a guard", peer: "tenure", guard: true };
const settleMs = 1_000;
const roundsMax = 8;
const roundsQuick = 2;
const question = `leader killed until the standby is elected, TTL ${ttlSeconds} s`;

/** How long it takes from SIGKILL of the leader's process until the standby in another process is elected. */
export const failover: Question = {
  name: "failover",
  overLinks: false,
  measure: async (stage) => {
    const rounds = Math.min(stage.rounds, stage.quick ? roundsQuick : roundsMax);
    for (let round = 0; round < rounds; round++) {
      stage.settings.signal.throwIfAborted();
      // Where in the time between two keep-alives the process dies decides how long its lease lives on.
      const phaseMs = ((round + 0.5) / rounds) * (ttlSeconds / 3) * 1_000;
      // They wait for a lease to end, which needs no quiet; what takes milliseconds does.
      await Promise.all([tenure, go, etcd3].map((variant) => killed(stage, variant, phaseMs)));
      await killed(stage, guarded, phaseMs);
      stage.tell(`failover: round ${round + 1} of ${rounds}`);
    }
  },
};

async function killed(stage: Stage, variant: Variant, phaseMs: number): Promise<void> {
  const election = stage.newElection();
  const [leading, standing] = [stage.start(variant, { ttlSeconds }), stage.start(variant, { ttlSeconds })];
  await leading.order({ do: "stand", election, seat: 0, value: "first" });
  await leading.told("elected", () => true);
  const there = stage.candidates(election, 2);
  await standing.order({ do: "stand", election, seat: 0, value: "second" });
  await there;
  await pause(settleMs + phaseMs);
  const killedAt = now();
  await leading.kill();
  const { at } = await standing.told("elected", () => true);
  stage.record(question, variant, "ms", [at - killedAt]);
  await stage.dismiss([standing]);
}

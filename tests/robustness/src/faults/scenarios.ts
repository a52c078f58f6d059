import { until } from "../../../support/until.ts";
import type { Candidate } from "../candidate.ts";
import { now } from "../clock.ts";
import { memberNumbers } from "../cluster.ts";
import type { FaultKind, Scene } from "../scene.ts";
import { withoutQuorum } from "./members.ts";

const awayMs = 11_000;
const cpuShareMax = 0.2;
const growthBytesMax = 48 * 1024 * 1024;
const settleMs = 2_000;

/** Long scenarios that run when they are named. */
export const scenarios: readonly FaultKind[] = [
  {
    name: "each-member-stopped",
    says: "SIGSTOP to each member in turn for 11 s; the queue of candidates stays as it is",
    target: "members",
    onlyByName: true,
    run: (scene) =>
      inTurn(scene, async (member) => {
        scene.world.cluster.member(member).freeze();
        await scene.lasts(awayMs);
        scene.world.cluster.member(member).thaw();
      }),
  },
  {
    name: "each-member-cut-off",
    says: "each member in turn is cut off from the others and from all nodes for 11 s; the queue stays as it is",
    target: "members",
    onlyByName: true,
    run: (scene) =>
      inTurn(scene, async (member) => {
        const { network } = scene.world;
        const links = [...network.peersOf(member), ...network.clientsTo(member)];
        for (const link of links) link.blackhole();
        await scene.lasts(awayMs);
        for (const link of links) link.heal();
      }),
  },
  {
    name: "etcd-leader-away",
    says: "the member that leads etcd is killed and stays away for 11 s; the queue stays as it is",
    target: "members",
    onlyByName: true,
    run: async (scene) => {
      const startedAt = now();
      const before = queueOf(scene);
      const member = scene.world.cluster.member(await scene.world.cluster.leader());
      await member.kill();
      await scene.lasts(awayMs);
      compareQueues(scene, before, startedAt);
      member.start();
      return "kept";
    },
  },
  {
    name: "quorum-lost-long",
    says: "two members are away for 3 times the TTL; the nodes neither spin nor grow meanwhile",
    target: "members",
    onlyByName: true,
    run: async (scene) => {
      await until(() => scene.world.candidates.every((each) => usageOf(each) !== undefined), { what: "usage" });
      const before = scene.world.candidates.map(usageOf);
      await withoutQuorum(scene, 3 * scene.world.ttlMs);
      if (scene.failoverMs !== undefined && scene.failoverMs > 3_000) {
        scene.violation("failover", `somebody led only ${scene.failoverMs.toFixed(0)} ms after the quorum was back`);
      }
      for (const [index, candidate] of scene.world.candidates.entries()) compareUsage(scene, candidate, before[index]);
      return "lost";
    },
  },
];

async function inTurn(scene: Scene, away: (member: number) => Promise<void>): Promise<"kept"> {
  for (const member of memberNumbers) {
    const startedAt = now();
    const before = queueOf(scene);
    await away(member);
    compareQueues(scene, before, startedAt);
    const after = queueOf(scene);
    await scene.lasts(settleMs);
    // A member that goes on may revoke leases for a moment: see README.md.
    if (queueOf(scene) !== after) scene.note(`once m${member} was back, the candidates were ${queueOf(scene)}`);
  }
  return "kept";
}

function queueOf({ world: { witness } }: Scene): string {
  return witness.queue.map(({ key, createRevision }) => `${key} of ${createRevision}`).join(", ");
}

function compareQueues(scene: Scene, before: string, since: number): void {
  const after = queueOf(scene);
  if (after === before) return;
  const text = `the candidates were ${before} and are ${after}`;
  const silentMs = scene.world.pulse.longestSilenceMs(since);
  // Nobody can keep what etcd itself does not let him renew.
  if (silentMs > scene.bounds.silenceMs) scene.note(`etcd was silent for ${silentMs.toFixed(0)} ms: ${text}`);
  else scene.violation("queue", text);
}

type UsageNow = ReturnType<typeof usageOf>;

function usageOf({ usages }: Candidate) {
  return usages.at(-1)?.at(-1);
}

function compareUsage(scene: Scene, candidate: Candidate, before: UsageNow): void {
  const after = usageOf(candidate);
  if (before === undefined || after === undefined) throw new Error(`${candidate.process} told nothing of its use`);
  const share = (after.cpuMs - before.cpuMs) / (after.at - before.at);
  const grown = after.rss - before.rss;
  scene.note(
    `${candidate.process}: ${(100 * share).toFixed(1)} % of a core, ${(grown / 1024 ** 2).toFixed(1)} MB more`,
  );
  if (share > cpuShareMax) scene.violation("cpu", `${candidate.process} used ${(100 * share).toFixed(0)} % of a core`);
  if (grown > growthBytesMax) scene.violation("memory", `${candidate.process} grew by ${grown} bytes`);
}

import { until } from "../../../support/until.ts";
import { memberNumbers } from "../cluster.ts";
import type { FaultKind, Scene } from "../scene.ts";

/** Faults of etcd's own processes and of the links between them. */
export const memberFaults: readonly FaultKind[] = [
  {
    name: "member-killed",
    says: "SIGKILL to a member that does not lead etcd; 1.5-4 s later it starts again",
    target: "members",
    run: async ({ world: { cluster }, chance, lasts }) => {
      const member = cluster.member(chance.pick(followers(await cluster.leader())));
      await member.kill();
      await lasts(1_500, 4_000);
      member.start();
      return "kept";
    },
  },
  {
    name: "member-restarted",
    says: "SIGTERM to any member, which starts again at once",
    target: "members",
    run: async ({ world: { cluster }, chance, lasts }) => {
      await cluster.member(chance.pick(memberNumbers)).restart();
      await lasts(1_000, 2_000);
      return "kept";
    },
  },
  {
    name: "member-stopped",
    says: "SIGSTOP to any member for 2-6 s",
    target: "members",
    run: async ({ world: { cluster }, chance, lasts }) => {
      const member = cluster.member(chance.pick(memberNumbers));
      member.freeze();
      await lasts(2_000, 6_000);
      member.thaw();
      return "kept";
    },
  },
  {
    name: "etcd-leader-stopped",
    says: "SIGSTOP to the member that leads etcd for 0.7-1.2 times the TTL",
    target: "members",
    run: async (scene) => {
      const { cluster } = scene.world;
      const member = cluster.member(await cluster.leader());
      member.freeze();
      await scene.lasts(0.7 * scene.world.ttlMs, 1.2 * scene.world.ttlMs);
      member.thaw();
      return "kept";
    },
  },
  {
    name: "etcd-leader-killed",
    says: "SIGKILL to the member that leads etcd; 2.5-4 s later it starts again",
    target: "members",
    run: async (scene) => {
      const { cluster } = scene.world;
      const member = cluster.member(await cluster.leader());
      await member.kill();
      await scene.lasts(2_500, 4_000);
      member.start();
      return "kept";
    },
  },
  {
    name: "etcd-leader-moved",
    says: "another member is told to lead etcd, every 2 s, 3 times",
    target: "members",
    run: async ({ world: { cluster }, lasts }) => {
      for (let move = 0; move < 3; move++) {
        await cluster.moveLeader();
        await lasts(2_000);
      }
      return "kept";
    },
  },
  {
    name: "member-isolated",
    says: "a member is cut off from the other two for 3-6 s, but not from the nodes",
    target: "members",
    run: async ({ world: { network }, chance, lasts }) => {
      const links = network.peersOf(chance.pick(memberNumbers));
      for (const link of links) link.blackhole();
      await lasts(3_000, 6_000);
      for (const link of links) link.heal();
      return "kept";
    },
  },
  {
    name: "peer-link-cut",
    says: "one of the three links between members is cut for 3-6 s",
    target: "members",
    run: async ({ world: { network }, chance, lasts }) => {
      const [one = 0, other = 1] = chance.shuffled(memberNumbers);
      const links = [network.peers[one]?.[other], network.peers[other]?.[one]];
      for (const link of links) link?.blackhole();
      await lasts(3_000, 6_000);
      for (const link of links) link?.heal();
      return "kept";
    },
  },
  {
    name: "quorum-lost",
    says: "two members are killed or stopped until the leader has stepped down and 1-2 s more",
    target: "members",
    alone: true,
    run: async (scene) => {
      await withoutQuorum(scene, 1_000, 2_000);
      return "lost";
    },
  },
  {
    name: "cluster-stopped",
    says: "SIGSTOP to all members until the leader has stepped down and 1-2 s more",
    target: "members",
    alone: true,
    run: async (scene) => {
      const { members } = scene.world.cluster;
      for (const member of members) member.freeze();
      await scene.lost(scene.bounds.toldMs);
      await scene.lasts(1_000, 2_000);
      for (const member of members) member.thaw();
      scene.hit();
      await scene.successor(scene.bounds.recoveryMs);
      return "lost";
    },
  },
  {
    name: "cluster-restarted",
    says: "SIGKILL to all members at once, which start again at once",
    target: "members",
    alone: true,
    run: async ({ world: { cluster }, lasts }) => {
      await Promise.all(cluster.members.map((member) => member.kill()));
      for (const member of cluster.members) member.start();
      await lasts(2_000);
      // As soon as two of them know each other again; that is about as long as the lease has left.
      return "either";
    },
  },
];

/** Takes the quorum away until the leader has stepped down and some time more, and waits until somebody leads again. */
export async function withoutQuorum(scene: Scene, fromMs: number, toMs: number = fromMs): Promise<void> {
  const { cluster } = scene.world;
  const frozen = scene.chance.happens(0.5);
  const members = scene.chance
    .shuffled(memberNumbers)
    .slice(1)
    .map((index) => cluster.member(index));
  for (const member of members) {
    if (frozen) member.freeze();
    else await member.kill();
  }
  await scene.lost(scene.bounds.toldMs);
  await scene.lasts(fromMs, toMs);
  for (const member of members) {
    if (frozen) member.thaw();
    else member.start();
  }
  await until(() => cluster.member(memberNumbers[0] ?? 0).gateway.healthy(), { what: "quorum", timeoutMs: 20_000 });
  scene.hit();
  await scene.successor(scene.bounds.recoveryMs);
}

function followers(leader: number): number[] {
  return memberNumbers.filter((index) => index !== leader);
}

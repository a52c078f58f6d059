import type { Proxy } from "../../../support/proxy.ts";
import { memberNumbers } from "../cluster.ts";
import type { FaultKind, Scene } from "../scene.ts";

/** Faults of the links between nodes and members. */
export const linkFaults: readonly FaultKind[] = [
  {
    name: "client-cut-from-one",
    says: "the leader's link to one member resets, swallows everything, or strands its open connections, for 2-6 s",
    target: "links",
    run: async (scene) => {
      const { world, chance, leader } = scene;
      const link = world.network.client(leader.index, chance.pick(memberNumbers));
      const way = chance.pick(["cut", "blackhole", "strand"] as const);
      link[way]();
      await scene.lasts(2_000, 6_000);
      link.heal();
      return "kept";
    },
  },
  {
    name: "client-cut-from-all",
    says: "the leader's links to all members reset or swallow everything, until another one leads",
    target: "links",
    run: async (scene) => {
      const way = scene.chance.pick(["cut", "blackhole"] as const);
      const links = scene.world.network.clientsOf(scene.leader.index);
      for (const link of links) link[way]();
      scene.hit();
      await scene.successor();
      for (const link of links) link.heal();
      return "lost";
    },
  },
  {
    name: "half-open",
    says: "the leader's link to one member loses what goes in one direction, for 3-6 s",
    target: "links",
    run: async (scene) => {
      const { world, chance, leader } = scene;
      const link = world.network.client(leader.index, chance.pick(memberNumbers));
      link.blackhole(chance.pick(["up", "down"] as const));
      await scene.lasts(3_000, 6_000);
      link.heal();
      return "kept";
    },
  },
  {
    name: "answers-lost",
    says: "what the leader asks reaches all members, but no answer comes back, until another one leads",
    target: "links",
    run: async (scene) => {
      const links = scene.world.network.clientsOf(scene.leader.index);
      for (const link of links) link.blackhole("down");
      scene.hit();
      // What it asks renews its lease, for as long as it thinks that it leads.
      await scene.successor(scene.bounds.failoverMs + scene.world.ttlMs);
      for (const link of links) link.heal();
      return "lost";
    },
  },
  {
    name: "slow-link",
    says: "the leader's links to all members take 100-400 ms longer for a round trip, for 3-6 s",
    target: "links",
    run: async (scene) => {
      const links = scene.world.network.clientsOf(scene.leader.index);
      const delayMs = scene.chance.whole(50, 200);
      for (const link of links) link.delay(delayMs);
      await scene.lasts(3_000, 6_000);
      for (const link of links) link.heal();
      return "kept";
    },
  },
  {
    name: "standby-cut",
    says: "a standby's links to all members swallow everything, for 1-7 s",
    target: "links",
    run: async (scene) => {
      const links = scene.world.network.clientsOf(scene.chance.pick(scene.standbys).index);
      for (const link of links) link.blackhole();
      await scene.lasts(1_000, 7_000);
      for (const link of links) link.heal();
      return "kept";
    },
  },
  {
    name: "site-cut-off",
    says: "a node and a member are 40 ms away from the others for 2-3 s, then cut off for 3 s or until another leads",
    target: "links",
    alone: true,
    run: async (scene) => {
      const leads = scene.chance.happens(0.5);
      const candidate = leads ? scene.leader : scene.chance.pick(scene.standbys);
      const links = siteLinks(scene, candidate.index, scene.chance.pick(memberNumbers));
      for (const link of links) link.delay(20);
      await scene.lasts(2_000, 3_000);
      for (const link of links) link.blackhole();
      if (leads) {
        scene.hit();
        // The site may hold etcd's leader.
        await scene.successor(scene.bounds.recoveryMs);
      } else {
        await scene.lasts(3_000);
      }
      for (const link of links) link.heal();
      return leads ? "lost" : "kept";
    },
  },
];

/** All links between a site, which is one node and one member, and everything else. */
function siteLinks({ world: { network, candidates } }: Scene, node: number, member: number): Proxy[] {
  const others = memberNumbers.filter((index) => index !== member).map((index) => network.client(node, index));
  const nodes = candidates.filter(({ index }) => index !== node);
  return [...network.peersOf(member), ...others, ...nodes.map(({ index }) => network.client(index, member))];
}

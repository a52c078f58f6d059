import { base64 } from "../gateway.ts";
import type { FaultKind, Scene } from "../scene.ts";

/** What happens to what etcd stores. */
export const storeFaults: readonly FaultKind[] = [
  {
    name: "no-space",
    says: "etcd refuses every write that needs space, for 2-4 s; half of the times the leader is killed meanwhile",
    target: "store",
    alone: true,
    run: async (scene) => {
      const { cluster, history } = scene.world;
      const { memberId: memberID } = await cluster.member(0).gateway.status();
      const alarm = { memberID, alarm: "NOSPACE" };
      // A node that has to stand anew cannot, and is told why.
      history.allowedEnds.add("resource-exhausted");
      await cluster.call("maintenance/alarm", { ...alarm, action: "ACTIVATE" });
      const kills = scene.chance.happens(0.5);
      if (kills) {
        await scene.leader.kill();
        scene.hit();
        await scene.successor();
      } else {
        await scene.lasts(2_000, 4_000);
      }
      await cluster.call("maintenance/alarm", { ...alarm, action: "DEACTIVATE" });
      history.allowedEnds.delete("resource-exhausted");
      return kills ? "lost" : "kept";
    },
  },
  {
    name: "compacted",
    says: "all history is compacted, then each member is defragmented",
    target: "store",
    run: async ({ world: { cluster, witness }, lasts }) => {
      await cluster.call("kv/compaction", { revision: String(witness.revision), physical: true });
      for (const { gateway } of cluster.members) {
        // One that is away has nothing to defragment.
        await gateway.call("maintenance/defragment", {}, { timeoutMs: 5_000 }).catch(() => undefined);
      }
      await lasts(1_000);
      return "kept";
    },
  },
  {
    name: "key-deleted",
    says: "somebody deletes the leader's key by hand",
    target: "store",
    run: async (scene) => {
      const { key } = takenFrom(scene);
      scene.hit();
      await scene.world.cluster.call("kv/deleterange", { key: base64(key) });
      await scene.successor();
      return "lost";
    },
  },
  {
    name: "lease-revoked",
    says: "somebody revokes the leader's lease by hand",
    target: "store",
    run: async (scene) => {
      const { lease } = takenFrom(scene);
      scene.hit();
      // Tried at one member after the other: an answer that is lost makes the next one say that there is no such lease.
      await scene.world.cluster.call("lease/revoke", { ID: String(lease) }).catch(() => undefined);
      await scene.successor();
      return "lost";
    },
  },
];

/** The leader's key, remembered as one that no expiry took. */
function takenFrom({ world: { witness, history } }: Scene): { readonly key: string; readonly lease: bigint } {
  const [leader] = witness.queue;
  if (leader === undefined) throw new Error("nobody leads");
  history.takenKeys.add(leader.key);
  return leader;
}

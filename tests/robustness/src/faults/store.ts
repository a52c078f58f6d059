import { settled, until } from "../../../support/until.ts";
import type { Cluster } from "../cluster.ts";
import { base64 } from "../gateway.ts";
import { quotaBytes } from "../member.ts";
import type { FaultKind, Scene } from "../scene.ts";

const noSpaceCode = "resource-exhausted";
const fillerBytes = 1024 * 1024;
const defragmentMs = 5_000;

/** What happens to what etcd stores. */
export const storeFaults: readonly FaultKind[] = [
  {
    name: "no-space",
    says: "puts use up etcd's quota for 2-4 s; half of the times the leader is killed meanwhile, and starts in vain",
    target: "store",
    alone: true,
    run: async (scene) => {
      const { world, chance, leader } = scene;
      // A node that has to stand anew cannot, and is told why.
      world.history.allowedEnds.add(noSpaceCode);
      await fill(world.cluster);
      const full = await revisionOf(world.cluster);
      const kills = leader !== world.spared && chance.happens(0.5);
      if (kills) {
        await leader.kill();
        scene.hit();
        await scene.successor();
        await startsInVain(scene);
      } else {
        await scene.lasts(2_000, 4_000);
      }
      await refusesWrites(scene, full);
      await makeRoom(world.cluster);
      world.history.allowedEnds.delete(noSpaceCode);
      return kills ? "lost" : "kept";
    },
  },
  {
    name: "compacted",
    says: "all history is compacted, then each member is defragmented",
    target: "store",
    run: async ({ world: { cluster, witness }, lasts }) => {
      await compact(cluster, witness.revision);
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

/** Puts until etcd refuses one for want of space. */
async function fill(cluster: Cluster): Promise<void> {
  const put = { key: base64("filler"), value: Buffer.alloc(fillerBytes, "x").toString("base64") };
  const puts = 2 * (quotaBytes / fillerBytes);
  for (let count = 0; count < puts; count++) {
    if (await isFull(cluster, put)) return;
  }
  throw new Error(`etcd's quota of ${quotaBytes} bytes is not used up after ${puts} puts of ${fillerBytes} bytes`);
}

/** Whether a put is refused for want of space. Another refusal, as of a token that ran out, says nothing. */
async function isFull(cluster: Cluster, put: object): Promise<boolean> {
  try {
    await cluster.call("kv/put", put);
    return false;
  } catch (error) {
    return String(error).includes("database space exceeded");
  }
}

/** The revision at which every member knows of the alarms: asking for them is agreed on like a write. */
async function revisionOf(cluster: Cluster): Promise<bigint> {
  const answer = (await signedIn(() => cluster.call("maintenance/alarm", { action: "GET" }))) as AlarmAnswer;
  if ((answer.alarms ?? []).length === 0) throw new Error("etcd refuses puts, but there is no alarm");
  return BigInt(answer.header.revision);
}

interface AlarmAnswer {
  readonly header: { readonly revision: string };
  readonly alarms?: readonly { readonly memberID: string; readonly alarm: string }[];
}

/** The node that was killed stands again, and must be told that it cannot. */
async function startsInVain({ leader, violation, world: { history } }: Scene): Promise<void> {
  leader.start();
  await settled(leader.ended(), { what: `end of ${leader.process} without space` }).catch((error: unknown) =>
    violation("process", String(error)),
  );
  const code = history.failureOf(leader.process);
  if (code !== noSpaceCode) violation("process", `${leader.process} had to stand without space: ${code ?? "no error"}`);
}

/** Since that revision nothing may have been written. */
async function refusesWrites({ world: { cluster, witness }, violation }: Scene, full: bigint): Promise<void> {
  if (!(await isFull(cluster, { key: base64("filler"), value: "" }))) violation("harness", "etcd takes a put again");
  const revision = await revisionOf(cluster);
  await until(() => witness.revision >= revision, { what: `revision ${revision} at the witness` });
  const written = witness.writes.filter((write) => write.revision > full && write.revision <= revision).length;
  if (written > 0) violation("space", `etcd took ${written} guarded writes although its quota was used up`);
}

/** What an administrator does: compact, defragment every member, end the alarms. */
async function makeRoom(cluster: Cluster): Promise<void> {
  const { revision } = await signedIn(() => cluster.member(0).gateway.status());
  await signedIn(() => cluster.call("kv/deleterange", { key: base64("filler") }));
  await compact(cluster, revision);
  for (const { gateway } of cluster.members) {
    await signedIn(() => gateway.call("maintenance/defragment", {}, { timeoutMs: defragmentMs }));
  }
  const { alarms = [] } = (await signedIn(() => cluster.call("maintenance/alarm", { action: "GET" }))) as AlarmAnswer;
  for (const { memberID, alarm } of alarms) {
    await signedIn(() => cluster.call("maintenance/alarm", { action: "DEACTIVATE", memberID, alarm }));
  }
}

/** A member that answers too late has it done all the same, and the next one says that it is. */
async function compact(cluster: Cluster, revision: bigint): Promise<void> {
  await signedIn(async () => {
    try {
      return await cluster.call("kv/compaction", { revision: String(revision), physical: true });
    } catch (error) {
      if (String(error).includes("required revision has been compacted")) return true;
      throw error;
    }
  });
}

/** In a secured cluster a call fails once when its token has run out. */
function signedIn<T>(call: () => Promise<T>): Promise<Exclude<T, false | undefined | null>> {
  return until(call, { what: "answer of etcd", intervalMs: 100 });
}

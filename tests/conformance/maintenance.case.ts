import type { DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { AlarmRequest_AlarmAction as AlarmAction, AlarmType, Cluster, KV, Lease, Maintenance } from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";
import type { Harness } from "./harness.ts";

const noSpace = { status: "8", message: "etcdserver: mvcc: database space exceeded" };
const corrupt = { status: "15", message: "etcdserver: corrupt cluster" };
const ok = { status: "0" };

/** Alarms, hashes, and what can be done to a cluster of one member. */
export function maintenanceCases(h: Harness): void {
  async function call<M extends DescMethod>(method: M, request: MessageInitShape<M["input"]>) {
    const { status, message, messages } = await h.raw().unary(method, request);
    return { status, message, answer: messages[0] as MessageShape<M["output"]> };
  }
  const name = (): Uint8Array => Buffer.from(h.name());
  const member = async (): Promise<bigint> => (await call(Cluster.method.memberList, {})).answer.members[0]?.ID ?? 0n;

  /** Runs an action while an alarm is up. */
  async function during(alarm: AlarmType, action: (memberID: bigint) => Promise<void>): Promise<void> {
    const memberID = await member();
    const alarms = [{ memberID, alarm }];
    const raised = await call(Maintenance.method.alarm, { action: AlarmAction.ACTIVATE, memberID, alarm });
    expect(raised).toMatchObject({ ...ok, answer: { alarms } });
    try {
      await action(memberID);
    } finally {
      const ended = await call(Maintenance.method.alarm, { action: AlarmAction.DEACTIVATE, memberID, alarm });
      expect(ended).toMatchObject({ ...ok, answer: { alarms } });
    }
  }

  describe("maintenance", () => {
    it("has no alarm unless somebody raises one, and then tells of it", async () => {
      expect((await call(Maintenance.method.alarm, {})).answer.alarms).toEqual([]);
      await during(AlarmType.NOSPACE, async (memberID) => {
        const alarms = [{ memberID, alarm: AlarmType.NOSPACE }];
        expect(await call(Maintenance.method.alarm, {})).toMatchObject({ answer: { alarms } });
        expect((await call(Maintenance.method.alarm, { alarm: AlarmType.CORRUPT })).answer.alarms).toEqual([]);
        const { answer } = await call(Maintenance.method.status, {});
        expect(answer.errors).toEqual([`memberID:${memberID} alarm:NOSPACE `]);
      });
      expect((await call(Maintenance.method.alarm, {})).answer.alarms).toEqual([]);
      const none = { action: AlarmAction.DEACTIVATE, memberID: 1n, alarm: AlarmType.NOSPACE };
      expect((await call(Maintenance.method.alarm, none)).answer.alarms).toEqual([]);
    });

    it("takes no puts and grants no lease without space, but everything else", async () => {
      const key = name();
      const put = { request: { case: "requestPut", value: { key } } } as const;
      const get = { request: { case: "requestRange", value: { key } } } as const;
      const remove = { request: { case: "requestDeleteRange", value: { key } } } as const;
      const { ID } = await h.etcd().lease.grant(60n);
      await during(AlarmType.NOSPACE, async () => {
        expect(await call(KV.method.put, { key })).toMatchObject(noSpace);
        expect(await call(KV.method.txn, { success: [put] })).toMatchObject(noSpace);
        expect(await call(KV.method.txn, { failure: [put] })).toMatchObject(noSpace);
        expect(await call(Lease.method.leaseGrant, { TTL: 60n })).toMatchObject(noSpace);
        expect(await call(KV.method.txn, { success: [get, remove] })).toMatchObject(ok);
        expect(await call(KV.method.range, { key })).toMatchObject(ok);
        expect(await call(KV.method.deleteRange, { key })).toMatchObject(ok);
        expect(await call(Lease.method.leaseRevoke, { ID })).toMatchObject(ok);
      });
      expect(await call(KV.method.put, { key })).toMatchObject(ok);
    });

    it("takes no change at all when it is corrupt", async () => {
      const key = name();
      const get = { request: { case: "requestRange", value: { key } } } as const;
      await during(AlarmType.CORRUPT, async () => {
        expect(await call(KV.method.put, { key })).toMatchObject(corrupt);
        expect(await call(KV.method.deleteRange, { key })).toMatchObject(corrupt);
        expect(await call(Lease.method.leaseGrant, { TTL: 60n })).toMatchObject(corrupt);
        expect(await call(KV.method.compact, { revision: 1n })).toMatchObject(corrupt);
        expect(await call(KV.method.range, { key })).toMatchObject(ok);
        expect(await call(KV.method.txn, { success: [get] })).toMatchObject(ok);
      });
      expect(await call(KV.method.put, { key })).toMatchObject(ok);
    });

    it("hashes the history: the same for the same revision, another after a write", async () => {
      const key = name();
      const { answer } = await call(KV.method.put, { key });
      const revision = answer.header?.revision ?? 0n;
      const hash = async (at: bigint): Promise<number> =>
        (await call(Maintenance.method.hashKV, { revision: at })).answer.hash;
      const before = await hash(0n);
      expect(await hash(revision)).toBe(before);
      await call(KV.method.put, { key });
      expect(await hash(revision)).toBe(before);
      expect(await hash(0n)).not.toBe(before);
      expect(await call(Maintenance.method.hashKV, { revision: revision + 2n })).toMatchObject({
        status: "11",
        message: "etcdserver: mvcc: required revision is a future revision",
      });
      await call(KV.method.compact, { revision: revision + 1n });
      expect(await call(Maintenance.method.hashKV, { revision })).toMatchObject({
        status: "11",
        message: "etcdserver: mvcc: required revision has been compacted",
      });
      const compacted = await call(Maintenance.method.hashKV, {});
      expect(compacted.answer.compactRevision).toBe(revision + 1n);
    });

    it("has nobody else to lead", async () => {
      expect(await call(Maintenance.method.moveLeader, { targetID: await member() })).toMatchObject(ok);
      expect(await call(Maintenance.method.moveLeader, { targetID: 1n })).toMatchObject({
        status: "9",
        message: "etcdserver: bad leader transferee",
      });
    });

    it("defragments", async () => {
      expect(await call(Maintenance.method.defragment, {})).toMatchObject(ok);
    });

    it("refuses changes of members that make no sense", async () => {
      const ID = await member();
      const notFound = { status: "5", message: "etcdserver: member not found" };
      expect(await call(Cluster.method.memberRemove, { ID: 1n })).toMatchObject(notFound);
      expect(await call(Cluster.method.memberUpdate, { ID: 1n, peerURLs: ["http://a:1"] })).toMatchObject(notFound);
      expect(await call(Cluster.method.memberPromote, { ID: 1n })).toMatchObject(notFound);
      expect(await call(Cluster.method.memberPromote, { ID })).toMatchObject({
        status: "9",
        message: "etcdserver: can only promote a learner member",
      });
      expect(await call(Cluster.method.memberRemove, { ID })).toMatchObject({
        status: "2",
        message: "etcdserver: re-configuration failed due to not enough started members",
      });
      for (const peerURLs of [[], ["nonsense"], ["http://a"], ["http://a:1/path"], ["ftp://a:1"]]) {
        expect(await call(Cluster.method.memberAdd, { peerURLs })).toMatchObject({
          status: "3",
          message: "etcdserver: given member URLs are invalid",
        });
      }
    });

    it("shows a member's new URL for peers", async () => {
      const { answer } = await call(Cluster.method.memberList, {});
      const [known] = answer.members;
      const update = (peerURLs: string[]) => call(Cluster.method.memberUpdate, { ID: known?.ID ?? 0n, peerURLs });
      const peerURLs = ["http://127.0.0.1:9"];
      expect(await update(peerURLs)).toMatchObject({ ...ok, answer: { members: [{ peerURLs }] } });
      expect((await call(Cluster.method.memberList, {})).answer.members[0]?.peerURLs).toEqual(peerURLs);
      expect(await update(known?.peerURLs ?? [])).toMatchObject(ok);
    });
  });
}

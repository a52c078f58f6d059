import { describe, expect, it } from "vitest";
import { KV } from "@tenure/etcd/rpc";
import { type Harness, text } from "./harness.ts";

const bytes = (key: string): Uint8Array => Buffer.from(key);
const MIB = 1024 * 1024;

/** Writes and deletions of keys. */
export function kvCases(h: Harness): void {
  describe("kv", () => {
    it("a new key has version 1 and the revision of its put as create and mod revision", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const revision = (await kv.put(key, "a")).header?.revision;
      const found = await kv.get(key);
      expect(found).toMatchObject({ version: 1n, createRevision: revision, modRevision: revision, lease: 0n });
      expect(text(found?.value)).toBe("a");
    });

    it("a put over a key raises version and mod revision and keeps the create revision", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const first = (await kv.put(key, "a")).header?.revision;
      const second = (await kv.put(key, "b")).header?.revision;
      expect(await kv.get(key)).toMatchObject({ version: 2n, createRevision: first, modRevision: second });
    });

    it("a put of the value that is there already is a new version all the same", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "same");
      const second = (await kv.put(key, "same")).header?.revision;
      expect(await kv.get(key)).toMatchObject({ version: 2n, modRevision: second });
    });

    it("a key that was deleted begins anew with version 1 and a new create revision", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "a");
      await kv.put(key, "b");
      await kv.delete(key);
      const revision = (await kv.put(key, "c")).header?.revision;
      expect(await kv.get(key)).toMatchObject({ version: 1n, createRevision: revision, modRevision: revision });
    });

    it("each write raises the store's revision by one", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const start = (await kv.put(key, "a")).header?.revision ?? 0n;
      expect((await kv.put(key, "b")).header?.revision).toBe(start + 1n);
      expect((await kv.delete(key)).header?.revision).toBe(start + 2n);
      expect((await kv.range(key)).header?.revision).toBe(start + 2n);
    });

    it("every answer's header names the cluster and the member", async () => {
      const etcd = h.etcd();
      const { header } = await etcd.maintenance.status();
      expect(header?.clusterId).not.toBe(0n);
      const key = h.name();
      const headers = [(await etcd.kv.put(key, "a")).header, (await etcd.kv.range(key)).header];
      headers.push((await etcd.kv.delete(key)).header, (await etcd.kv.txn().commit()).header);
      for (const each of headers) {
        expect(each).toMatchObject({ clusterId: header?.clusterId, memberId: header?.memberId });
      }
    });

    it("prev_kv of a put is the key as it was", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "a");
      const before = await kv.get(key);
      const { prevKv } = await kv.put(key, "b", { prevKv: true });
      expect(prevKv).toEqual(before);
    });

    it("prev_kv of a put is absent for a key that is new", async () => {
      const { prevKv } = await h.etcd().kv.put(h.name(), "a", { prevKv: true });
      expect(prevKv).toBeUndefined();
    });

    it("without prev_kv a put does not show the key as it was", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "a");
      expect((await kv.put(key, "b")).prevKv).toBeUndefined();
    });

    it("a value may be empty and may hold any bytes", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "");
      expect((await kv.get(key))?.value.byteLength).toBe(0);
      const all = Uint8Array.from({ length: 256 }, (_, index) => index);
      await kv.put(key, all);
      expect(Buffer.from((await kv.get(key))?.value ?? []).equals(all)).toBe(true);
    });

    it("ignore_value keeps the value and moves the key to the lease given", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { ID } = await etcd.lease.grant(60n);
      await etcd.kv.put(key, "kept");
      await etcd.kv.put(key, "", { ignoreValue: true, leaseId: ID });
      const found = await etcd.kv.get(key);
      expect(text(found?.value)).toBe("kept");
      expect(found).toMatchObject({ lease: ID, version: 2n });
      await etcd.lease.revoke(ID);
      expect(await etcd.kv.get(key)).toBeUndefined();
    });

    it("ignore_lease keeps the lease and changes the value", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { ID } = await etcd.lease.grant(60n);
      await etcd.kv.put(key, "a", { leaseId: ID });
      await etcd.kv.put(key, "b", { ignoreLease: true });
      const found = await etcd.kv.get(key);
      expect(text(found?.value)).toBe("b");
      expect(found?.lease).toBe(ID);
      await etcd.lease.revoke(ID);
      expect(await etcd.kv.get(key)).toBeUndefined();
    });

    it("ignore_value and ignore_lease together only raise the version", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { ID } = await etcd.lease.grant(60n);
      await etcd.kv.put(key, "a", { leaseId: ID });
      await etcd.kv.put(key, "", { ignoreValue: true, ignoreLease: true });
      const found = await etcd.kv.get(key);
      expect(found).toMatchObject({ lease: ID, version: 2n });
      expect(text(found?.value)).toBe("a");
      await etcd.lease.revoke(ID);
    });

    for (const flag of ["ignoreValue", "ignoreLease"] as const) {
      it(`${flag} of a key that is not there is refused: key not found`, async () => {
        const key = bytes(h.name());
        const answer = await h.raw().unary(KV.method.put, { key, [flag]: true });
        expect(answer).toMatchObject({ status: "3", message: "etcdserver: key not found" });
      });
    }

    it("ignore_value with a value is refused: value is provided", async () => {
      const key = bytes(h.name());
      const answer = await h.raw().unary(KV.method.put, { key, value: bytes("x"), ignoreValue: true });
      expect(answer).toMatchObject({ status: "3", message: "etcdserver: value is provided" });
    });

    it("ignore_lease with a lease is refused: lease is provided", async () => {
      const key = bytes(h.name());
      const answer = await h.raw().unary(KV.method.put, { key, lease: 7n, ignoreLease: true });
      expect(answer).toMatchObject({ status: "3", message: "etcdserver: lease is provided" });
    });

    for (const method of ["put", "range", "deleteRange"] as const) {
      it(`${method} without a key is refused: key is not provided`, async () => {
        const answer = await h.raw().unary(KV.method[method], {});
        expect(answer).toMatchObject({ status: "3", message: "etcdserver: key is not provided" });
      });
    }

    it("a put above the request limit of 1.5 MiB is refused and changes nothing", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const before = (await kv.put(key, "small")).header?.revision;
      const answer = await h.raw().unary(KV.method.put, { key: bytes(key), value: new Uint8Array(1.5 * MIB) });
      expect(answer).toMatchObject({ status: "3", message: "etcdserver: request is too large" });
      const { header, kvs } = await kv.range(key);
      expect(header?.revision).toBe(before);
      expect(text(kvs[0]?.value)).toBe("small");
    });

    it("a message above 2 MiB is refused before it is read: resource exhausted", async () => {
      const answer = await h.raw().unary(KV.method.put, { key: bytes(h.name()), value: new Uint8Array(3 * MIB) });
      expect(answer.status).toBe("8");
      const refusal = h.etcd().kv.put(h.name(), new Uint8Array(3 * MIB));
      await expect(refusal).rejects.toMatchObject({ code: "resource-exhausted", mayHaveApplied: false });
    });

    it("a put just below the request limit is taken", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, new Uint8Array(1.5 * MIB - 1024));
      expect((await kv.get(key))?.value.byteLength).toBe(1.5 * MIB - 1024);
      await kv.delete(key);
    });

    it("an answer may be larger than any request: 6 MiB in one range", async () => {
      const { kv } = h.etcd();
      const prefix = h.name();
      for (let index = 0; index < 6; index++) await kv.put(`${prefix}/${index}`, new Uint8Array(MIB).fill(index));
      const { kvs } = await kv.range({ prefix });
      expect(kvs.map(({ value }) => [value.byteLength, value.at(-1)])).toEqual([0, 1, 2, 3, 4, 5].map((n) => [MIB, n]));
      await kv.delete({ prefix });
    });

    it("deleting a key says that one is gone, and it is", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "a");
      expect((await kv.delete(key)).deleted).toBe(1n);
      expect(await kv.get(key)).toBeUndefined();
    });

    it("deleting what is not there says 0 and makes no revision", async () => {
      const { kv } = h.etcd();
      const before = (await kv.put(h.name(), "a")).header?.revision;
      const answer = await kv.delete(h.name());
      expect(answer.deleted).toBe(0n);
      expect(answer.header?.revision).toBe(before);
    });

    it("deleting one key leaves those that it is a prefix of", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "a");
      await kv.put(`${key}/b`, "b");
      await kv.delete(key);
      expect((await kv.range({ prefix: key })).kvs.map((each) => text(each.key))).toEqual([`${key}/b`]);
    });

    it("deleting a prefix takes all its keys in one revision", async () => {
      const { kv } = h.etcd();
      const prefix = h.name();
      for (const key of ["a", "b", "c"]) await kv.put(`${prefix}/${key}`, key);
      const before = (await kv.put(`${prefix}0`, "beside")).header?.revision ?? 0n;
      const answer = await kv.delete({ prefix: `${prefix}/` });
      expect(answer.deleted).toBe(3n);
      expect(answer.header?.revision).toBe(before + 1n);
      expect((await kv.range({ prefix })).kvs.map((each) => text(each.key))).toEqual([`${prefix}0`]);
    });

    it("deleting a range leaves its end", async () => {
      const { kv } = h.etcd();
      const prefix = h.name();
      for (const key of ["a", "b", "c"]) await kv.put(`${prefix}/${key}`, key);
      expect((await kv.delete({ from: `${prefix}/a`, to: `${prefix}/c` })).deleted).toBe(2n);
      expect((await kv.range({ prefix })).kvs.map((each) => text(each.value))).toEqual(["c"]);
    });

    it("deleting a range whose end is below its start deletes nothing", async () => {
      const { kv } = h.etcd();
      const prefix = h.name();
      for (const key of ["a", "b"]) await kv.put(`${prefix}/${key}`, key);
      expect((await kv.delete({ from: `${prefix}/b`, to: `${prefix}/a` })).deleted).toBe(0n);
      expect((await kv.range({ prefix })).count).toBe(2n);
    });

    it("deleting from a key on takes every key up to the last", async () => {
      const { kv } = h.etcd();
      const last = (end: string): Uint8Array => Buffer.concat([Uint8Array.of(0xff), bytes(end)]);
      for (const key of ["a", "b", "c"]) await kv.put(last(key), key);
      expect((await kv.delete({ from: last("b") })).deleted).toBe(2n);
      expect((await kv.range({ from: last("") })).kvs.map((each) => text(each.value))).toEqual(["a"]);
      await kv.delete(last("a"));
    });

    it("prev_kv of a deletion is every key as it was, in the order of the keys", async () => {
      const { kv } = h.etcd();
      const prefix = h.name();
      for (const key of ["b", "a", "c"]) await kv.put(`${prefix}/${key}`, key);
      const { kvs } = await kv.range({ prefix });
      const { prevKvs } = await kv.delete({ prefix }, { prevKv: true });
      expect(prevKvs).toEqual(kvs);
      expect(prevKvs.map((each) => text(each.value))).toEqual(["a", "b", "c"]);
    });

    it("without prev_kv a deletion shows only how many keys are gone", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "a");
      expect(await kv.delete(key)).toMatchObject({ deleted: 1n, prevKvs: [] });
    });

    it("compaction of a revision that is compacted already is refused as compacted", async () => {
      const { kv } = h.etcd();
      const revision = (await kv.put(h.name(), "a")).header?.revision ?? 0n;
      await kv.compact(revision);
      const answer = await h.raw().unary(KV.method.compact, { revision });
      expect(answer).toMatchObject({
        status: "11",
        message: "etcdserver: mvcc: required revision has been compacted",
      });
      await expect(kv.compact(revision)).rejects.toMatchObject({ code: "compacted" });
    });

    it("compaction of a revision still to come is refused as a future revision", async () => {
      const { kv } = h.etcd();
      const revision = (await kv.put(h.name(), "a")).header?.revision ?? 0n;
      const answer = await h.raw().unary(KV.method.compact, { revision: revision + 1n });
      expect(answer).toMatchObject({
        status: "11",
        message: "etcdserver: mvcc: required revision is a future revision",
      });
    });

    it("compaction leaves the keys as they are and makes no revision", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "a");
      const revision = (await kv.put(key, "b")).header?.revision ?? 0n;
      expect((await kv.compact(revision, { physical: true })).header?.revision).toBe(revision);
      expect(await kv.get(key)).toMatchObject({ version: 2n, createRevision: revision - 1n });
    });
  });
}

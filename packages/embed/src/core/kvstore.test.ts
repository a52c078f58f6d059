import { create } from "@bufbuild/protobuf";
import {
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
} from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";

import { bytes, TestServer, text } from "../testing/test-server.ts";
import { EtcdServer } from "./etcd-server.ts";

const put = (fields: { key?: string; value?: string; [option: string]: unknown }): Parameters<EtcdServer["put"]>[0] =>
  create(PutRequestSchema, {
    ...fields,
    key: bytes(fields.key ?? "k"),
    value: bytes(fields.value ?? ""),
  });

describe("put", () => {
  it("raises the revision by one and counts the versions of a key from its creation", () => {
    const etcd = new TestServer();
    expect(etcd.put("a", "1").header?.revision).toBe(101n);
    etcd.put("a", "2");
    expect(etcd.range("a").kvs[0]).toMatchObject({
      createRevision: 101n,
      modRevision: 102n,
      version: 2n,
    });
    etcd.delete("a");
    etcd.put("a", "3");
    expect(etcd.range("a").kvs[0]).toMatchObject({
      createRevision: 104n,
      modRevision: 104n,
      version: 1n,
    });
  });

  it("returns the state before it when asked", () => {
    const etcd = new TestServer();
    expect(etcd.server.put(put({ value: "1", prevKv: true })).prevKv).toBeUndefined();
    expect(text(etcd.server.put(put({ value: "2", prevKv: true })).prevKv?.value)).toBe("1");
  });

  it("keeps the value or the lease when told to ignore the new one, if there is a key", () => {
    const etcd = new TestServer();
    const [lease] = etcd.grant(10n);
    expect(() => etcd.server.put(put({ ignoreValue: true }))).toThrow("etcdserver: key not found");
    etcd.put("k", "old", lease);
    etcd.server.put(put({ ignoreValue: true }));
    expect(etcd.range("k").kvs[0]).toMatchObject({ version: 2n, value: new Uint8Array(bytes("old")), lease: 0n });
    etcd.put("k", "old", lease);
    etcd.server.put(put({ value: "new", ignoreLease: true }));
    expect(etcd.range("k").kvs[0]).toMatchObject({ value: new Uint8Array(bytes("new")), lease });
  });

  it("refuses what etcd refuses, with its text, and changes nothing", () => {
    const etcd = new TestServer();
    expect(() => etcd.put("", "1")).toThrow("etcdserver: key is not provided");
    expect(() => etcd.put("k", "1", 7n)).toThrow("etcdserver: requested lease not found");
    expect(() => etcd.server.put(put({ value: "1", ignoreValue: true }))).toThrow("etcdserver: value is provided");
    expect(() => etcd.server.put(put({ lease: 7n, ignoreLease: true }))).toThrow("etcdserver: lease is provided");
    expect(etcd.range("k").header?.revision).toBe(100n);
  });

  it("takes a value just below 1.5 MiB and refuses one of that size", () => {
    const etcd = new TestServer();
    etcd.put("k", "x".repeat(1.5 * 1024 * 1024 - 100));
    expect(() => etcd.put("k", "x".repeat(1.5 * 1024 * 1024))).toThrow("etcdserver: request is too large");
  });

  it("keeps a copy of the value, whatever becomes of the request's bytes", () => {
    const etcd = new TestServer();
    const value = Buffer.from("good");
    etcd.server.put(create(PutRequestSchema, { key: bytes("k"), value }));
    value.fill("x");
    expect(text(etcd.range("k").kvs[0]?.value)).toBe("good");
  });
});

describe("deleteRange", () => {
  it("deletes a range in one revision", () => {
    const etcd = new TestServer();
    etcd.put("a1", "1");
    etcd.put("a2", "2");
    const request = { key: bytes("a"), rangeEnd: bytes("b"), prevKv: true };
    const response = etcd.server.deleteRange(create(DeleteRangeRequestSchema, request));
    expect(response).toMatchObject({ deleted: 2n, header: { revision: 103n } });
    expect(response.prevKvs.map((kv) => text(kv.value))).toEqual(["1", "2"]);
  });

  it("leaves the revision alone when nothing matches", () => {
    const etcd = new TestServer();
    expect(etcd.delete("a")).toBe(0n);
    expect(etcd.range("a").header?.revision).toBe(100n);
  });
});

describe("range", () => {
  const filled = (): TestServer => {
    const etcd = new TestServer();
    for (const [key, value] of [
      ["b", "1"],
      ["c", "0"],
      ["a", "2"],
      ["b", "3"],
    ] as const)
      etcd.put(`k/${key}`, value);
    return etcd;
  };

  it("orders by key, whatever the order of creation, bytes above 0x7f last", () => {
    const etcd = filled();
    etcd.put("k/é", "");
    expect(etcd.keys("k/", { rangeEnd: bytes("\0") })).toEqual(["k/a", "k/b", "k/c", "k/é"]);
  });

  it.each([
    [SortTarget.KEY, ["c", "b", "a"]],
    [SortTarget.VERSION, ["b", "a", "c"]],
    [SortTarget.CREATE, ["a", "c", "b"]],
    [SortTarget.MOD, ["b", "a", "c"]],
    [SortTarget.VALUE, ["b", "a", "c"]],
  ])("sorts by target %i, descending", (sortTarget, expected) => {
    const keys = filled().keys("k/", { sortTarget, sortOrder: SortOrder.DESCEND });
    expect(keys).toEqual(expected.map((key) => `k/${key}`));
  });

  it("names the key created first, as a leader is looked up", () => {
    const request = { sortTarget: SortTarget.CREATE, sortOrder: SortOrder.ASCEND, limit: 1n };
    const response = filled().range("k/", request);
    expect(response).toMatchObject({ more: true, count: 3n });
    expect(response.kvs.map((kv) => text(kv.key))).toEqual(["k/b"]);
  });

  it("sorts ascending when a target is given without an order", () => {
    expect(filled().keys("k/", { sortTarget: SortTarget.MOD })).toEqual(["k/c", "k/a", "k/b"]);
  });

  it("filters by revision and counts what is in the range nevertheless", () => {
    const etcd = filled();
    expect(etcd.keys("k/", { maxCreateRevision: 102n })).toEqual(["k/b", "k/c"]);
    expect(etcd.keys("k/", { minCreateRevision: 103n })).toEqual(["k/a"]);
    expect(etcd.keys("k/", { minModRevision: 103n, maxModRevision: 103n })).toEqual(["k/a"]);
    expect(etcd.range("k/", { minCreateRevision: 103n }).count).toBe(3n);
  });

  it("leaves out values or keys when asked", () => {
    const etcd = filled();
    expect(etcd.range("k/", { keysOnly: true }).kvs.map((kv) => kv.value.byteLength)).toEqual([0, 0, 0]);
    expect(etcd.range("k/", { countOnly: true })).toMatchObject({
      kvs: [],
      count: 3n,
      more: false,
    });
  });

  it("reads the past: deleted keys are there, later ones are not", () => {
    const etcd = new TestServer();
    etcd.put("a", "1");
    etcd.put("b", "2");
    etcd.delete("a");
    expect(etcd.keys("", { key: bytes("\0"), revision: 101n })).toEqual(["a"]);
    expect(etcd.keys("", { key: bytes("\0"), revision: 102n })).toEqual(["a", "b"]);
    expect(etcd.keys("", { key: bytes("\0") })).toEqual(["b"]);
    expect(etcd.range("a", { revision: 101n }).header?.revision).toBe(103n);
  });

  it("reads a revision before the first as the start of history", () => {
    const etcd = filled();
    expect(etcd.range("k/", { revision: 5n })).toMatchObject({ kvs: [], count: 0n });
  });

  it("takes an unknown sort order for none", () => {
    const request = { sortTarget: SortTarget.MOD, sortOrder: 9 as SortOrder };
    expect(filled().keys("k/", request)).toEqual(["k/a", "k/b", "k/c"]);
  });

  it("refuses a revision that is not reached yet, and an unknown sort target", () => {
    const etcd = filled();
    const future = "etcdserver: mvcc: required revision is a future revision";
    expect(() => etcd.range("k/", { revision: 105n })).toThrow(future);
    expect(() => etcd.range("k/", { sortTarget: 9 as SortTarget })).toThrow("etcdserver: invalid sort option");
  });
});

describe("compact", () => {
  it("keeps what is readable at its revision and refuses what is older", () => {
    const etcd = new TestServer();
    etcd.put("a", "1");
    etcd.put("a", "2");
    etcd.put("b", "1");
    etcd.delete("b");
    etcd.put("a", "3");
    etcd.compact(104n);
    expect(text(etcd.range("a", { revision: 104n }).kvs[0]?.value)).toBe("2");
    expect(etcd.keys("", { key: bytes("\0") })).toEqual(["a"]);
    const compacted = "etcdserver: mvcc: required revision has been compacted";
    expect(() => etcd.range("a", { revision: 103n })).toThrow(compacted);
    expect(() => etcd.compact(104n)).toThrow(compacted);
    expect(() => etcd.compact(106n)).toThrow("etcdserver: mvcc: required revision is a future revision");
  });

  it("gives back the room of what it forgets", () => {
    const etcd = new TestServer();
    const empty = etcd.server.maintenance.status().dbSize;
    for (let i = 0; i < 10; i += 1) etcd.put("a", `${i}`);
    etcd.delete("a");
    expect(etcd.server.maintenance.status().dbSize).toBeGreaterThan(empty);
    etcd.compact(111n);
    expect(etcd.server.maintenance.status().dbSize).toBe(empty);
  });
});

describe("the first revision", () => {
  it("comes from the wall clock in microseconds, so that it rises over a restart", () => {
    const { clock } = new TestServer();
    const random = { fraction: () => 0.5, bits: () => 1n };
    const revision = (): bigint | undefined => new EtcdServer({ clock, random }).leaseLeases().header?.revision;
    const before = revision();
    expect(before).toBe(BigInt(Date.UTC(2026, 0, 1)) * 1000n);
    clock.advance(1);
    expect(revision()).toBe((before ?? 0n) + 1000n);
    expect(() => new EtcdServer({ clock, random, firstRevision: 0n })).toThrow("firstRevision must be from 1");
  });
});

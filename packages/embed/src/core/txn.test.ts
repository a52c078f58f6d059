import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Compare_CompareResult as Result,
  type CompareSchema,
  Compare_CompareTarget as Target,
  type RequestOpSchema,
  type TxnRequestSchema,
} from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";

import { bytes, TestServer, text } from "../testing/test-server.ts";

type Op = MessageInitShape<typeof RequestOpSchema>;
type Txn = MessageInitShape<typeof TxnRequestSchema>;

const put = (key: string, value = ""): Op => ({
  request: { case: "requestPut", value: { key: bytes(key), value: bytes(value) } },
});
const get = (key: string, revision = 0n): Op => ({
  request: { case: "requestRange", value: { key: bytes(key), revision } },
});
const remove = (key: string, end = ""): Op => ({
  request: { case: "requestDeleteRange", value: { key: bytes(key), rangeEnd: bytes(end) } },
});
const nested = (value: Txn): Op => ({ request: { case: "requestTxn", value } });

describe("txn", () => {
  it("takes one branch and gives all its writes one revision", () => {
    const etcd = new TestServer();
    const response = etcd.txn({ success: [put("a", "1"), put("b", "2")], failure: [put("c")] });
    expect(response).toMatchObject({ succeeded: true, header: { revision: 101n } });
    expect(etcd.range("", { key: bytes("\0") }).kvs.map((kv) => kv.modRevision)).toEqual([101n, 101n]);
  });

  it("reads its own writes and leaves the state before it readable", () => {
    const etcd = new TestServer();
    etcd.put("a", "old");
    const response = etcd.txn({
      success: [put("a", "new"), get("a"), get("a", 101n), remove("a"), get("a")].slice(0, 3),
    });
    const values = response.responses.map(({ response: op }) =>
      op.case === "responseRange" ? op.value.kvs.map((kv) => text(kv.value)) : [],
    );
    expect(values).toEqual([[], ["new"], ["old"]]);
  });

  it("leaves the revision alone when it only reads or deletes nothing", () => {
    const etcd = new TestServer();
    expect(etcd.txn({ success: [get("a"), remove("a")] }).header?.revision).toBe(100n);
  });

  it("writes nothing when one operation is refused", () => {
    const etcd = new TestServer();
    const badPut: Op = { request: { case: "requestPut", value: { key: bytes("b"), lease: 9n } } };
    expect(() => etcd.txn({ success: [put("a"), badPut] })).toThrow("etcdserver: requested lease not found");
    expect(() => etcd.txn({ success: [put("a"), get("b", 999n)] })).toThrow("required revision is a future revision");
    expect(etcd.range("a").header?.revision).toBe(100n);
  });

  it("refuses as etcd does, which looks at puts before reads, and at keys before leases", () => {
    const etcd = new TestServer();
    const onLease: Op = { request: { case: "requestPut", value: { key: bytes("b"), lease: 9n } } };
    expect(() => etcd.txn({ success: [get("a", 999n), onLease] })).toThrow("requested lease not found");
    const again: Op = { request: { case: "requestPut", value: { key: bytes("b"), lease: 9n, ignoreValue: true } } };
    expect(() => etcd.txn({ success: [get("a", 999n), again] })).toThrow("etcdserver: key not found");
  });

  it("deletes all keys from one on and puts one of them, which etcd overlooks when it looks for duplicates", () => {
    const etcd = new TestServer();
    etcd.put("b", "old");
    expect(() => etcd.txn({ success: [remove("a", "c"), put("b")] })).toThrow("duplicate key");
    etcd.txn({ success: [remove("a", "\0"), put("b", "new")] });
    expect(etcd.range("b").kvs).toMatchObject([{ version: 1n, createRevision: 102n }]);
  });

  it("runs nested transactions, whose compares see the state before the outermost one", () => {
    const etcd = new TestServer();
    const absent = { key: bytes("a"), target: Target.CREATE, result: Result.EQUAL };
    const inner = nested({ compare: [absent], success: [put("b")], failure: [put("c")] });
    const response = etcd.txn({ success: [put("a"), inner] });
    expect(response.responses[1]?.response).toMatchObject({
      case: "responseTxn",
      value: { succeeded: true },
    });
    expect(etcd.keys("", { key: bytes("\0") })).toEqual(["a", "b"]);
    expect(etcd.range("b").header?.revision).toBe(101n);
  });

  it.each<[string, Txn]>([
    ["a key put twice", { success: [put("a"), put("a")] }],
    ["a key put and deleted", { success: [put("b"), remove("a", "c")] }],
    ["a key put here and in a nested transaction", { success: [put("a"), nested({ failure: [put("a")] })] }],
    ["a key deleted in a nested transaction and put", { failure: [nested({ success: [remove("a")] }), put("a")] }],
  ])("refuses %s", (_, request) => {
    expect(() => new TestServer().txn(request)).toThrow("etcdserver: duplicate key given in txn request");
  });

  it("allows the two branches of a nested transaction to put the same key", () => {
    const etcd = new TestServer();
    etcd.txn({ success: [nested({ success: [put("a", "then")], failure: [put("a", "else")] })] });
    expect(text(etcd.range("a").kvs[0]?.value)).toBe("then");
  });

  it("refuses more than 128 operations, nested ones together with their parents", () => {
    const etcd = new TestServer();
    const puts = (count: number): Op[] => Array.from({ length: count }, (_, i) => put(`k${i}`));
    etcd.txn({ success: puts(128) });
    expect(() => etcd.txn({ success: puts(129) })).toThrow("etcdserver: too many operations in txn request");
    etcd.txn({ success: [nested({ success: puts(127) })] });
    expect(() => etcd.txn({ success: [nested({ success: puts(128) })] })).toThrow("too many operations");
  });

  it("refuses an empty key, an empty operation and a large request", () => {
    const etcd = new TestServer();
    expect(() => etcd.txn({ compare: [{}] })).toThrow("etcdserver: key is not provided");
    expect(() => etcd.txn({ success: [put("")] })).toThrow("etcdserver: key is not provided");
    expect(() => etcd.txn({ success: [{}] })).toThrow("etcdserver: key not found");
    const half = "x".repeat(800_000);
    expect(() => etcd.txn({ success: [put("a", half), put("b", half)] })).toThrow("etcdserver: request is too large");
  });
});

describe("compare", () => {
  type Compare = MessageInitShape<typeof CompareSchema>;
  const holds = (compare: Compare): boolean => {
    const etcd = new TestServer();
    etcd.put("a", "1");
    etcd.put("a", "2");
    etcd.put("b", "9");
    return etcd.txn({ compare: [{ key: bytes("a"), ...compare }] }).succeeded;
  };

  it.each<[string, bigint, Compare["target"], Compare["targetUnion"]]>([
    ["version", 2n, Target.VERSION, { case: "version", value: 2n }],
    ["create revision", 101n, Target.CREATE, { case: "createRevision", value: 101n }],
    ["mod revision", 102n, Target.MOD, { case: "modRevision", value: 102n }],
    ["lease", 0n, Target.LEASE, { case: "lease", value: 0n }],
    ["value", 0n, Target.VALUE, { case: "value", value: bytes("2") }],
  ])("knows all results for the %s", (_, __, target = Target.VERSION, targetUnion) => {
    const results = [Result.EQUAL, Result.NOT_EQUAL, Result.GREATER, Result.LESS];
    const verdicts = results.map((result) => holds({ target, result, ...(targetUnion ? { targetUnion } : {}) }));
    expect(verdicts).toEqual([true, false, false, false]);
  });

  it("takes a missing key for zeros, but never for a value", () => {
    const key = bytes("missing");
    for (const target of [Target.VERSION, Target.CREATE, Target.MOD, Target.LEASE]) {
      expect(holds({ key, target, result: Result.EQUAL })).toBe(true);
    }
    expect(holds({ key, target: Target.VALUE, result: Result.EQUAL })).toBe(false);
    expect(holds({ key, target: Target.VALUE, result: Result.NOT_EQUAL })).toBe(false);
  });

  it("holds for a range when it holds for each of its keys", () => {
    const compare = { rangeEnd: bytes("c"), target: Target.MOD, result: Result.GREATER };
    expect(holds({ ...compare, targetUnion: { case: "modRevision", value: 101n } })).toBe(true);
    expect(holds({ ...compare, targetUnion: { case: "modRevision", value: 102n } })).toBe(false);
  });
});

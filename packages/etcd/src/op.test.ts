import { create, type MessageShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  Compare_CompareResult as Result,
  Compare_CompareTarget as Target,
  CompareSchema,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  RangeRequestSchema,
  RequestOpSchema,
} from "./gen/rpc_pb.ts";
import { compare, nested, type Op, put, range, type RangeOptions, rangeRequest, remove } from "./op.ts";

/** Bytes in a request, which are Buffers; what compares them looks at the type too. */
const bytes = (text: string): Uint8Array => Buffer.from(text);

function message(op: Op): MessageShape<typeof RequestOpSchema>["request"] {
  return create(RequestOpSchema, op).request;
}

describe("a range read", () => {
  const sorted = (options: RangeOptions): [SortTarget, SortOrder] => {
    const { sortTarget, sortOrder } = create(RangeRequestSchema, rangeRequest("k", options));
    return [sortTarget, sortOrder];
  };

  it("is not sorted unless asked for", () => {
    expect(sorted({})).toEqual([SortTarget.KEY, SortOrder.NONE]);
  });

  it.each([
    ["key", SortTarget.KEY],
    ["version", SortTarget.VERSION],
    ["create", SortTarget.CREATE],
    ["mod", SortTarget.MOD],
    ["value", SortTarget.VALUE],
  ] as const)("sorted by %s ascends unless told to descend", (sortBy, target) => {
    expect(sorted({ sortBy })).toEqual([target, SortOrder.ASCEND]);
    expect(sorted({ sortBy, order: "ascend" })).toEqual([target, SortOrder.ASCEND]);
    expect(sorted({ sortBy, order: "descend" })).toEqual([target, SortOrder.DESCEND]);
  });

  it("with an order only is sorted by key", () => {
    expect(sorted({ order: "descend" })).toEqual([SortTarget.KEY, SortOrder.DESCEND]);
  });

  it("carries every option", () => {
    const options = {
      revision: 7n,
      serializable: true,
      keysOnly: true,
      countOnly: true,
      minModRevision: 1n,
      maxModRevision: 2n,
      minCreateRevision: 3n,
      maxCreateRevision: 4n,
    };
    const request = create(RangeRequestSchema, rangeRequest("k", { limit: 5, ...options }));
    expect(request).toMatchObject({ key: bytes("k"), limit: 5n, ...options });
  });

  it("is linearizable and without a limit unless asked for", () => {
    expect(create(RangeRequestSchema, rangeRequest("k"))).toMatchObject({ limit: 0n, serializable: false });
  });
});

describe("an operation", () => {
  it("puts a key with its value, lease and options", () => {
    const { case: kind, value } = message(put("k", "v", { leaseId: 9n, prevKv: true }));
    expect(kind).toBe("requestPut");
    expect(value).toMatchObject({ key: bytes("k"), value: bytes("v"), lease: 9n, prevKv: true, ignoreLease: false });
  });

  it("puts without a lease unless one is given, and may keep the value or the lease", () => {
    expect(message(put("k", "v")).value).toMatchObject({ lease: 0n, ignoreValue: false });
    expect(message(put("k", "", { ignoreValue: true, ignoreLease: true })).value).toMatchObject({
      ignoreValue: true,
      ignoreLease: true,
    });
  });

  it("reads and deletes a range", () => {
    expect(message(range({ prefix: "a" }, { limit: 1 }))).toMatchObject({
      case: "requestRange",
      value: { key: bytes("a"), rangeEnd: Uint8Array.from(bytes("b")), limit: 1n },
    });
    expect(message(remove({ prefix: "a" }, { prevKv: true }))).toMatchObject({
      case: "requestDeleteRange",
      value: { key: bytes("a"), rangeEnd: Uint8Array.from(bytes("b")), prevKv: true },
    });
  });

  it("nests a transaction with its comparisons and both branches in order", () => {
    const op = nested([compare.version("k", "=", 1n)], [put("a", "1"), put("b", "2")], [remove("c")]);
    const { case: kind, value } = message(op);
    expect(kind).toBe("requestTxn");
    expect(value).toMatchObject({
      compare: [{ target: Target.VERSION }],
      success: [
        { request: { case: "requestPut", value: { key: bytes("a") } } },
        { request: { case: "requestPut", value: { key: bytes("b") } } },
      ],
      failure: [{ request: { case: "requestDeleteRange", value: { key: bytes("c") } } }],
    });
  });

  it("refuses an empty key", () => {
    expect(() => put("", "v")).toThrow("a key must not be empty");
    expect(() => range("")).toThrow("a key must not be empty");
    expect(() => remove("")).toThrow("a key must not be empty");
    expect(() => compare.version("", "=", 1n)).toThrow("a key must not be empty");
  });
});

describe("a comparison", () => {
  it.each([
    ["=", Result.EQUAL],
    ["!=", Result.NOT_EQUAL],
    [">", Result.GREATER],
    ["<", Result.LESS],
  ] as const)("with %s asks for the right relation", (relation, result) => {
    expect(create(CompareSchema, compare.modRevision("k", relation, 1n)).result).toBe(result);
  });

  it.each([
    [compare.createRevision("k", "=", 5n), Target.CREATE, { case: "createRevision", value: 5n }],
    [compare.modRevision("k", "=", 5n), Target.MOD, { case: "modRevision", value: 5n }],
    [compare.version("k", "=", 5n), Target.VERSION, { case: "version", value: 5n }],
    [compare.lease("k", "=", 5n), Target.LEASE, { case: "lease", value: 5n }],
    [compare.value("k", "=", "v"), Target.VALUE, { case: "value", value: bytes("v") }],
  ])("number %# names its target and carries the value for it", (comparison, target, targetUnion) => {
    expect(create(CompareSchema, comparison)).toMatchObject({ target, targetUnion, key: bytes("k") });
  });

  it("over a prefix covers the range", () => {
    const made = create(CompareSchema, compare.createRevision({ prefix: "a" }, "<", 5n));
    expect(made.rangeEnd).toEqual(Uint8Array.from(bytes("b")));
  });
});

import { isDeepStrictEqual } from "node:util";

import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import {
  Event_EventType as EventType,
  EventSchema,
  frame,
  KV,
  KeyValueSchema,
  Lease,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  ResponseHeaderSchema,
  Watch,
  WatchResponseSchema,
} from "@tenure/etcd/rpc";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { codecOf } from "./codec.ts";
import { readKeepAliveRequest, readPutRequest, readRangeRequest } from "./requests.ts";

const RUNS = { numRuns: 300 };
const int64 = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(0n, 300n), fc.constantFrom(2n ** 53n, -1n));
// Around what is exact in floating point the numbers are read and written in two ways.
const border = fc.bigInt(2n ** 50n, 2n ** 57n);
const natural = fc.oneof(fc.bigInt(0n, 2n ** 63n - 1n), fc.bigInt(0n, 300n), fc.constantFrom(0n, 2n ** 53n), border);
const uint64 = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(0n, 2n ** 63n));
const bytes = fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ minLength: 120, maxLength: 300 }));
const header = fc.option(
  fc
    .record({ clusterId: uint64, memberId: uint64, revision: int64, raftTerm: uint64 })
    .map((fields) => create(ResponseHeaderSchema, fields)),
  { nil: undefined },
);
const keyValue = fc
  .record({ key: bytes, createRevision: int64, modRevision: int64, version: int64, value: bytes, lease: int64 })
  .map((fields) => create(KeyValueSchema, fields));
const optionalKeyValue = fc.option(keyValue, { nil: undefined });
const event = fc
  .record({ type: fc.constantFrom(EventType.PUT, EventType.DELETE), kv: optionalKeyValue, prevKv: optionalKeyValue })
  .map(({ type, kv, prevKv }) =>
    create(EventSchema, { type, ...(kv === undefined ? {} : { kv }), ...(prevKv === undefined ? {} : { prevKv }) }),
  );

describe("answers", () => {
  it("are written as protobuf-es writes them: puts", () => {
    const fields = fc.record({ header, prevKv: optionalKeyValue });
    expect(() => fc.assert(sameBytes(PutResponseSchema, codecOf(KV.method.put).encode, fields), RUNS)).not.toThrow();
  });

  it("are written as protobuf-es writes them: reads", () => {
    const fields = fc.record({ header, kvs: fc.array(keyValue), more: fc.boolean(), count: int64 });
    expect(() =>
      fc.assert(sameBytes(RangeResponseSchema, codecOf(KV.method.range).encode, fields), RUNS),
    ).not.toThrow();
  });

  it("are written as protobuf-es writes them: renewals", () => {
    const fields = fc.record({ header, ID: int64, TTL: int64 });
    expect(() =>
      fc.assert(sameBytes(LeaseKeepAliveResponseSchema, codecOf(Lease.method.leaseKeepAlive).encode, fields), RUNS),
    ).not.toThrow();
  });

  it("are written as protobuf-es writes them: watches", () => {
    const fields = fc.record({
      header,
      watchId: int64,
      created: fc.boolean(),
      canceled: fc.boolean(),
      compactRevision: int64,
      cancelReason: fc.string({ unit: "grapheme", maxLength: 200 }),
      fragment: fc.boolean(),
      events: fc.array(event),
    });
    expect(() =>
      fc.assert(sameBytes(WatchResponseSchema, codecOf(Watch.method.watch).encode, fields), RUNS),
    ).not.toThrow();
  });

  it("are written for each watch that shares its events with others", () => {
    const events = [create(EventSchema, { kv: create(KeyValueSchema, { key: new Uint8Array([1]) }) })];
    const { encode } = codecOf(Watch.method.watch);
    for (const watchId of [1n, 2n, 300n]) {
      const response = { ...create(WatchResponseSchema, { watchId }), events };
      expect(encode(response)).toEqual(frame(toBinary(WatchResponseSchema, response)));
    }
  });
});

describe("requests", () => {
  const put = fc.record({
    key: bytes,
    value: bytes,
    lease: natural,
    prevKv: fc.boolean(),
    ignoreValue: fc.boolean(),
    ignoreLease: fc.boolean(),
  });
  const range = fc.record({
    key: bytes,
    rangeEnd: bytes,
    limit: natural,
    revision: natural,
    sortOrder: fc.integer({ min: 0, max: 100 }),
    sortTarget: fc.integer({ min: 0, max: 100 }),
    serializable: fc.boolean(),
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
  });
  const keepAlive = fc.record({ ID: natural });

  it("are read as protobuf-es reads them", () => {
    const properties = [
      sameMessage(PutRequestSchema, readPutRequest, put),
      sameMessage(RangeRequestSchema, readRangeRequest, range),
      sameMessage(LeaseKeepAliveRequestSchema, readKeepAliveRequest, keepAlive),
    ];
    for (const property of properties) expect(() => fc.assert(property, RUNS)).not.toThrow();
  });

  it("are left to protobuf-es when a number is negative or a field is rare", () => {
    const negative = toBinary(PutRequestSchema, create(PutRequestSchema, { lease: -1n }));
    expect(readPutRequest(Buffer.from(negative))).toBeUndefined();
    expect(codecOf(KV.method.put).decode(Buffer.from(negative))).toMatchObject({ lease: -1n });
    const rare = toBinary(RangeRequestSchema, create(RangeRequestSchema, { maxModRevision: 5n }));
    expect(readRangeRequest(Buffer.from(rare))).toBeUndefined();
    expect(codecOf(KV.method.range).decode(Buffer.from(rare))).toMatchObject({ maxModRevision: 5n });
  });

  it("are read as by protobuf-es or left to it, whatever the bytes are", () => {
    const tag = fc.constantFrom(0x08, 0x0a, 0x12, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x52, 0x0d, 0);
    const number = fc.integer({ min: 0, max: 255 });
    const any = fc.array(fc.oneof(tag, number, fc.integer({ min: 0, max: 4 })), { maxLength: 24 });
    fc.assert(
      fc.property(any, (list) => {
        const message = Buffer.from(list);
        expect(agrees(PutRequestSchema, readPutRequest, message)).toBe(true);
        expect(agrees(RangeRequestSchema, readRangeRequest, message)).toBe(true);
        expect(agrees(LeaseKeepAliveRequestSchema, readKeepAliveRequest, message)).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });

  it("fail as protobuf-es fails on bytes that are no message", () => {
    expect(() => codecOf(KV.method.put).decode(Buffer.from([0x0a, 5, 1]))).toThrow(/premature|EOF|range/i);
  });
});

/** Checks that both write the same. */
function sameBytes(
  schema: DescMessage,
  encode: (message: unknown) => Buffer,
  fields: fc.Arbitrary<Record<string, unknown>>,
): fc.IProperty<[Record<string, unknown>]> {
  return fc.property(fields, (own) => {
    const message = create(schema, defined(own));
    expect(encode(message)).toEqual(frame(toBinary(schema, message)));
  });
}

/** Checks that both read the same. */
function sameMessage(
  schema: DescMessage,
  read: (bytes: Buffer) => Message | undefined,
  fields: fc.Arbitrary<Record<string, unknown>>,
): fc.IProperty<[Record<string, unknown>]> {
  return fc.property(fields, (own) => {
    const message = toBinary(schema, create(schema, defined(own)));
    expect(plain(read(Buffer.from(message)))).toEqual(plain(fromBinary(schema, message)));
  });
}

/** Whether bytes are read as by protobuf-es, or left to it. */
function agrees(schema: DescMessage, read: (bytes: Buffer) => Message | undefined, bytes: Buffer): boolean {
  const own = read(bytes);
  return own === undefined || isDeepStrictEqual(plain(own), plain(fromBinary(schema, bytes)));
}

/** Without the kind of the byte arrays, and without what protobuf-es adds for itself. */
function plain(message: Message | undefined): unknown {
  if (message === undefined) return undefined;
  const values = Object.entries(message).map(([name, value]: [string, unknown]) => [
    name,
    value instanceof Uint8Array ? [...value] : value,
  ]);
  return Object.fromEntries(values);
}

function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

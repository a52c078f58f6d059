import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EtcdError } from "../errors.ts";
import * as rpc from "../gen/rpc_pb.ts";
import type { MessageType } from "./codec.ts";
import * as messages from "./messages.ts";
import { WireWriter } from "./writer.ts";

type AnyType = MessageType<Message>;

const DESCRIBED = Object.values(rpc).filter((value) => "kind" in value && value.kind === "message") as DescMessage[];
const TYPES = Object.values(messages).map((type): [string, AnyType, DescMessage] => {
  const schema = DESCRIBED.find(({ typeName }) => typeName === type.typeName);
  if (schema === undefined) throw new Error(`no such message: ${type.typeName}`);
  return [type.typeName, type as unknown as AnyType, schema];
});
const MAX_DEPTH = 3;
const MAX_ENUM = 9;

/** Any message of a type, as protobuf-es has it. */
function anyMessage(schema: DescMessage, depth: number = 0): fc.Arbitrary<Message> {
  const fields = schema.members.map((member): [string, fc.Arbitrary<unknown>] => {
    if (member.kind !== "oneof") return [member.localName, anyField(member, depth)];
    const cases = (depth < MAX_DEPTH ? member.fields : []).map((field) =>
      fc.record({ case: fc.constant(field.localName), value: anyField(field, depth, true) }),
    );
    return [member.localName, fc.oneof(fc.constant({ case: undefined, value: undefined }), ...cases)];
  });
  return fc.record(Object.fromEntries(fields)).map((init) => create(schema, init as never));
}

function anyField(field: DescField, depth: number, always: boolean = false): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "scalar":
      return anyScalar(field.scalar);
    case "enum":
      return fc.integer({ min: 0, max: MAX_ENUM });
    case "message": {
      if (always) return anyMessage(field.message, depth + 1);
      return depth < MAX_DEPTH
        ? fc.option(anyMessage(field.message, depth + 1), { nil: undefined })
        : fc.constant(undefined);
    }
    case "list":
      if (field.listKind === "enum") return fc.array(fc.integer({ min: 0, max: MAX_ENUM }));
      if (field.listKind === "scalar") return fc.array(anyScalar(field.scalar));
      return depth < MAX_DEPTH ? fc.array(anyMessage(field.message, depth + 1), { maxLength: 3 }) : fc.constant([]);
    default:
      throw new Error(`no field of etcd is a ${field.fieldKind}`);
  }
}

function anyScalar(type: ScalarType): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.INT64:
      return fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: 0n, max: 300n }));
    case ScalarType.UINT64:
      return fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 300n }));
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.STRING:
      return fc.string({ unit: "binary", maxLength: 200 });
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
    default:
      throw new Error(`no field of etcd is a ${ScalarType[type]}`);
  }
}

const REFUSED = "refused";

/** What a type makes of bytes. */
function readOf(type: AnyType, bytes: Uint8Array): unknown {
  try {
    return type.decode(bytes);
  } catch (error) {
    if (error instanceof EtcdError && error.code === "internal") return REFUSED;
    throw error;
  }
}

describe.each(TYPES)("%s", (_name, type, schema) => {
  it("is written as protobuf-es writes it", () => {
    fc.assert(
      fc.property(anyMessage(schema), (message) => {
        expect(Buffer.from(type.encode(message)).toString("hex")).toBe(
          Buffer.from(toBinary(schema, message)).toString("hex"),
        );
      }),
    );
  });

  it("is read as protobuf-es reads it", () => {
    fc.assert(
      fc.property(anyMessage(schema), (message) => {
        const bytes = Buffer.from(toBinary(schema, message));
        expect(type.decode(bytes)).toStrictEqual(fromBinary(schema, bytes));
      }),
    );
  });

  it("cut short is refused, or is what stands before the cut", () => {
    fc.assert(
      fc.property(anyMessage(schema), fc.nat(), (message, place) => {
        const bytes = Buffer.from(toBinary(schema, message));
        const cut = bytes.subarray(0, place % (bytes.byteLength + 1));
        const read = readOf(type, cut);
        expect(read).toStrictEqual(read === REFUSED ? REFUSED : fromBinary(schema, cut));
        expect(read !== REFUSED || cut.byteLength < bytes.byteLength).toBe(true);
      }),
    );
  });
});

describe("a message", () => {
  const { rangeRequest, putRequest, rangeResponse, leaseGrantRequest, watchRequest } = messages;

  it("may leave out fields, or say that they are undefined", () => {
    const bytes = toBinary(rpc.PutRequestSchema, create(rpc.PutRequestSchema, { key: Buffer.from("k"), lease: 3n }));
    const left = { key: Buffer.from("k"), lease: 3n };
    expect(putRequest.encode(left)).toEqual(Buffer.from(bytes));
    const undefinedToo = { ...left, value: undefined, prevKv: undefined } as never;
    expect(putRequest.encode(undefinedToo)).toEqual(Buffer.from(bytes));
  });

  it("keeps large numbers apart that are alike in their low bits, or their high ones", () => {
    const high = 0x7e9e_7e00n << 32n;
    for (const ID of [high | 0x11n, high | 0x21n, high | 0x11n, high | (1n << 40n) | 0x11n, 0x11n, high | 0x11n]) {
      expect(leaseGrantRequest.decode(leaseGrantRequest.encode({ TTL: 1n, ID })).ID).toBe(ID);
    }
  });

  it("has lists of its own", () => {
    const [one, other] = [1, 2].map(() => rangeResponse.decode(new Uint8Array()));
    expect(one?.kvs).toEqual([]);
    expect(one?.kvs).not.toBe(other?.kvs);
  });

  it("keeps a choice whose value is zero", () => {
    const request = watchRequest.decode(watchRequest.encode({ requestUnion: { case: "progressRequest", value: {} } }));
    expect(request.requestUnion).toMatchObject({ case: "progressRequest" });
  });

  it.each([
    ["a number", [0xf8, 0x01, 0x96, 0x01]],
    ["eight bytes", [0xf9, 0x01, 1, 2, 3, 4, 5, 6, 7, 8]],
    ["any bytes", [0xfa, 0x01, 3, 1, 2, 3]],
    ["four bytes", [0xfd, 0x01, 1, 2, 3, 4]],
  ])("with %s in a field of a later version is read without it", (_what, unknown) => {
    const bytes = Buffer.from([...unknown, 0x20, 7, ...unknown]);
    expect(rangeResponse.decode(bytes)).toMatchObject({ count: 7n, kvs: [] });
  });

  it("takes a list of numbers one by one too", () => {
    const create = Buffer.from([0x28, 1, 0x28, 0]);
    const bytes = Buffer.concat([Buffer.from([0x0a, create.byteLength]), create]);
    expect(watchRequest.decode(bytes).requestUnion).toMatchObject({ value: { filters: [1, 0] } });
  });

  it.each([2n ** 63n, -(2n ** 63n) - 1n])("with the number %s, which is too large, is refused", (TTL) => {
    const refused = (): unknown => leaseGrantRequest.encode({ TTL, ID: 1n });
    expect(refused).toThrow(EtcdError);
    expect(refused).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    // What was begun is no part of the next one.
    expect(leaseGrantRequest.encode({ ID: 1n })).toEqual(Buffer.from([0x10, 1]));
  });

  it("with a number of more than ten bytes, or of no known kind, is refused", () => {
    expect(() => rangeRequest.decode(Buffer.from([0x18, ...Buffer.alloc(10, 0xff), 1]))).toThrow(/too long/);
    expect(() => rangeRequest.decode(Buffer.from([0x1b]))).toThrow(/wire type 3/);
  });

  it("grows as far as need be", () => {
    const value = Buffer.alloc(3_000_000, 7);
    expect(value.equals(putRequest.decode(putRequest.encode({ value })).value)).toBe(true);
  });
});

describe("a writer", () => {
  it.each([-1n, 2n ** 64n])("refuses %s where there is no sign", (value) => {
    expect(() => new WireWriter().uint64(value)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});

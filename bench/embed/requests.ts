import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  frame,
  LeaseGrantRequestSchema,
  LeaseKeepAliveRequestSchema,
  PutRequestSchema,
  RangeRequestSchema,
  WatchRequestSchema,
} from "@tenure/etcd/rpc";

const keyDigits = 8;

/** The name of a key by its number, in the order of the numbers. */
function keyName(number: number): Buffer {
  return Buffer.from(`key/${String(number).padStart(keyDigits, "0")}`);
}

/** A put of the key of a number. */
export function putRequest(number: number, value: Uint8Array): Buffer {
  return framed(PutRequestSchema, { key: keyName(number), value });
}

/** A read of so many keys from one on. */
export function rangeRequest(number: number, count: number): Buffer {
  return framed(RangeRequestSchema, { key: keyName(number), rangeEnd: keyName(number + count) });
}

/** A lease with an id of the client's choice. */
export function grantRequest(id: number, ttlSeconds: number): Buffer {
  return framed(LeaseGrantRequestSchema, { ID: BigInt(id), TTL: BigInt(ttlSeconds) });
}

/** A renewal. */
export function keepAliveRequest(id: number): Buffer {
  return framed(LeaseKeepAliveRequestSchema, { ID: BigInt(id) });
}

/** A watch of the key of a number. */
export function watchRequest(number: number): Buffer {
  return framed(WatchRequestSchema, { requestUnion: { case: "createRequest", value: { key: keyName(number) } } });
}

function framed<D extends DescMessage>(schema: D, fields: MessageInitShape<D>): Buffer {
  return frame(toBinary(schema, create(schema, fields)));
}

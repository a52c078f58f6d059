import { type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import {
  frame,
  type LeaseKeepAliveResponse,
  type PutResponse,
  type RangeResponse,
  type WatchResponse,
} from "@tenure/etcd/rpc";

import { writeKeepAliveResponse, writePutResponse, writeRangeResponse, writeWatchResponse } from "./answers.ts";
import { readKeepAliveRequest, readPutRequest, readRangeRequest } from "./requests.ts";

/** How the messages of a method are read and written. */
export interface Codec {
  /** Reads a request. Throws for bytes that are none. */
  readonly decode: (bytes: Buffer) => unknown;
  /** Writes an answer as a gRPC frame. The router has matched handlers with methods, so it is one of the right type. */
  readonly encode: (message: unknown) => Buffer;
}

/** The requests that come most, by the names of their types. */
const READERS: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
  "etcdserverpb.PutRequest": readPutRequest,
  "etcdserverpb.RangeRequest": readRangeRequest,
  "etcdserverpb.LeaseKeepAliveRequest": readKeepAliveRequest,
};

/** The answers that are sent most. */
const WRITERS: Readonly<Record<string, (message: unknown) => Buffer>> = {
  "etcdserverpb.PutResponse": (message) => writePutResponse(message as PutResponse),
  "etcdserverpb.RangeResponse": (message) => writeRangeResponse(message as RangeResponse),
  "etcdserverpb.LeaseKeepAliveResponse": (message) => writeKeepAliveResponse(message as LeaseKeepAliveResponse),
  "etcdserverpb.WatchResponse": (message) => writeWatchResponse(message as WatchResponse),
};

/** The codec of a method: protobuf-es, and before it what is faster where there is any. */
export function codecOf({ input, output }: DescMethod): Codec {
  const read = READERS[input.typeName];
  const general = (bytes: Buffer): unknown => fromBinary(input, bytes);
  return {
    decode: read === undefined ? general : (bytes) => read(bytes) ?? general(bytes),
    encode: WRITERS[output.typeName] ?? ((message) => frame(toBinary(output, message as Message))),
  };
}

import { create } from "@bufbuild/protobuf";
import { type KeyValue, KeyValueSchema, type ResponseHeader, ResponseHeaderSchema } from "@tenure/etcd/rpc";

import type { Item } from "./kvstore.ts";

const NO_VALUE = new Uint8Array(0);

/** A header as answers inside a transaction carry it: the revision and nothing else, as etcd does. */
export function innerHeader(revision: number): ResponseHeader {
  return create(ResponseHeaderSchema, { revision: BigInt(revision) });
}

/** A key in one of its states, as a message. */
export function keyValue({ history, version }: Item, keysOnly = false): KeyValue {
  return create(KeyValueSchema, {
    key: history.keyBytes,
    createRevision: BigInt(version.createRevision),
    modRevision: BigInt(version.modRevision),
    version: BigInt(version.version),
    value: keysOnly ? NO_VALUE : version.value,
    lease: version.lease,
  });
}

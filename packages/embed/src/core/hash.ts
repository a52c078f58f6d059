import { toBinary } from "@bufbuild/protobuf";
import { KeyValueSchema } from "@tenure/etcd/rpc";

import type { Change, KvStore } from "./kvstore.ts";
import { keyValue } from "./messages.ts";

/** The polynomial of CRC-32C (Castagnoli), its bits reversed. */
const POLYNOMIAL = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value >>> 0;
});

/** Under this name etcd keeps all revisions. */
const BUCKET = Buffer.from("key");
/** Behind the revision of a deletion. */
const TOMBSTONE = Buffer.from("t");

/** A state of a key as etcd stores it: by its revision. */
export interface Record {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A revision, and the place of a change in it, as etcd orders by it. */
export function revisionBytes(revision: number, subRevision: number): Buffer {
  const bytes = Buffer.alloc(17);
  bytes.writeBigInt64BE(BigInt(revision), 0);
  bytes.write("_", 8);
  bytes.writeBigInt64BE(BigInt(subRevision), 9);
  return bytes;
}

/** The state of a key, or its deletion, in the bytes etcd stores. */
export function recordOf(change: Change): Record {
  const { history, version } = change;
  const isDeletion = version.version === 0;
  const revision = revisionBytes(version.modRevision, version.subRevision);
  const key = isDeletion ? Buffer.concat([revision, TOMBSTONE]) : revision;
  const kv = isDeletion ? { $typeName: "mvccpb.KeyValue" as const, ...EMPTY, key: history.keyBytes } : keyValue(change);
  return { key, value: toBinary(KeyValueSchema, kv) };
}

const EMPTY = { createRevision: 0n, modRevision: 0n, version: 0n, value: new Uint8Array(0), lease: 0n };

/** The hash of the history up to a revision, as etcd 3.5 makes it: stores that agree have the same. */
export function hashByRevision(store: KvStore, revision: number): number {
  let crc = update(0xffffffff, BUCKET);
  for (const change of store.history(revision)) {
    const { key, value } = recordOf(change);
    crc = update(update(crc, key), value);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function update(crc: number, bytes: Uint8Array): number {
  let value = crc;
  for (const byte of bytes) value = (TABLE[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return value;
}

import { create, toBinary } from "@bufbuild/protobuf";
import { LeaseGrantRequestSchema } from "@tenure/etcd/rpc";

import { type BoltBucket, type BoltEntry, boltFile } from "./bolt-file.ts";
import { recordOf, revisionBytes } from "./hash.ts";
import type { KvStore } from "./kvstore.ts";
import type { Lease, Lessor } from "./lessor.ts";

/** What etcd expects to find, in byte order. Those that are not filled here it fills itself when it restores. */
const BUCKETS = [
  "alarm",
  "auth",
  "authRoles",
  "authUsers",
  "cluster",
  "key",
  "lease",
  "members",
  "members_removed",
  "meta",
] as const;

/** The state of a server as a file of etcd's: keys with their history, and leases. Users and roles are not in it. */
export function snapshotFile(
  store: KvStore,
  lessor: Lessor,
  raft: { readonly index: bigint; readonly term: bigint },
): Buffer {
  const filled: { readonly [name in (typeof BUCKETS)[number]]?: readonly BoltEntry[] } = {
    key: store.history(store.revision).map(recordOf),
    lease: lessor
      .list()
      .map(leaseEntry)
      .toSorted((a, b) => Buffer.compare(a.key, b.key)),
    meta: metaEntries(store, raft),
  };
  return boltFile(BUCKETS.map((name): BoltBucket => ({ name, entries: filled[name] ?? [] })));
}

function metaEntries(store: KvStore, raft: { readonly index: bigint; readonly term: bigint }): readonly BoltEntry[] {
  const index = { key: Buffer.from("consistent_index"), value: int64(raft.index) };
  const term = { key: Buffer.from("term"), value: int64(raft.term) };
  if (store.compactRevision < 0) return [index, term];
  const compacted = revisionBytes(store.compactRevision, 0);
  return [
    index,
    { key: Buffer.from("finishedCompactRev"), value: compacted },
    { key: Buffer.from("scheduledCompactRev"), value: compacted },
    term,
  ];
}

function leaseEntry({ id, ttlSeconds }: Lease): BoltEntry {
  // etcd keeps a lease as a message with an id and a TTL as the first two fields, and these are the other way round.
  const message = create(LeaseGrantRequestSchema, { TTL: id, ID: BigInt(ttlSeconds) });
  return { key: int64(id), value: toBinary(LeaseGrantRequestSchema, message) };
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

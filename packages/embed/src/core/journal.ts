/**
 * What a server must remember to be the same after a restart: one record for each change, written as it happens. The
 * server tells of them and takes them back, and knows nothing of files.
 *
 * @module
 */
import type { AlarmMember, Permission } from "@tenure/etcd/rpc";

import type { Version } from "./key-index.ts";

/** A state of a key, or its deletion. */
export interface SavedChange {
  readonly history: { readonly key: string };
  readonly version: Version;
}

/** A user as it is kept. */
export interface SavedUser {
  readonly name: string;
  readonly hashedPassword: string;
  readonly noPassword: boolean;
  readonly roles: readonly string[];
}

/** What changed in who may do what. */
export interface AuthRecord {
  readonly kind: "auth";
  readonly enabled: boolean;
  readonly revision: bigint;
  /** The users that are new or different; undefined for one that is gone. */
  readonly users: readonly (readonly [name: string, user: SavedUser | undefined])[];
  /** The roles that are new or different; undefined for one that is gone. */
  readonly roles: readonly (readonly [name: string, permissions: readonly Permission[] | undefined])[];
}

/** One change that is whole or not at all. */
export type JournalRecord =
  /** States in force since before the oldest readable revision; only in a checkpoint, before all commits. */
  | { readonly kind: "base"; readonly changes: readonly SavedChange[] }
  /** All changes of one revision, and the lease that ended with it, 0n for none. Either may be all there is. */
  | { readonly kind: "commit"; readonly changes: readonly SavedChange[]; readonly endedLease: bigint }
  | { readonly kind: "grant"; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: "compact"; readonly revision: number }
  | { readonly kind: "alarms"; readonly alarms: readonly Pick<AlarmMember, "memberID" | "alarm">[] }
  | { readonly kind: "member"; readonly peerUrls: readonly string[] }
  /** The end of a checkpoint: what the store's revision is by now, and how many writes it has taken. */
  | { readonly kind: "state"; readonly revision: number; readonly raftIndex: bigint }
  | AuthRecord;

/** What a store is, whatever it holds. */
export interface StoreIdentity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The revision of the store when it was empty. */
  readonly firstRevision: number;
}

/** The state of a server at one moment. */
export interface Checkpoint {
  readonly identity: StoreIdentity;
  /** What makes an empty server the same. The state is that of the moment, however late this is read. */
  readonly records: Iterable<JournalRecord>;
}

import type { Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp } from "./gen/rpc_pb.ts";
import { type Key, type KeyRange, keyBytes, rangeFields } from "./key-range.ts";
import type { Init } from "./wire/codec.ts";

/** One operation of a transaction. Made by {@link put}, {@link range}, {@link remove} and {@link nested}. */
export type Op = Init<RequestOp>;
/** One comparison of a transaction. Made by {@link compare}. */
export type Comparison = Init<Compare>;

/** How a range is read. */
export interface RangeOptions {
  /** At most this many keys; 0, the default, for all. */
  readonly limit?: number;
  /** Read as of this revision; default: now. */
  readonly revision?: bigint;
  readonly sortBy?: "key" | "version" | "create" | "mod" | "value";
  /** Default: ascending where `sortBy` is given, else by key. */
  readonly order?: "ascend" | "descend";
  /** Answer from one member's own state, which may lag behind. Default: false, linearizable. */
  readonly serializable?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly minModRevision?: bigint;
  readonly maxModRevision?: bigint;
  readonly minCreateRevision?: bigint;
  readonly maxCreateRevision?: bigint;
}

/** How a key is written. */
export interface PutOptions {
  /** The lease the key lives on; default none. */
  readonly leaseId?: bigint;
  /** Return the key as it was before. */
  readonly prevKv?: boolean;
  /** Keep the value, change only the lease. */
  readonly ignoreValue?: boolean;
  /** Keep the lease, change only the value. */
  readonly ignoreLease?: boolean;
}

/** What etcd sorts by and how, in its numbers. */
const SORT_TARGETS = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;
const SORT_ORDERS = { none: 0, ascend: 1, descend: 2 } as const;

/** The message for a range read. */
export function rangeRequest(keys: KeyRange, options?: RangeOptions): Init<RangeRequest> {
  // Most read all there is, as it is, which is what a message says that says nothing more.
  if (options === undefined) return rangeFields(keys);
  const { limit, sortBy, order, ...rest } = options;
  return {
    ...rangeFields(keys),
    ...rest,
    limit: BigInt(limit ?? 0),
    sortTarget: SORT_TARGETS[sortBy ?? "key"],
    sortOrder: SORT_ORDERS[order ?? (sortBy === undefined ? "none" : "ascend")],
  };
}

/** The message for a put. */
export function putRequest(key: Key, value: Key, options: PutOptions = {}): Init<PutRequest> {
  const { leaseId, ...rest } = options;
  return { key: rangeFields(key).key, value: keyBytes(value), lease: leaseId ?? 0n, ...rest };
}

/** The message for a delete. */
export function removeRequest(keys: KeyRange, options: { readonly prevKv?: boolean } = {}): Init<DeleteRangeRequest> {
  return { ...rangeFields(keys), ...options };
}

/** Writes a key. */
export function put(key: Key, value: Key, options?: PutOptions): Op {
  return { request: { case: "requestPut", value: putRequest(key, value, options) } };
}

/** Reads keys. */
export function range(keys: KeyRange, options?: RangeOptions): Op {
  return { request: { case: "requestRange", value: rangeRequest(keys, options) } };
}

/** Deletes keys. */
export function remove(keys: KeyRange, options?: { readonly prevKv?: boolean }): Op {
  return { request: { case: "requestDeleteRange", value: removeRequest(keys, options) } };
}

/** A transaction within a transaction. */
export function nested(
  comparisons: readonly Comparison[],
  success: readonly Op[] = [],
  failure: readonly Op[] = [],
): Op {
  const value = { compare: [...comparisons], success: [...success], failure: [...failure] };
  return { request: { case: "requestTxn", value } };
}

/** How the two sides of a comparison must relate. */
export type Relation = "=" | "!=" | ">" | "<";

/** Relations and what they are about, in etcd's numbers. */
const RESULTS = { "=": 0, ">": 1, "<": 2, "!=": 3 } as const;
const TARGETS = { version: 0, createRevision: 1, modRevision: 2, value: 3, lease: 4 } as const;

/**
 * Comparisons for transactions. Over a range, the comparison must hold for every key in it. A missing key counts as 0.
 */
export const compare: {
  readonly createRevision: (keys: KeyRange, relation: Relation, revision: bigint) => Comparison;
  readonly modRevision: (keys: KeyRange, relation: Relation, revision: bigint) => Comparison;
  readonly version: (keys: KeyRange, relation: Relation, version: bigint) => Comparison;
  readonly lease: (keys: KeyRange, relation: Relation, leaseId: bigint) => Comparison;
  /** A missing key never compares true here. */
  readonly value: (keys: KeyRange, relation: Relation, value: Key) => Comparison;
} = {
  createRevision: (keys, relation, value) => comparison(keys, relation, { case: "createRevision", value }),
  modRevision: (keys, relation, value) => comparison(keys, relation, { case: "modRevision", value }),
  version: (keys, relation, value) => comparison(keys, relation, { case: "version", value }),
  lease: (keys, relation, value) => comparison(keys, relation, { case: "lease", value }),
  value: (keys, relation, value) => comparison(keys, relation, { case: "value", value: keyBytes(value) }),
};

function comparison(
  keys: KeyRange,
  relation: Relation,
  targetUnion: Extract<Compare["targetUnion"], { readonly value: unknown }>,
): Comparison {
  const { key, rangeEnd } = rangeFields(keys);
  return { key, rangeEnd, result: RESULTS[relation], target: TARGETS[targetUnion.case], targetUnion };
}

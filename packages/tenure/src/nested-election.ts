import type { KeyValue } from "@tenure/etcd/rpc";
import { quoted, TenureError } from "./errors.ts";
import { isCandidate } from "./names.ts";
import { transferRequestKey } from "./transfer.ts";
import { entryFor, type Snapshot, textOf } from "./view.ts";

/** A key under the prefix of an election, and its lease. */
export interface KeyOnLease {
  readonly key: string;
  readonly leaseId: bigint;
}

/** For who asks about the name alone. */
const ANY_LEASE = 1n;

/** The first key that is no candidate's: where it comes first, nobody would ever lead. */
export function foreignOf(prefix: string, kvs: readonly KeyValue[]): KeyOnLease | undefined {
  for (const kv of kvs) {
    const key = { key: textOf(kv.key), leaseId: kv.lease };
    if (isForeign(prefix, key)) return key;
  }
  return undefined;
}

/**
 * The same of a snapshot, given what it was of the snapshot before: where there was none, only what was put since can
 * be one.
 */
export function foreignIn(prefix: string, snapshot: Snapshot, before: KeyOnLease | undefined): KeyOnLease | undefined {
  const { entries, touched } = snapshot;
  // What is not named like a candidate's may be no text, and could not be looked up by it.
  const named = touched?.every((key) => isCandidate(prefix, key, ANY_LEASE)) === true;
  if (touched === undefined || !named || before !== undefined) return entries.find((each) => isForeign(prefix, each));
  const put = touched.map((key) => entryFor(snapshot, key));
  return put.find((entry) => entry !== undefined && isForeign(prefix, entry));
}

/** The error of a campaign that found such a key. */
export function nestedElection(prefix: string, { key, leaseId }: KeyOnLease): TenureError {
  const why = leaseId === 0n ? "is on no lease" : "is no candidate's";
  return new TenureError(
    "nested-election",
    `the key ${quoted(key)} under ${quoted(prefix)} ${why}: ` +
      "choose a name that no other key starts with, or delete that key",
  );
}

function isForeign(prefix: string, { key, leaseId }: KeyOnLease): boolean {
  return !isCandidate(prefix, key, leaseId) && key !== transferRequestKey(prefix);
}

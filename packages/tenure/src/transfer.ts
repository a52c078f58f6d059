import { quoted, TenureError } from "./errors.ts";
import { isCandidate, isTenureLease } from "./names.ts";
import type { Snapshot, ViewEntry } from "./view.ts";

/** Whom a term is handed over to. */
export interface TransferPlan {
  readonly target: ViewEntry;
  /** Candidates between the leader and the target: their keys are deleted too, and they stand again behind. */
  readonly skipped: readonly ViewEntry[];
}

const REQUEST = "transfer";
const REQUEST_BYTES = Buffer.from(REQUEST);

/**
 * Where a leader is asked to transfer its term. It lies under the election's prefix, so that whoever may write the
 * election may ask, and it is no candidate's key: that would be hexadecimal. To a Go candidate it is a key in the queue
 * like any other, so it lives for as long as the question is open only, and is created after the leader's and the
 * target's keys, which come first.
 */
export function transferRequestKey(prefix: string): string {
  return `${prefix}${REQUEST}`;
}

/** Whether a key under the prefix is that one. It looks at the last part, so that no view needs a copy of the key. */
export function isTransferRequestKey(prefix: string, key: Uint8Array): boolean {
  const at = key.byteLength - REQUEST_BYTES.byteLength;
  return at === Buffer.byteLength(prefix) && REQUEST_BYTES.equals(key.subarray(at));
}

/** With our own deletion and that of a request, what one transaction of etcd takes: 128 operations. */
const MAX_SKIPPED = 126;

/**
 * Who has to go so that `targetKey` is the key created first. The first entry of the snapshot is the candidate that
 * leads.
 *
 * @throws TenureError `invalid-argument` saying why a transfer to that key is refused
 */
export function planTransfer(snapshot: Snapshot, targetKey: string): TransferPlan {
  const at = snapshot.entries.findIndex(({ key }) => key === targetKey);
  const target = snapshot.entries[at];
  const prefix = prefixOf(snapshot.entries[0]?.key ?? "");
  // What belongs to something else under the same name is in the queue, but stands for nothing.
  if (target === undefined || !isCandidate(prefix, target.key, target.leaseId)) {
    throw refused(targetKey, "no such candidate stands in this election");
  }
  if (at === 0) throw refused(targetKey, "it leads already");
  const skipped = snapshot.entries.slice(1, at);
  if (skipped.length > MAX_SKIPPED) {
    throw refused(targetKey, `${skipped.length} candidates stand before it, more than ${MAX_SKIPPED}`);
  }
  const foreign = skipped.find(({ key, leaseId }) => !isTenureLease(leaseId) || !isCandidate(prefix, key, leaseId));
  if (foreign !== undefined) {
    const why =
      "which is no Tenure node and would take the loss of its key for its election; transfer to that one first";
    throw refused(targetKey, `it would skip ${foreign.key}, ${why}`);
  }
  return { target, skipped };
}

/** A candidate's key is its election's prefix and one segment. */
function prefixOf(candidateKey: string): string {
  return candidateKey.slice(0, candidateKey.lastIndexOf("/") + 1);
}

function refused(targetKey: string, why: string): TenureError {
  return new TenureError("invalid-argument", `cannot transfer to ${quoted(targetKey)}: ${why}`);
}

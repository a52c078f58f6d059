import type { TenureError } from "./errors.ts";
import { leaderOf, type Snapshot, type ViewEntry } from "./view.ts";
import type { ViewFeed } from "./view-feed.ts";

/** A candidate: the one who leads, or one in the line of succession. */
export interface Leader {
  readonly key: string;
  /** What it campaigned with, or proclaimed last, as text. */
  readonly value: string;
  readonly valueBytes: Uint8Array;
  /** The create revision of its key: its fencing token while it leads. */
  readonly revision: bigint;
  readonly leaseId: bigint;
  /** Whether it is a candidate of this client. */
  readonly self: boolean;
}

/** A change of leadership, and when it took place. */
export interface LeaderChange {
  readonly leader: Leader | null;
  /** The store's revision at which this was so. */
  readonly revision: bigint;
}

/** Every candidate of an election at one revision of the store. */
export interface ElectionState {
  /** In order of succession: the leader first. */
  readonly candidates: readonly Leader[];
  readonly revision: bigint;
}

/** States an observer may lag behind before it misses the oldest. */
const MAX_BEHIND = 1024;

export function toLeader(entry: ViewEntry, self: boolean): Leader {
  return {
    key: entry.key,
    value: Buffer.from(entry.value).toString(),
    valueBytes: entry.value,
    revision: entry.createRevision,
    leaseId: entry.leaseId,
    self,
  };
}

/** What an observer looks at. */
export interface Observed {
  readonly feed: ViewFeed;
  readonly isSelf: (leaseId: bigint) => boolean;
  /** Ends the loop. */
  readonly signal: AbortSignal;
  /** Lets go of the signal, once the loop has ended. */
  readonly release: () => void;
  /** Says more of the store's refusal. */
  readonly explained: (error: TenureError) => TenureError;
}

/**
 * The leaders of an election as its view shows them, from when the loop begins until the signal aborts. The only
 * generator between the view and the loop: each one more makes every change wait for some more promises.
 *
 * @param tell what of a change the loop is shown
 */
export async function* observeLeaders<T>(
  look: () => Observed,
  tell: (change: LeaderChange) => T,
): AsyncGenerator<T, void, undefined> {
  const { feed, isSelf, signal, release, explained } = look();
  const pending: { readonly entry: ViewEntry | undefined; readonly revision: bigint }[] = [];
  let last: ViewEntry | undefined | "nothing seen" = "nothing seen";
  let refused: TenureError | undefined;
  let wake = (): void => undefined;
  const seen = (snapshot: Snapshot): void => {
    const leader = leaderOf(snapshot);
    if (last !== "nothing seen" && last?.key === leader?.key && last?.modRevision === leader?.modRevision) return;
    last = leader;
    pending.push({ entry: leader, revision: snapshot.revision });
    if (pending.length > MAX_BEHIND) pending.shift();
    wake();
  };
  const onAbort = (): void => wake();
  const stopSeeing = feed.changed.add(seen);
  const stopRefused = feed.refused.add((error) => {
    refused = error;
    wake();
  });
  signal.addEventListener("abort", onAbort);
  const close = feed.open();
  if (feed.snapshot !== undefined) seen(feed.snapshot);
  try {
    while (!signal.aborted) {
      for (let next = pending.shift(); next !== undefined && !signal.aborted; next = pending.shift()) {
        const { entry, revision } = next;
        yield tell({ leader: entry === undefined ? null : toLeader(entry, isSelf(entry.leaseId)), revision });
      }
      if (refused !== undefined) throw explained(refused);
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (pending.length > 0 || signal.aborted) resolve();
      });
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    release();
    stopSeeing();
    stopRefused();
    close();
  }
}

import { EtcdError, fromStatus } from "./errors.ts";
import type { Event } from "./gen/kv_pb.ts";
import type { WatchCreateRequest_FilterType as Filter, WatchResponse } from "./gen/rpc_pb.ts";

/** What a watch yields. */
export type WatchMessage =
  /** First: the watch stands. It delivers every event above `revision`, or all from the start revision asked for. */
  | { readonly t: "created"; readonly revision: bigint; readonly clusterId: bigint }
  /** Events of one or more whole revisions, in order. `revision` is the store's when they were sent. */
  | { readonly t: "events"; readonly revision: bigint; readonly events: readonly Event[] }
  /** The answer to a progress request, or a notice of the server's own. */
  | { readonly t: "progress"; readonly revision: bigint };

/**
 * One watch, to be read by one loop. Leaving the loop ends it, and so does `return`, which need not wait for a message.
 * The reason given to `throw` means what that of the signal does, and is what the loop throws.
 */
export interface WatchStream extends AsyncGenerator<WatchMessage, void, undefined> {
  /** Asks how far the watch is. No answer comes while the server has not caught up. */
  readonly requestProgress: () => void;
}

/** Kinds of events that a watch can leave out, in etcd's numbers. */
export const FILTERS: { readonly put: Filter; readonly delete: Filter } = { put: 0, delete: 1 };

const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
/** A watch cancelled for any other reason may well stand when it is asked for again. */
const UNKNOWN_UNAVAILABLE = 14;

/** Why the server cancelled a watch: it says so in words only. */
export function canceledError(response: WatchResponse): EtcdError {
  if (response.compactRevision > 0n) {
    const { compactRevision } = response;
    return new EtcdError("compacted", `revisions below ${compactRevision} are compacted`, {
      compactRevision,
    });
  }
  const reason = response.cancelReason || "the server cancelled the watch";
  if (reason.includes("permission denied")) return fromStatus(PERMISSION_DENIED, reason);
  // No key can be in it, now or later.
  if (reason.includes("watcher range is empty")) return fromStatus(INVALID_ARGUMENT, reason);
  return fromStatus(UNKNOWN_UNAVAILABLE, reason);
}

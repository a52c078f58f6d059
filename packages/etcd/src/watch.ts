import { type Client, createClient, type Transport } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { EtcdError, fromStatus } from "./errors.ts";
import type { Event } from "./gen/kv_pb.ts";
import {
  Watch,
  WatchCreateRequest_FilterType as Filter,
  type WatchRequestSchema,
  type WatchResponse,
} from "./gen/rpc_pb.ts";
import { type KeyRange, rangeFields } from "./key-range.ts";
import { MessageQueue } from "./message-queue.ts";

/** What to watch. */
export interface WatchOptions {
  /** First revision wanted. Default: what happens from now on, which etcd serves without the delay of a catch-up. */
  readonly startRevision?: bigint;
  /** Send each key's state before its change. */
  readonly prevKv?: boolean;
  /** Leave out one kind of event. */
  readonly without?: "put" | "delete";
  /** Ends the watch: the loop ends with an error of code `aborted`. */
  readonly signal: AbortSignal;
}

/** What a watch yields. */
export type WatchMessage =
  /** First: the watch stands. It delivers every event above `revision`, or all from the start revision asked for. */
  | { readonly t: "created"; readonly revision: bigint; readonly clusterId: bigint }
  /** Events of one or more whole revisions, in order. `revision` is the store's when they were sent. */
  | { readonly t: "events"; readonly revision: bigint; readonly events: readonly Event[] }
  /** The answer to a progress request, or a notice of the server's own. */
  | { readonly t: "progress"; readonly revision: bigint };

/** One watch, to be read by one loop. Leaving the loop ends it. */
export interface WatchStream extends AsyncGenerator<WatchMessage, void, undefined> {
  /** Asks how far the watch is. No answer comes while the server has not caught up. */
  readonly requestProgress: () => void;
}

type Requests = MessageQueue<MessageInitShape<typeof WatchRequestSchema>>;

/** Changes of keys. */
export class WatchClient {
  readonly #rpc: Client<typeof Watch>;

  constructor(transport: Transport) {
    this.#rpc = createClient(Watch, transport);
  }

  /**
   * Watches keys on a stream of its own. It does not resume by itself: it throws when the stream breaks, `compacted`
   * when the start revision is no longer kept, `permission-denied` or `unauthenticated` when it was refused. Aborting
   * the signal with an EtcdError of code `deadline-exceeded` as reason says that the member does not keep up.
   */
  watch(keys: KeyRange, options: WatchOptions): WatchStream {
    const { startRevision = 0n, prevKv = false, without, signal } = options;
    const requests: Requests = new MessageQueue();
    const filters = without === undefined ? [] : [without === "put" ? Filter.NOPUT : Filter.NODELETE];
    const create = { ...rangeFields(keys), startRevision, prevKv, filters, fragment: true };
    requests.push({ requestUnion: { case: "createRequest", value: create } });
    return Object.assign(this.#messages(requests, signal), {
      requestProgress: () => requests.push({ requestUnion: { case: "progressRequest", value: {} } }),
    });
  }

  async *#messages(requests: Requests, signal: AbortSignal): AsyncGenerator<WatchMessage, void, undefined> {
    let pending: Event[] = [];
    // Leaving the loop must end the stream, and Connect does not pass that on.
    const left = new AbortController();
    try {
      for await (const response of this.#rpc.watch(requests, { signal: AbortSignal.any([signal, left.signal]) })) {
        if (response.canceled) throw canceledError(response);
        const revision = response.header?.revision ?? 0n;
        if (response.created) {
          yield { t: "created", revision, clusterId: response.header?.clusterId ?? 0n };
          continue;
        }
        pending = pending.length === 0 ? response.events : [...pending, ...response.events];
        if (response.fragment) continue;
        if (pending.length === 0) yield { t: "progress", revision };
        else yield { t: "events", revision, events: pending };
        pending = [];
      }
    } catch (error) {
      throw EtcdError.from(error);
    } finally {
      requests.end();
      left.abort();
    }
    throw new EtcdError("unavailable", "the server ended the watch");
  }
}

const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;

/** Why the server cancelled a watch: it says so in words only. */
function canceledError(response: WatchResponse): EtcdError {
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

/** A watch cancelled for any other reason may well stand when it is asked for again. */
const UNKNOWN_UNAVAILABLE = 14;

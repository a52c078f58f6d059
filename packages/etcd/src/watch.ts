import { abortedError, EtcdError } from "./errors.ts";
import type { Event } from "./gen/kv_pb.ts";
import type { WatchRequest } from "./gen/rpc_pb.ts";
import { type KeyRange, rangeFields } from "./key-range.ts";
import { MessageQueue } from "./message-queue.ts";
import { openStream, type Transport } from "./rpc-transport.ts";
import { offAbort, onAbort } from "./runtime/abort.ts";
import type { Clock } from "./runtime/clock.ts";
import { WatchHub } from "./watch-hub.ts";
import { canceledError, FILTERS, type WatchMessage, type WatchStream } from "./watch-message.ts";
import type { Init } from "./wire/codec.ts";
import * as methods from "./wire/methods.ts";

/** What to watch. */
export interface WatchOptions {
  /** First revision wanted. Default: what happens from now on, which etcd serves without the delay of a catch-up. */
  readonly startRevision?: bigint;
  /** Send each key's state before its change. */
  readonly prevKv?: boolean;
  /** Leave out one kind of event. */
  readonly without?: "put" | "delete";
  /**
   * Whether the watch may share a stream with others that may. Such a watch must be read at once, as it would hold up
   * the others. Default: false, a stream of its own.
   */
  readonly shared?: boolean;
  /** Ends the watch: the loop ends with an error of code `aborted`. */
  readonly signal: AbortSignal;
}

type Requests = MessageQueue<Init<WatchRequest>>;

/** Changes of keys. */
export class WatchClient {
  readonly #transport: Transport;
  /** Where watches share a stream. */
  readonly #hub: WatchHub | undefined;

  /** @param sharing whether watches may share a stream at all */
  constructor(transport: Transport, clock: Clock, sharing: boolean) {
    this.#transport = transport;
    this.#hub = sharing ? new WatchHub(transport, clock) : undefined;
  }

  /** Ends the stream that watches share. */
  close(): void {
    this.#hub?.close();
  }

  /**
   * Watches keys. It does not resume by itself: it throws when the stream breaks, `compacted`
   * when the start revision is no longer kept, `permission-denied` or `unauthenticated` when it was refused. Aborting
   * the signal with an EtcdError of code `deadline-exceeded` as reason says that the member does not keep up.
   */
  watch(keys: KeyRange, options: WatchOptions): WatchStream {
    const { startRevision = 0n, prevKv = false, without, shared = false, signal } = options;
    const filters = without === undefined ? [] : [FILTERS[without]];
    const { key, rangeEnd } = rangeFields(keys);
    const create = { key, rangeEnd, startRevision, prevKv, filters, fragment: true };
    if (shared && this.#hub !== undefined) return this.#hub.watch(create, signal);
    const requests: Requests = new MessageQueue();
    requests.push({ requestUnion: { case: "createRequest", value: create } });
    const leaving = new AbortController();
    const messages = this.#messages(requests, signal, leaving);
    let given: EtcdError | undefined;
    const stream: WatchStream = {
      // A generator that was left between two messages says no more than that it is at its end.
      next: () => (given === undefined ? messages.next() : Promise.reject(given)),
      // A generator that waits for a message would not hear of it.
      return: () => {
        leaving.abort();
        return messages.return();
      },
      throw: (reason) => {
        leaving.abort(reason);
        given ??= reason instanceof EtcdError ? reason : abortedError(leaving.signal);
        return messages.return();
      },
      requestProgress: () => requests.push({ requestUnion: { case: "progressRequest", value: {} } }),
      [Symbol.asyncIterator]: () => stream,
      [Symbol.asyncDispose]: async () => void (await stream.return(undefined)),
    };
    return stream;
  }

  async *#messages(
    requests: Requests,
    signal: AbortSignal,
    leaving: AbortController,
  ): AsyncGenerator<WatchMessage, void, undefined> {
    let pending: Event[] = [];
    // Not `AbortSignal.any`, of which a signal that lives on keeps something for ever.
    const leave = (): void => leaving.abort(signal.reason);
    onAbort(signal, leave);
    if (signal.aborted) leave();
    try {
      for await (const response of openStream(this.#transport, methods.watch, requests, leaving.signal)) {
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
      offAbort(signal, leave);
      requests.end();
    }
    throw new EtcdError("unavailable", "the server ended the watch");
  }
}

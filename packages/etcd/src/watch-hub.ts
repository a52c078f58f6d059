import { EtcdError } from "./errors.ts";
import type { Event } from "./gen/kv_pb.ts";
import type { WatchCreateRequest, WatchRequest, WatchResponse } from "./gen/rpc_pb.ts";
import { MessageQueue } from "./message-queue.ts";
import { openStream, type Transport } from "./rpc-transport.ts";
import { offAbort, onAbort } from "./runtime/abort.ts";
import type { Clock } from "./runtime/clock.ts";
import { canceledError, type WatchMessage, type WatchStream } from "./watch-message.ts";
import type { Init } from "./wire/codec.ts";
import * as methods from "./wire/methods.ts";

type CreateRequest = Init<WatchCreateRequest>;

/** Without a watch a stream is kept for so long, as the next one is often near. */
const IDLE_MS = 10_000;
/** Many watches ask for their progress at the same time; one answer, on its way, is for all of them. */
const ASK_AGAIN_MS = 10;
/** An answer that is about no watch in particular. */
const NO_WATCH = -1n;

/**
 * Several watches on one stream, as etcd offers it: a stream costs more than a watch, and what one tells of a member's
 * silence it tells for all.
 *
 * Its watches must be read at once: one that is not holds up all others. If one is given up because the member does not
 * keep up, all are, as they are fed by the same. A watch that is refused, or cancelled, does not hurt the others.
 */
export class WatchHub {
  readonly #transport: Transport;
  readonly #clock: Clock;
  #stream: HubStream | undefined;

  constructor(transport: Transport, clock: Clock) {
    this.#transport = transport;
    this.#clock = clock;
  }

  /** Adds a watch to the stream; the signal ends it. */
  watch(create: CreateRequest, signal: AbortSignal): WatchStream {
    if (this.#stream === undefined || this.#stream.over) this.#stream = new HubStream(this.#transport, this.#clock);
    return this.#stream.watch(create, signal);
  }

  /** Ends the stream, for no fault of the member. */
  close(): void {
    this.#stream?.close();
  }
}

/**
 * One of several watches on a stream. No generator, as there may be thousands: one would keep twice the memory, and
 * each message would wait for some more promises.
 */
class Watcher implements WatchStream {
  readonly id: bigint;
  /** Whether the server has answered that it stands. */
  created = false;
  /** Events of a message that came in pieces. */
  pending: readonly Event[] = [];
  readonly #stream: HubStream;
  readonly #signal: AbortSignal;
  readonly #messages = new MessageQueue<WatchMessage>();

  constructor(id: bigint, stream: HubStream, signal: AbortSignal) {
    this.id = id;
    this.#stream = stream;
    this.#signal = signal;
    onAbort(signal, this.#onAbort);
  }

  push(message: WatchMessage): void {
    this.#messages.push(message);
  }

  end(error: EtcdError): void {
    offAbort(this.#signal, this.#onAbort);
    this.#messages.end(error);
  }

  next(): Promise<IteratorResult<WatchMessage, undefined>> {
    return this.#messages.next();
  }

  return(): Promise<IteratorResult<WatchMessage, undefined>> {
    offAbort(this.#signal, this.#onAbort);
    this.#stream.cancel(this);
    return this.#messages.return();
  }

  throw(reason: unknown): Promise<IteratorResult<WatchMessage, undefined>> {
    this.#stream.aborted(this, reason);
    return this.#messages.return();
  }

  requestProgress(): void {
    this.#stream.requestProgress();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  readonly #onAbort = (): void => this.#stream.aborted(this, this.#signal.reason);
}

class HubStream {
  readonly #clock: Clock;
  readonly #requests = new MessageQueue<Init<WatchRequest>>();
  readonly #ending = new AbortController();
  readonly #watchers = new Map<bigint, Watcher>();
  /** In the order in which they were asked for, which is that of the answers. */
  readonly #asked: bigint[] = [];
  #lastId = 0n;
  #askedAt = -Infinity;
  #lastAborted: EtcdError | undefined;
  #cancelIdle: () => void = () => undefined;

  constructor(transport: Transport, clock: Clock) {
    this.#clock = clock;
    void this.#read(openStream(transport, methods.watch, this.#requests, this.#ending.signal));
  }

  get over(): boolean {
    return this.#ending.signal.aborted;
  }

  watch(create: CreateRequest, signal: AbortSignal): WatchStream {
    const watchId = ++this.#lastId;
    this.#cancelIdle();
    this.#asked.push(watchId);
    this.#requests.push({ requestUnion: { case: "createRequest", value: { ...create, watchId } } });
    const watcher = new Watcher(watchId, this, signal);
    this.#watchers.set(watchId, watcher);
    if (signal.aborted) this.aborted(watcher, signal.reason);
    return watcher;
  }

  /** Ends the stream and all its watches because of the member. */
  end(error: EtcdError): void {
    // The reason tells the transport what to think of the member.
    this.#end(error, error);
  }

  /** Ends the stream and all its watches for a reason of our own. */
  close(): void {
    this.#end(new EtcdError("unavailable", "the client is closed, or leads to another cluster now"), undefined);
  }

  #end(error: EtcdError, reason: EtcdError | undefined): void {
    if (this.over) return;
    this.#cancelIdle();
    this.#ending.abort(reason);
    this.#requests.end();
    for (const watcher of this.#watchers.values()) watcher.end(error);
    this.#watchers.clear();
  }

  /** Ends one watch for the reason of a signal, or one like it. */
  aborted(watcher: Watcher, reason: unknown): void {
    // Given up for the sake of the member, or of what is behind it: no other watch shall stay there.
    if (reason instanceof EtcdError) this.end(reason);
    this.cancel(watcher);
    watcher.end(this.#abortedBy(reason));
  }

  /** Ends one watch, of which nothing is heard any more. */
  cancel({ id }: Watcher): void {
    if (!this.#watchers.delete(id) || this.over) return;
    this.#requests.push({ requestUnion: { case: "cancelRequest", value: { watchId: id } } });
    this.#armIdle();
  }

  requestProgress(): void {
    const now = this.#clock.now();
    if (now - this.#askedAt < ASK_AGAIN_MS) return;
    this.#askedAt = now;
    this.#requests.push({ requestUnion: { case: "progressRequest", value: {} } });
  }

  /** One error for many watches that end for the same reason, as in the usual way: each takes some microseconds. */
  #abortedBy(reason: unknown): EtcdError {
    const last = this.#lastAborted;
    if (last !== undefined && last.cause === reason) return last;
    return (this.#lastAborted = new EtcdError("aborted", "the watch was given up", { cause: reason }));
  }

  #armIdle(): void {
    if (this.#watchers.size > 0 || this.over) return;
    this.#cancelIdle();
    this.#cancelIdle = this.#clock.after(IDLE_MS, () => this.close());
  }

  async #read(answers: AsyncIterable<WatchResponse>): Promise<void> {
    try {
      for await (const response of answers) this.#received(response);
      this.end(new EtcdError("unavailable", "the server ended the watch"));
    } catch (error) {
      this.end(EtcdError.from(error));
    }
  }

  #received(response: WatchResponse): void {
    // Some versions do not say which one it was that they refused.
    const asked = response.created ? this.#asked.shift() : undefined;
    const id = asked ?? response.watchId;
    const watcher = this.#watchers.get(id);
    if (response.canceled) {
      this.#watchers.delete(id);
      watcher?.end(canceledError(response));
      this.#armIdle();
    } else if (id === NO_WATCH) {
      // Whoever asks from here on wants to know of what comes from here on.
      this.#askedAt = -Infinity;
      const progress = { t: "progress" as const, revision: revisionOf(response) };
      for (const each of this.#watchers.values()) if (each.created) each.push(progress);
    } else if (watcher !== undefined) {
      if (response.created) watcher.created = true;
      pushMessage(watcher, response);
    }
  }
}

/** Turns one answer into what a watch yields. */
function pushMessage(watcher: Watcher, response: WatchResponse): void {
  const revision = revisionOf(response);
  if (response.created) {
    watcher.push({ t: "created", revision, clusterId: response.header?.clusterId ?? 0n });
    return;
  }
  watcher.pending = watcher.pending.length === 0 ? response.events : [...watcher.pending, ...response.events];
  if (response.fragment) return;
  const events = watcher.pending;
  watcher.pending = [];
  watcher.push(events.length === 0 ? { t: "progress", revision } : { t: "events", revision, events });
}

function revisionOf({ header }: WatchResponse): bigint {
  return header?.revision ?? 0n;
}

import { create } from "@bufbuild/protobuf";
import {
  type Event,
  Event_EventType,
  Watch,
  WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "@tenure/etcd/rpc";
import type { Connection, OpenCall, Status } from "./connection.ts";
import type { Json, JsonMessage } from "./operation.ts";
import { fromMessage, type Names, toMessage } from "./translate.ts";

/** The id of the watch that shows how far a stream is. */
const barrierWatch = 2n ** 40n;
/** An empty range: etcd answers at once, and after whatever the requests before it are answered with. */
const emptyRange = { key: Buffer.from("b"), rangeEnd: Buffer.from("a") };

/** One watch stream of one server, and what came on it for each watch, in order. */
export class WatchRecord {
  readonly #call: OpenCall;
  readonly #names: Names;
  readonly #barrierKey: Uint8Array;
  /** For each answer to a creation that is still to come: what to do then. */
  readonly #creations: ((response: WatchResponse) => "keep" | "drop")[] = [];
  #said: Record<string, Json[]> = {};
  #barrierIsWatched = false;
  #barrierRevision = 0n;
  #status: Status | undefined;
  #changed: () => void = () => undefined;

  constructor(connection: Connection, names: Names, barrierKey: Uint8Array) {
    this.#names = names;
    this.#barrierKey = barrierKey;
    this.#call = connection.open(Watch.method.watch, {
      message: (message) => {
        this.#take(message as WatchResponse);
        this.#changed();
      },
      end: (status) => {
        this.#status = status;
        this.#changed();
      },
    });
  }

  /** Sends a request and waits until its answer has come, if it has any but events. */
  async request(request: JsonMessage, limitMs: number): Promise<void> {
    const message = toMessage(WatchRequestSchema, request, this.#names);
    if ("createRequest" in request) {
      let answered = false;
      this.#creations.push(() => {
        answered = true;
        return "keep";
      });
      this.#call.send(message);
      await this.#wait(() => answered, limitMs);
      return;
    }
    this.#call.send(message);
    let passed = false;
    this.#creations.push(() => {
      passed = true;
      return "drop";
    });
    this.#create(emptyRange);
    await this.#wait(() => passed, limitMs);
  }

  /** Makes sure that the barrier is watched. */
  async watchBarrier(limitMs: number): Promise<void> {
    if (this.#barrierIsWatched || this.#status !== undefined) return;
    this.#creations.push(() => {
      this.#barrierIsWatched = true;
      return "drop";
    });
    this.#create({ key: this.#barrierKey, watchId: barrierWatch });
    await this.#wait(() => this.#barrierIsWatched, limitMs);
  }

  /** Waits for the event of the barrier's key at a revision. */
  async reached(revision: bigint, limitMs: number): Promise<void> {
    if (await this.#wait(() => this.#barrierRevision >= revision, limitMs)) return;
    this.#line("", this.#status === undefined ? "the event of the barrier did not come" : { ...this.#status });
  }

  /** Takes what came since the last time. */
  takeSaid(): JsonMessage {
    const said = this.#said;
    this.#said = {};
    return said;
  }

  close(): void {
    this.#call.cancel();
  }

  #create(value: { key: Uint8Array; rangeEnd?: Uint8Array; watchId?: bigint }): void {
    this.#call.send(create(WatchRequestSchema, { requestUnion: { case: "createRequest", value } }));
  }

  #take(response: WatchResponse): void {
    if (response.created && this.#creations.shift()?.(response) === "drop") return;
    if (response.watchId === barrierWatch) {
      for (const { kv } of response.events) this.#barrierRevision = kv?.modRevision ?? 0n;
      return;
    }
    const { watchId: _, events, ...rest } = fromMessage(WatchResponseSchema, response, this.#names);
    // Creations that fail have no id, and a watch may have -1 for its own.
    const id = response.created && response.canceled ? "refused" : String(response.watchId);
    if (!Array.isArray(events)) return this.#line(id, rest);
    // How many events come together, and how far the store is by then, is a matter of time.
    for (const [index, event] of events.entries()) {
      if (this.#isCompared(response.events[index])) this.#line(id, event as Json);
    }
    if (response.fragment) this.#line(id, "more of this revision follows");
    const newest = response.events.at(-1)?.kv?.modRevision ?? 0n;
    if ((response.header?.revision ?? 0n) < newest) this.#line(id, "the header is older than its events");
  }

  /**
   * Not those that emptied etcd, which was the last thing before the first revision. And not the puts of the barrier's
   * key: whether one comes here before or after it has come to the watch that waits for it, is a matter of time.
   */
  #isCompared(event: Event | undefined): boolean {
    const { key = new Uint8Array(), modRevision = 0n } = event?.kv ?? {};
    const isBarrier = event?.type === Event_EventType.PUT && Buffer.compare(key, this.#barrierKey) === 0;
    return !isBarrier && modRevision > this.#names.firstRevision;
  }

  #line(watchId: string, line: Json): void {
    (this.#said[watchId] ??= []).push(line);
  }

  /** Whether it became true before the limit and the end of the stream. */
  async #wait(condition: () => boolean, limitMs: number): Promise<boolean> {
    if (condition()) return true;
    if (this.#status !== undefined) return false;
    return new Promise((resolve) => {
      const settle = (value: boolean): void => {
        clearTimeout(timer);
        this.#changed = () => undefined;
        resolve(value);
      };
      const timer = setTimeout(() => settle(false), limitMs);
      this.#changed = () => {
        if (condition()) settle(true);
        else if (this.#status !== undefined) settle(false);
      };
    });
  }
}

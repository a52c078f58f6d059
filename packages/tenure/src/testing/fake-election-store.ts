import { create } from "@bufbuild/protobuf";
import { EtcdError, type EtcdClient, Lineage, type WatchMessage, type WatchStream } from "@tenure/etcd";
import { type Event, EventSchema, type KeyValue, KeyValueSchema } from "@tenure/etcd/rpc";
import { ManualClock } from "@tenure/etcd/runtime";
import type { Snapshot } from "../view.ts";
import { ViewFeed } from "../view-feed.ts";
import { turn } from "./turn.ts";

/** A candidate's key. */
export function kvOf(key: string, createRevision: bigint): KeyValue {
  const fields = { key: Buffer.from(key), createRevision, modRevision: createRevision, lease: 7n };
  return create(KeyValueSchema, fields);
}

/** The event of a key that was put. */
export function putAt(revision: bigint, key: string): Event {
  return create(EventSchema, { type: 0, kv: kvOf(key, revision) });
}

/** The event of a key that was deleted. */
export function deleteAt(revision: bigint, key: string): Event {
  return create(EventSchema, { type: 1, kv: { key: Buffer.from(key), modRevision: revision } });
}

/** One watch that the feed opened. */
class FakeWatch {
  readonly options: unknown;
  /** How often the progress was asked for. */
  asked = 0;
  readonly #messages: WatchMessage[] = [];
  readonly #given = new AbortController();
  #failure: EtcdError | undefined;
  #wake: () => void = () => undefined;

  constructor(signal: AbortSignal, options: unknown) {
    this.options = options;
    signal.addEventListener("abort", () => this.#giveUp(signal.reason));
  }

  /** Fires when the feed gives the watch up, for whatever reason. */
  get signal(): AbortSignal {
    return this.#given.signal;
  }

  /** What the feed has of it. */
  stream(): WatchStream {
    const messages = this.#read();
    return Object.assign(messages, {
      requestProgress: () => void this.asked++,
      return: () => {
        this.#giveUp(undefined);
        return Promise.resolve({ done: true as const, value: undefined });
      },
      throw: (reason: unknown) => {
        this.#giveUp(reason);
        return Promise.resolve({ done: true as const, value: undefined });
      },
    });
  }

  #giveUp(reason: unknown): void {
    this.#given.abort(reason);
    this.#end(new EtcdError("aborted", "aborted"));
  }

  async created(revision: bigint): Promise<void> {
    await this.send({ t: "created", revision, clusterId: 1n });
  }

  async events(revision: bigint, ...events: Event[]): Promise<void> {
    await this.send({ t: "events", revision, events });
  }

  async send(message: WatchMessage): Promise<void> {
    this.#messages.push(message);
    this.#wake();
    await turn();
  }

  async fail(error: EtcdError): Promise<void> {
    this.#end(error);
    await turn();
  }

  #end(error: EtcdError): void {
    this.#failure ??= error;
    this.#wake();
  }

  async *#read(): AsyncGenerator<WatchMessage> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) yield message;
      else if (this.#failure !== undefined) throw this.#failure;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

interface Read {
  readonly answer: (revision: bigint, ...kvs: KeyValue[]) => Promise<void>;
  readonly fail: (error: EtcdError) => Promise<void>;
}

/** A store that answers as the test says, and a feed of it. */
export class FakeElectionStore {
  readonly watches: FakeWatch[] = [];
  readonly reads: Read[] = [];
  readonly clock: ManualClock = new ManualClock();
  readonly lineage: Lineage = new Lineage();
  /** Aborts when the client is closed. */
  readonly closed: AbortController = new AbortController();
  readonly feed: ViewFeed;
  readonly snapshots: string[] = [];
  readonly refusals: string[] = [];

  constructor() {
    const etcd = {
      clock: this.clock,
      lineage: this.lineage,
      closed: this.closed.signal,
      onClosed: (listener: (reason: unknown) => void) => {
        const { signal } = this.closed;
        signal.addEventListener("abort", () => listener(signal.reason));
        return () => undefined;
      },
      random: { fraction: () => 1, bits: () => 0n },
      watch: {
        watch: (_keys: unknown, { signal, ...options }: { signal: AbortSignal }) => {
          const watch = new FakeWatch(signal, options);
          this.watches.push(watch);
          return watch.stream();
        },
      },
      kv: { range: (_keys: unknown, { signal }: { signal: AbortSignal }) => this.#read(signal) },
    };
    this.feed = new ViewFeed(etcd as unknown as EtcdClient, "e/");
    this.feed.changed.add((snapshot) => this.snapshots.push(shown(snapshot)));
    this.feed.refused.add((error) => this.refusals.push(error.code));
  }

  get watch(): FakeWatch {
    const watch = this.watches.at(-1);
    if (watch === undefined) throw new Error("no watch was opened");
    return watch;
  }

  get read(): Read {
    const read = this.reads.at(-1);
    if (read === undefined) throw new Error("nothing was read");
    return read;
  }

  /** Ends every pause. */
  async resume(): Promise<void> {
    this.clock.advance(Math.max(0, ...this.clock.due));
    await turn();
  }

  #read(signal: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new EtcdError("aborted", "aborted")));
      this.reads.push({
        answer: async (revision, ...kvs) => {
          resolve({ kvs, header: { revision } });
          await turn();
        },
        fail: async (error) => {
          reject(error);
          await turn();
        },
      });
    });
  }
}

function shown({ revision, entries }: Snapshot): string {
  return `${revision}: ${entries.map(({ key }) => key).join(" ")}`.trim();
}

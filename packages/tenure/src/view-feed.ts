import { EtcdError, type EtcdClient } from "@tenure/etcd";
import type { Event, KeyValue } from "@tenure/etcd/rpc";
import { TenureError } from "./errors.ts";
import { Listeners } from "./listeners.ts";
import { following, type Snapshot, snapshotOf } from "./view.ts";
import { Retry } from "./wait.ts";

type State =
  /** Nobody looks. */
  | { readonly t: "closed" }
  /** The watch was asked for; events that arrive before a snapshot to apply them to are kept. */
  | {
      readonly t: "opening";
      readonly createdAt: bigint | undefined;
      readonly early: readonly Event[];
    }
  /** Every event above the snapshot's revision arrives. */
  | { readonly t: "live" };

const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };

/**
 * Keeps the snapshot of one election current with one watch of its prefix.
 *
 * The watch is opened from now, not from a revision: etcd serves a watch that starts in the past from a catch-up loop,
 * up to 100 ms late. Its `created` answer carries a revision not below the one it starts after, so a snapshot at or
 * above that revision misses nothing; an older one is replaced by a read sent after `created`. After a break the watch
 * is opened from now again and the snapshot read again, never resumed.
 */
export class ViewFeed {
  /** Each new snapshot, in order, one for each revision while the watch is live. */
  readonly changed: Listeners<Snapshot> = new Listeners();
  /** The store refuses to show the election to us; the feed goes on trying. */
  readonly refused: Listeners<TenureError> = new Listeners();
  readonly #etcd: EtcdClient;
  readonly #prefix: string;
  #state: State = { t: "closed" };
  #snapshot: Snapshot | undefined;
  #users = 0;
  /** Reads under way, by us or by a campaign, whose answer will be offered. */
  #reads = 0;
  #closing = new AbortController();

  constructor(etcd: EtcdClient, prefix: string) {
    this.#etcd = etcd;
    this.#prefix = prefix;
  }

  /** The newest snapshot; undefined until the first read was answered. Never goes back. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Whether nobody looks. */
  get idle(): boolean {
    return this.#users === 0;
  }

  /**
   * Opens the feed for one more user; the returned function closes it for them.
   *
   * @param readComing the user is about to offer a read of its own, so none is needed unless that one comes too late
   */
  open(readComing = false): () => void {
    if (this.#users++ === 0) {
      this.#closing = new AbortController();
      // What was seen before may be long past.
      this.#snapshot = undefined;
      void this.#watch(this.#closing.signal);
      if (!readComing) void this.#read(this.#closing.signal);
    }
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      if (--this.#users > 0) return;
      this.#setState({ t: "closed" });
      this.#closing.abort();
    };
  }

  /** Announces a read of the whole prefix; the returned function takes its answer, or nothing when it failed. */
  expectRead(): (kvs?: readonly KeyValue[], revision?: bigint) => void {
    this.#reads++;
    return (kvs, revision) => {
      this.#reads--;
      if (kvs !== undefined && revision !== undefined) this.#advance(snapshotOf(kvs, revision));
      this.#settle();
    };
  }

  /** Every change of state happens here. */
  #setState(next: State): void {
    this.#state = next;
  }

  /** A read that is older than what is known already is dropped. */
  #advance(snapshot: Snapshot): void {
    if (this.#snapshot !== undefined && snapshot.revision <= this.#snapshot.revision) return;
    this.#snapshot = snapshot;
    this.changed.emit(snapshot);
  }

  /** Goes live when the snapshot reaches up to where the watch starts; asks for a new one when it does not. */
  #settle(): void {
    if (this.#state.t !== "opening" || this.#state.createdAt === undefined) return;
    if (this.#snapshot !== undefined && this.#snapshot.revision >= this.#state.createdAt) {
      const { early } = this.#state;
      this.#setState({ t: "live" });
      this.#apply(early);
    } else if (this.#reads === 0) void this.#read(this.#closing.signal);
  }

  #apply(events: readonly Event[]): void {
    if (this.#snapshot === undefined) return;
    for (const snapshot of following(this.#snapshot, events)) this.#advance(snapshot);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const retry = new Retry(this.#etcd.clock, this.#etcd.random, RETRY_BOUNDS);
    /** Whether the last watch was refused for its token, which is renewed for the next one. */
    let staleToken = false;
    while (!signal.aborted) {
      this.#setState({ t: "opening", createdAt: undefined, early: [] });
      try {
        for await (const message of this.#etcd.watch.watch({ prefix: this.#prefix }, { signal })) {
          if (signal.aborted) return;
          if (message.t === "created") {
            retry.reset();
            staleToken = false;
            if (this.#state.t === "opening") this.#setState({ ...this.#state, createdAt: message.revision });
            this.#settle();
          } else if (message.t === "events") this.#received(message.events);
        }
      } catch (thrown) {
        const error = EtcdError.from(thrown);
        const renewing = error.code === "unauthenticated" && !staleToken;
        staleToken = error.code === "unauthenticated";
        if (!signal.aborted && !renewing) this.#report(error);
      }
      await retry.pause(signal);
    }
  }

  #received(events: readonly Event[]): void {
    if (this.#state.t === "live") this.#apply(events);
    else if (this.#state.t === "opening") {
      this.#setState({ ...this.#state, early: [...this.#state.early, ...events] });
    }
  }

  /** Reads the prefix until an answer arrives. */
  async #read(signal: AbortSignal): Promise<void> {
    const answered = this.expectRead();
    const retry = new Retry(this.#etcd.clock, this.#etcd.random, RETRY_BOUNDS);
    while (!signal.aborted) {
      try {
        const { kvs, header } = await this.#etcd.kv.range({ prefix: this.#prefix }, { signal });
        if (signal.aborted) break;
        return answered(kvs, header?.revision);
      } catch (error) {
        if (!signal.aborted) this.#report(EtcdError.from(error));
        await retry.pause(signal);
      }
    }
    // Ended before it was answered: whoever opens the feed again reads anew.
    answered();
  }

  #report(error: EtcdError): void {
    switch (error.code) {
      case "permission-denied":
      case "unauthenticated":
      case "unimplemented":
      case "invalid-argument":
        this.refused.emit(TenureError.from(error));
        break;
      default:
        // Everything else passes: the watch and the read are repeated.
        break;
    }
  }
}

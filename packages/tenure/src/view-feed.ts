import { EtcdError, type EtcdClient, type WatchMessage, type WatchStream } from "@tenure/etcd";
import type { Event, KeyValue } from "@tenure/etcd/rpc";
import { LazyAbortController } from "@tenure/etcd/runtime";
import { TenureError } from "./errors.ts";
import {
  publishCandidates,
  publishLeader,
  publishWatchBroken,
  publishWatchCreated,
  publishWatchMoved,
  publishWatchOpened,
  type WatchMove,
} from "./events.ts";
import { KeyListeners } from "./key-listeners.ts";
import { LagAlarm } from "./lag-alarm.ts";
import { DEFAULT_TTL_MS, keepAliveTimeoutMs } from "./lease-timing.ts";
import { Listeners } from "./listeners.ts";
import { foreignIn, type KeyOnLease } from "./nested-election.ts";
import { ReadBatch } from "./read-batch.ts";
import { isTransferRequestKey } from "./transfer.ts";
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

/** Takes the answer of a read that was announced, or nothing when it failed. Only the first call counts. */
export type ReadOffer = (kvs?: readonly KeyValue[], revision?: bigint) => void;

const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };
const EVENT_PUT = 0;
/** From so many candidates on, not each of them reads all. */
const CROWD = 16;
/** Why a watch ends in the usual way: made once, as there may be thousands. */
const NOBODY_LOOKS = new TenureError("aborted", "nobody looks at the election any more");
const CLOSED = new LazyAbortController();
CLOSED.abort(NOBODY_LOOKS);

/**
 * Keeps the snapshot of one election current with one watch of its prefix.
 *
 * The watch is opened from now, not from a revision: etcd serves a watch that starts in the past from a catch-up loop,
 * up to 100 ms late. Its `created` answer carries a revision not below the one it starts after, so a snapshot at or
 * above that revision misses nothing; an older one is replaced by a read sent after `created`. After a break the watch
 * is opened from now again and the snapshot read again, never resumed.
 *
 * A member that froze, or lags behind the others, keeps a watch open and says nothing. So the watch is asked for its
 * progress now and then, and moved when it does not reach what other answers of the cluster have shown. Progress is an
 * alarm only: the view's revision comes from reads and events.
 */
export class ViewFeed {
  /** Each new snapshot, in order, one for each revision while the watch is live. */
  readonly changed: Listeners<Snapshot> = new Listeners();
  /** Those of them that may change how one key stands; told before {@link changed} is. */
  readonly standing: KeyListeners = new KeyListeners();
  /** The store refuses to show the election to us; the feed goes on trying. */
  readonly refused: Listeners<TenureError> = new Listeners();
  /** A key that asks the leader for a transfer was put; it is no part of the view. */
  readonly requested: Listeners<KeyValue> = new Listeners();
  readonly #etcd: EtcdClient;
  readonly #prefix: string;
  readonly #batch: ReadBatch;
  #state: State = { t: "closed" };
  #snapshot: Snapshot | undefined;
  #foreign: KeyOnLease | undefined;
  /** TTLs of those who look, for whom the watch must not be silent for long. */
  readonly #users: number[] = [];
  /** Counts the lineages seen: a read from before a change is worth nothing. */
  #epoch = 0;
  /** The watch that is open. */
  #watch: WatchStream | undefined;
  #stopListening: () => void = () => undefined;
  #stopWaiting: () => void = () => undefined;
  /** Reads under way, by us or by a campaign, whose answer will be offered. */
  #reads = 0;
  /** Reads that had to be repeated for the present watch: one is usual, more say that something else is wrong. */
  #rereads = 0;
  /** Aborts when nobody looks any more, or the client is closed. */
  #closing: LazyAbortController = CLOSED;

  /** @param batch what its reads travel with */
  constructor(etcd: EtcdClient, prefix: string, batch: ReadBatch = new ReadBatch(etcd)) {
    this.#etcd = etcd;
    this.#prefix = prefix;
    this.#batch = batch;
  }

  /** The newest snapshot; undefined until the first read was answered. Never goes back. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** A key that is no candidate's in the newest snapshot. */
  get foreign(): KeyOnLease | undefined {
    return this.#foreign;
  }

  /**
   * Whether whoever joins can wait for what the feed shows: enough reads are under way, or it shows so large an
   * election already that one more costs more than the wait.
   */
  get readsEnough(): boolean {
    const crowded = this.#snapshot !== undefined && this.#snapshot.entries.length >= CROWD;
    return this.#reads >= CROWD || (this.#state.t === "live" && crowded);
  }

  /** Whether nobody looks. */
  get idle(): boolean {
    return this.#users.length === 0;
  }

  /**
   * Opens the feed for one more user; the returned function closes it for them.
   *
   * @param ttlMs how long the user's lease lives, of which a fraction is how long the watch may be silent
   * @param readComing the user is about to offer a read of its own, so none is needed unless that one comes too late
   */
  open(ttlMs: number = DEFAULT_TTL_MS, readComing = false): () => void {
    this.#users.push(ttlMs);
    if (this.#users.length === 1) {
      const closing = new LazyAbortController();
      this.#closing = closing;
      this.#stopWaiting = this.#etcd.onClosed((reason) => this.#close(reason));
      // What was seen before may be long past.
      this.#snapshot = undefined;
      this.#stopListening = this.#etcd.lineage.onChanged(() => this.#startAnew());
      void this.#keepWatching(closing);
      if (!readComing) void this.#read(closing);
    }
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.#users.splice(this.#users.indexOf(ttlMs), 1);
      if (this.#users.length > 0) return;
      this.#setState({ t: "closed" });
      this.#stopListening();
      this.#stopWaiting();
      this.#close(NOBODY_LOOKS);
    };
  }

  #close(reason: unknown): void {
    this.#closing.abort(reason);
    void this.#watch?.return(undefined);
    this.#watch = undefined;
  }

  /** Announces a read of the whole prefix. */
  expectRead(): ReadOffer {
    this.#reads++;
    const epoch = this.#epoch;
    let offered = false;
    return (kvs, revision) => {
      // Counted twice, the reads under way would never be none again, and the view would wait for ever.
      if (offered) return;
      offered = true;
      this.#reads--;
      const usable = kvs !== undefined && revision !== undefined && epoch === this.#epoch;
      if (usable)
        this.#advance(
          snapshotOf(
            kvs.filter((kv) => !this.#isRequest(kv)),
            revision,
          ),
        );
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
    publishLeader(this.#prefix, this.#snapshot, snapshot);
    publishCandidates(this.#prefix, this.#snapshot, snapshot);
    const before = this.#snapshot;
    this.#snapshot = snapshot;
    this.#foreign = foreignIn(this.#prefix, snapshot, this.#foreign);
    this.standing.tell(before, snapshot);
    this.changed.emit(snapshot);
  }

  /** Goes live when the snapshot reaches up to where the watch starts; asks for a new one when it does not. */
  #settle(): void {
    if (this.#state.t !== "opening" || this.#state.createdAt === undefined) return;
    if (this.#snapshot !== undefined && this.#snapshot.revision >= this.#state.createdAt) {
      const { early } = this.#state;
      this.#setState({ t: "live" });
      this.#apply(early);
    } else if (this.#reads === 0 && !this.#closing.aborted) {
      void this.#read(this.#closing, this.#rereads++ > 0);
    }
  }

  #apply(events: readonly Event[]): void {
    if (this.#snapshot === undefined) return;
    for (const snapshot of following(this.#snapshot, events)) this.#advance(snapshot);
  }

  /** The data behind the endpoints is not what it was, so nothing seen of it counts. */
  #startAnew(): void {
    this.#epoch++;
    this.#snapshot = undefined;
    this.#setState({ t: "opening", createdAt: undefined, early: [] });
    this.#moveWatch(new EtcdError("unavailable", "the cluster changed"), "cluster-changed");
  }

  /** Keeps one watch open, and opens another when it breaks or falls behind. */
  async #keepWatching(closing: LazyAbortController): Promise<void> {
    const retry = new Retry(this.#etcd.clock, this.#etcd.random, RETRY_BOUNDS);
    while (!closing.aborted) {
      this.#setState({ t: "opening", createdAt: undefined, early: [] });
      // It ends with the client; one signal for each takes longer to make than all the rest of a watch.
      const watch = this.#etcd.watch.watch({ prefix: this.#prefix }, { signal: this.#etcd.closed, shared: true });
      this.#watch = watch;
      publishWatchOpened(this.#prefix);
      const alarm = new LagAlarm(
        this.#etcd,
        watch,
        () => this.#silenceMs,
        (error, why) => this.#moveWatch(error, why),
      );
      try {
        for await (const message of watch) {
          // Whoever opened the feed again meanwhile has another one.
          if (this.#watch !== watch) break;
          alarm.heard(message);
          if (message.t === "created") retry.reset();
          this.#heard(message);
        }
      } catch (thrown) {
        const error = EtcdError.from(thrown);
        if (this.#watch === watch) publishWatchBroken(this.#prefix, error);
        if (!closing.aborted) this.#report(error);
      } finally {
        alarm.stop();
        // One that has ended cannot be moved.
        if (this.#watch === watch) this.#watch = undefined;
      }
      if (!closing.aborted) await retry.pause(closing.signal);
    }
  }

  #heard(message: WatchMessage): void {
    if (message.t === "created") {
      this.#rereads = 0;
      publishWatchCreated(this.#prefix, message.revision);
      if (this.#state.t === "opening") this.#setState({ ...this.#state, createdAt: message.revision });
      this.#settle();
    } else if (message.t === "events") this.#received(message.events);
  }

  /** Gives up the watch that is open, so that another one is opened. */
  #moveWatch(reason: EtcdError, why: WatchMove): void {
    const watch = this.#watch;
    if (watch === undefined) return;
    this.#watch = undefined;
    publishWatchMoved(this.#prefix, why);
    watch.throw(reason).catch(() => undefined);
  }

  /** Milliseconds the watch may be silent when it was asked something: as a keep-alive of the shortest TTL. */
  get #silenceMs(): number {
    return keepAliveTimeoutMs(Math.min(...this.#users));
  }

  #received(all: readonly Event[]): void {
    const requests = all.filter(({ kv }) => kv !== undefined && this.#isRequest(kv));
    const events = requests.length === 0 ? all : all.filter((event) => !requests.includes(event));
    if (this.#state.t === "live") this.#apply(events);
    else if (this.#state.t === "opening") {
      this.#setState({ ...this.#state, early: [...this.#state.early, ...events] });
    }
    for (const { kv, type } of requests) if (kv !== undefined && type === EVENT_PUT) this.requested.emit(kv);
  }

  #isRequest({ key }: KeyValue): boolean {
    return isTransferRequestKey(this.#prefix, key);
  }

  /** Reads the prefix until an answer arrives. */
  async #read(closing: LazyAbortController, slowly = false): Promise<void> {
    const answered = this.expectRead();
    const retry = new Retry(this.#etcd.clock, this.#etcd.random, RETRY_BOUNDS);
    if (slowly) await retry.pause(closing.signal);
    while (!closing.aborted) {
      try {
        const { kvs, revision } = await this.#batch.read(this.#prefix, closing);
        if (closing.aborted) break;
        return answered(kvs, revision);
      } catch (error) {
        if (!closing.aborted) this.#report(EtcdError.from(error));
        await retry.pause(closing.signal);
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

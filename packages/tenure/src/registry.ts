import { setMaxListeners } from "node:events";
import type { EtcdClient } from "@tenure/etcd";
import { Candidacy, type CandidacyState } from "./candidacy.ts";
import { abortedError, TenureError } from "./errors.ts";
import type { LeaseGuard } from "./guard/guard-link.ts";
import { Listeners } from "./listeners.ts";
import { ReadBatch } from "./read-batch.ts";
import { type SessionHold, SessionPool } from "./session-pool.ts";
import { TxnBatch } from "./txn-batch.ts";
import { ViewFeed } from "./view-feed.ts";

/** So many views may be idle. */
const FEEDS_KEPT = 16;

/** What the elections of one client share: views, sessions, and who is a candidate where. */
export class ElectionRegistry {
  readonly #etcd: EtcdClient;
  readonly #sessions: SessionPool;
  readonly #batch: TxnBatch;
  readonly #reads: ReadBatch;
  readonly #feeds = new Map<string, ViewFeed>();
  /** How many there are when it is time to look for some that can go. */
  #sweepAt = FEEDS_KEPT;
  /** By TTL and prefix: one session has one key in an election, so two candidacies would share it. */
  readonly #candidacies = new Map<string, Place>();
  readonly #background = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  /** @param guard revokes the leases when this process dies */
  constructor(etcd: EtcdClient, guard: LeaseGuard | undefined) {
    this.#etcd = etcd;
    // One for each campaign that waits, so many are no leak.
    setMaxListeners(0, this.#closing.signal, etcd.closed);
    this.#batch = new TxnBatch(etcd);
    this.#reads = new ReadBatch(etcd);
    this.#sessions = new SessionPool(etcd, (work) => this.inBackground(work), guard);
    // The client underneath may be closed by itself.
    etcd.closed.addEventListener("abort", () => void this.close(), { once: true });
  }

  /** Aborts when the client closes. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The one view of an election in this client. */
  feed(prefix: string): ViewFeed {
    const known = this.#feeds.get(prefix);
    if (known !== undefined) return known;
    if (this.#feeds.size >= this.#sweepAt) this.#sweep();
    const feed = new ViewFeed(this.#etcd, prefix, this.#reads);
    this.#feeds.set(prefix, feed);
    return feed;
  }

  /** Forgets views that nobody looks at. Not with each new one, as there may be thousands. */
  #sweep(): void {
    for (const [prefix, feed] of this.#feeds) if (feed.idle) this.#feeds.delete(prefix);
    this.#sweepAt = Math.max(FEEDS_KEPT, 2 * this.#feeds.size);
  }

  /** Whether a key on this lease is one of this client's candidates. */
  isSelf(leaseId: bigint): boolean {
    return this.#sessions.owns(leaseId);
  }

  /**
   * Reserves the one place a client has in an election for each TTL, waiting for a former candidacy that is leaving.
   *
   * @throws TenureError `invalid-argument` when the place is taken
   */
  reserve(prefix: string, ttlMs: number, leavesByItself: boolean, signal: AbortSignal): Place | Promise<Place> {
    const id = `${ttlMs} ${prefix}`;
    return this.#candidacies.has(id)
      ? this.#reserveWhenFree(id, prefix, leavesByItself, signal)
      : this.#reserve(id, leavesByItself);
  }

  async #reserveWhenFree(id: string, prefix: string, leavesByItself: boolean, signal: AbortSignal): Promise<Place> {
    for (let taken = this.#candidacies.get(id); taken !== undefined; taken = this.#candidacies.get(id)) {
      if (this.closing.aborted) throw closedError();
      if (!taken.leaving) {
        throw new TenureError("invalid-argument", `this client is a candidate for ${prefix} already`);
      }
      await untilAborted(taken.free, signal);
    }
    return this.#reserve(id, leavesByItself);
  }

  #reserve(id: string, leavesByItself: boolean): Place {
    if (this.closing.aborted) throw closedError();
    const place = new Place(leavesByItself, () => this.#candidacies.delete(id));
    this.#candidacies.set(id, place);
    return place;
  }

  /** Joins a session, to stand with it. Throws what makes granting a lease impossible, or `aborted`. */
  join(ttlMs: number, signal: AbortSignal): SessionHold | Promise<SessionHold> {
    return this.#sessions.acquire(ttlMs, signal);
  }

  /** Stands for election with a session. */
  stand(prefix: string, hold: SessionHold, value: Uint8Array, place: Place): Candidacy {
    const candidacy = new Candidacy({
      etcd: this.#etcd,
      prefix,
      feed: this.feed(prefix),
      hold,
      value,
      batch: this.#batch,
    });
    place.occupy(candidacy);
    return candidacy;
  }

  /** Keeps the client open until this has settled. */
  inBackground(work: Promise<void>): void {
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#background.add(settled);
    void settled.then(() => this.#background.delete(settled));
  }

  /**
   * Leaves every election; resolves when all keys are deleted and all leases given back. A place whose owner leaves by
   * itself, once its work has ended, is waited for.
   */
  async close(): Promise<void> {
    this.#closing.abort(closedError());
    const places = [...this.#candidacies.values()];
    await Promise.all(places.map((place) => (place.leavesByItself ? place.free : place.leave())));
    while (this.#background.size > 0) await Promise.all(this.#background);
  }
}

/** A client's place in one election. */
export class Place {
  /** Whether whoever took the place gives it up when the client closes. */
  readonly leavesByItself: boolean;
  readonly #onFree: () => void;
  #candidacy: Candidacy | undefined;
  #left: Promise<void> | undefined;
  #isFree = false;
  /** Those who wait for it to be. */
  readonly #waiting: Listeners<void> = new Listeners();

  /** @param onFree told when the place is free again */
  constructor(leavesByItself: boolean, onFree: () => void) {
    this.leavesByItself = leavesByItself;
    this.#onFree = onFree;
  }

  /** Resolves when the place is free again. */
  get free(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isFree) resolve();
      else this.#waiting.add(resolve);
    });
  }

  get leaving(): boolean {
    return this.#left !== undefined;
  }

  occupy(candidacy: Candidacy): void {
    this.#candidacy = candidacy;
  }

  /**
   * The candidate was elected. A lost term is no reason to keep the place: what it left behind goes with its lease. But
   * who leaves by himself keeps it until his work has ended, so that no other begins beside it in this process.
   */
  elected(): void {
    if (this.leavesByItself) return;
    const lost = (state: CandidacyState): void => {
      if (state.t === "over" && state.code === "leadership-lost") void this.leave();
    };
    this.#candidacy?.changed.add(lost);
    if (this.#candidacy !== undefined) lost(this.#candidacy.state);
  }

  /** Has the candidacy leave, and keeps the place for another one. */
  async vacate(): Promise<void> {
    const candidacy = this.#candidacy;
    this.#candidacy = undefined;
    await candidacy?.leave();
  }

  /** Gives the place up, after the candidacy in it has left. Idempotent. */
  leave(): Promise<void> {
    this.#left ??= this.vacate().then(() => {
      this.#isFree = true;
      this.#onFree();
      this.#waiting.emit();
    });
    return this.#left;
  }
}

function closedError(): TenureError {
  return new TenureError("aborted", "the client is closed");
}

/** Awaits something no longer than the signal lets us. Throws `aborted`. */
export async function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw abortedError(signal);
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(abortedError(signal));
    signal.addEventListener("abort", onAbort);
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

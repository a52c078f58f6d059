import { EtcdError, type EtcdClient, keyBytes } from "@tenure/etcd";
import { offAbort, onAbort } from "@tenure/etcd/runtime";
import { CandidateKey, type PutAnswer } from "./candidate-key.ts";
import { abortedError, quoted, TenureError, type TenureErrorCode } from "./errors.ts";
import { publishCandidacy } from "./events.ts";
import { Listeners } from "./listeners.ts";
import { foreignOf, nestedElection } from "./nested-election.ts";
import type { SessionHold } from "./session-pool.ts";
import { planTransfer, type TransferPlan, transferRequestKey } from "./transfer.ts";
import type { TxnBatch } from "./txn-batch.ts";
import { entryFor, leaderOf, type Snapshot } from "./view.ts";
import type { ReadOffer, ViewFeed } from "./view-feed.ts";
import { Retry } from "./wait.ts";

/** What a candidacy needs of its surroundings. */
export interface CandidacyContext {
  readonly etcd: EtcdClient;
  readonly prefix: string;
  readonly feed: ViewFeed;
  readonly hold: SessionHold;
  readonly value: Uint8Array;
  /** What the transaction that puts the key travels with. */
  readonly batch: TxnBatch;
}

/** A candidate's way, from left to right; each step but the last can be left out. */
export type CandidacyState =
  /** The campaign's transaction has no answer yet. */
  | { readonly t: "joining" }
  /** Our key is in the queue behind others. */
  | { readonly t: "queued"; readonly createRevision: bigint; readonly clusterId: bigint }
  /** Our key is the one created first. */
  | { readonly t: "leading"; readonly createRevision: bigint; readonly clusterId: bigint }
  /** We are no candidate any more: left, or lost the key or the lease. */
  | Over;

/**
 * The end of a candidacy. Its error is made when somebody wants to see it: a stack trace takes as long as a small
 * request, and whoever steps down would wait for it before the key goes.
 */
class Over {
  readonly t = "over";
  readonly code: TenureErrorCode;
  readonly #explain: () => TenureError;
  #error: TenureError | undefined;

  constructor(code: TenureErrorCode, explain: () => TenureError) {
    this.code = code;
    this.#explain = explain;
  }

  get error(): TenureError {
    return (this.#error ??= this.#explain());
  }
}

/** The candidate who is to lead after us, instead of the next in line. */
export interface Nomination {
  readonly key: string;
  /** Told once it is known what became of it: an error, or undefined when the candidate leads. */
  readonly settle: (error: TenureError | undefined) => void;
}

const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };

/**
 * One key in one election: put by one transaction, followed in the view, deleted when it is left.
 *
 * It leads exactly while the newest snapshot holds its key, with its create revision and on its lease, as the first
 * one, and has not been left. What Go's client does instead, waiting for older keys to go, elects candidates whose own
 * key is gone (etcd#19597).
 */
export class Candidacy {
  /** Told of each new state. */
  readonly changed: Listeners<CandidacyState> = new Listeners();
  readonly #context: CandidacyContext;
  readonly #closeFeed: () => void;
  #state: CandidacyState = { t: "joining" };
  #joined: Promise<void> = Promise.resolve();
  #nomination: Nomination | undefined;
  #left: Promise<void> | undefined;
  /** Whether the view has yet to show who else has keys under the prefix. */
  #foreignUnknown = false;
  readonly #ownKey: CandidateKey;

  constructor(context: CandidacyContext) {
    const { etcd, prefix, feed, hold, batch } = context;
    this.#context = context;
    this.#ownKey = new CandidateKey(etcd, prefix, hold.session, batch);
    this.#closeFeed = feed.open(hold.session.ttlMs, true);
    feed.standing.add(this.key, this.#onSnapshot);
    // Whoever cannot see the queue would hold it up: nobody leads while the first key's owner does not know it.
    feed.refused.add(this.#onRefused);
    hold.session.ended.add(this.#onSessionEnded);
    // Who was not promoted for a doubt is promoted when it is cleared.
    hold.session.cleared.add(this.#onCleared);
    const { error } = hold.session;
    if (error !== undefined) this.#onSessionEnded(error);
  }

  get key(): string {
    return this.#ownKey.key;
  }

  get state(): CandidacyState {
    return this.#state;
  }

  get leaseId(): bigint {
    return this.#context.hold.session.leaseId;
  }

  /** Milliseconds etcd granted. */
  get ttlMs(): number {
    return this.#context.hold.session.ttlMs;
  }

  /** Milliseconds for which nobody else can be given what is on our lease, unless it is deleted or revoked. */
  get provenForMs(): number {
    return this.#context.hold.session.leftMs;
  }

  /** Whether we lead at this instant: by the view, and by the clock. */
  get leads(): boolean {
    return this.#state.t === "leading" && this.#context.hold.session.proven;
  }

  /** Whether we led and nothing is known against it: the lease may be in doubt for the moment, but is not overdue. */
  get mayLead(): boolean {
    return this.#state.t === "leading" && !this.#context.hold.session.overdue;
  }

  /** The newest snapshot of the election. */
  get snapshot(): Snapshot | undefined {
    return this.#context.feed.snapshot;
  }

  /** Whether the newest snapshot holds a key. */
  sees(key: string): boolean {
    return this.snapshot !== undefined && entryFor(this.snapshot, key) !== undefined;
  }

  /** Reads the election now: the view may be late. */
  async read(): Promise<void> {
    const { etcd, feed, prefix } = this.#context;
    const offer = feed.expectRead();
    try {
      const { kvs, header } = await etcd.kv.range({ prefix });
      offer(kvs, header?.revision);
    } catch (error) {
      offer();
      throw TenureError.from(error);
    }
  }

  /** Puts the key and waits until it leads. Throws when the candidacy is over first, or etcd refuses it. */
  elected(signal: AbortSignal | undefined): Promise<void> {
    if (this.#state.t === "over") return Promise.reject(this.#state.error);
    // The transaction is never cancelled: leaving waits for its answer, to know what to delete.
    this.#joined = this.#join();
    return new Promise<void>((resolve, reject) => {
      const abort = (): void => settle(() => signal && reject(abortedError(signal)));
      const settle = (outcome: () => void): void => {
        stop();
        if (signal !== undefined) offAbort(signal, abort);
        outcome();
      };
      const stop = this.changed.add((state) => {
        if (state.t === "leading") settle(resolve);
        else if (state.t === "over") settle(() => reject(state.error));
      });
      this.#joined.catch((error: unknown) => settle(() => reject(TenureError.from(error))));
      if (signal === undefined) return;
      onAbort(signal, abort);
      if (signal.aborted) abort();
    });
  }

  /** Ends the candidacy here, at once: nothing says that we lead from now on. The key is still there. */
  stop(code: TenureErrorCode, message: string, cause?: unknown): void {
    const sessionEnd = cause instanceof TenureError ? cause.sessionEnd : undefined;
    this.#setState(new Over(code, () => new TenureError(code, message, { cause, sessionEnd })));
  }

  /** Calls the listener once it is over, at once if it is. */
  whenOver(listener: (over: Over) => void): void {
    if (this.#state.t === "over") return listener(this.#state);
    const stop = this.changed.add((state) => {
      if (state.t !== "over") return;
      stop();
      listener(state);
    });
  }

  /** Has {@link leave} hand the leadership to a chosen candidate. Taking it back is possible until then. */
  nominate(nomination: Nomination | undefined): void {
    this.#nomination = nomination;
  }

  /** Deletes the key and gives the session back. Idempotent; resolves when the key is gone, or its lease given up. */
  leave(): Promise<void> {
    this.stop("not-leader", "the candidacy was left");
    this.#left ??= this.#leave();
    return this.#left;
  }

  /** Every change of state happens here. */
  #setState(next: CandidacyState): void {
    if (this.#state.t === "over") return;
    publishCandidacy(this.#context.prefix, this.key, this.#state, next);
    this.#state = next;
    this.changed.emit(next);
  }

  readonly #onSessionEnded = (error: TenureError): void => this.stop("leadership-lost", error.message, error);

  /** The campaign's transaction hears of its own refusal, and says more of it. */
  readonly #onRefused = (error: TenureError): void => {
    if (this.#state.t === "queued") this.#setState(new Over(error.code, () => error));
    else if (this.#state.t === "leading") this.stop("leadership-lost", error.message, error);
  };

  readonly #onSnapshot = (snapshot: Snapshot): void => this.#seen(snapshot);

  readonly #onCleared = (): void => this.#lookAgain();

  /** Derives our state from a snapshot. */
  #seen(snapshot: Snapshot): void {
    const state = this.#state;
    if (state.t === "joining" || state.t === "over" || snapshot.revision < state.createRevision) return;
    const entry = entryFor(snapshot, this.key);
    if (entry === undefined) return this.stop("leadership-lost", `the key ${this.key} was deleted`);
    if (entry.createRevision !== state.createRevision || entry.leaseId !== this.leaseId) {
      return this.stop("leadership-lost", `the key ${this.key} was overwritten`);
    }
    if (this.#foreignUnknown) {
      this.#foreignUnknown = false;
      const { prefix, feed } = this.#context;
      const { foreign } = feed;
      if (foreign !== undefined) {
        return this.#setState(new Over("nested-election", () => nestedElection(prefix, foreign)));
      }
    }
    const first = leaderOf(snapshot) === entry;
    if (!first && state.t === "leading") return this.stop("leadership-lost", `${this.key} is not the first any more`);
    if (first && state.t === "queued" && this.#context.hold.session.proven) {
      this.#setState({ ...state, t: "leading" });
    }
  }

  #lookAgain(): void {
    const { snapshot } = this.#context.feed;
    if (snapshot !== undefined) this.#seen(snapshot);
  }

  /** Sends the campaign's transaction until its outcome is known. */
  async #join(): Promise<void> {
    const { etcd, feed, hold, value } = this.#context;
    const retry = new Retry(etcd.clock, etcd.random, RETRY_BOUNDS);
    while (this.#state.t === "joining") {
      // The watch shows our key among a crowd: each of a thousand reading all of them would keep everybody waiting.
      const offer = feed.readsEnough ? undefined : feed.expectRead();
      try {
        const answer = await this.#ownKey.put(value, offer !== undefined);
        return this.#joinedWith(answer, offer);
      } catch (thrown) {
        offer?.();
        if (thrown instanceof TenureError) throw thrown;
        const error = EtcdError.from(thrown);
        if (error.code === "not-found") {
          hold.session.end("revoked", "etcd does not know the lease any more", error);
        }
        if (!error.mayHaveApplied && error.code !== "unavailable") throw error;
        await retry.pause();
      }
    }
  }

  #joinedWith({ kvs, revision, clusterId, createRevision }: PutAnswer, offer: ReadOffer | undefined): void {
    const { prefix } = this.#context;
    this.#setState({ t: "queued", createRevision, clusterId });
    if (offer === undefined) this.#foreignUnknown = true;
    else {
      const foreign = foreignOf(prefix, kvs);
      offer(foreign === undefined ? kvs : undefined, revision);
      if (foreign !== undefined) throw nestedElection(prefix, foreign);
    }
    // The watch may have shown our key before this answer came: then the offer was nothing new.
    this.#lookAgain();
  }

  async #leave(): Promise<void> {
    const { hold, feed } = this.#context;
    await this.#joined.catch(() => undefined);
    feed.standing.remove(this.key, this.#onSnapshot);
    feed.refused.remove(this.#onRefused);
    hold.session.ended.remove(this.#onSessionEnded);
    hold.session.cleared.remove(this.#onCleared);
    const nomination = this.#nomination;
    const failed = nomination === undefined ? undefined : await this.#handOver(nomination.key);
    const gone = (nomination !== undefined && failed === undefined) || (await this.#ownKey.remove());
    if (!gone || this.#ownKey.inDoubt) hold.retire();
    this.#ownKey.deleteOnSight(feed);
    this.#closeFeed();
    hold.release();
    nomination?.settle(failed);
  }

  /** Hands the leadership to a candidate in one transaction; returns why not, when it was not done. */
  async #handOver(key: string): Promise<TenureError | undefined> {
    const { snapshot } = this;
    if (snapshot === undefined || leaderOf(snapshot)?.key !== this.key) {
      return new TenureError("leadership-lost", "the term was over before it could be transferred");
    }
    let plan: TransferPlan;
    try {
      plan = planTransfer(snapshot, key);
    } catch (error) {
      return TenureError.from(error);
    }
    const others = [...plan.skipped.map((entry) => entry.key), transferRequestKey(this.#context.prefix)];
    const outcome = await this.#ownKey.handOver(plan.target, others);
    if (outcome === "done") return undefined;
    if (outcome === undefined) return new TenureError("unavailable", "etcd did not confirm the transfer");
    if (outcome === "key-gone") return new TenureError("leadership-lost", `the key ${this.key} was gone already`);
    return new TenureError("invalid-argument", `${quoted(key)} left the election meanwhile`);
  }
}

/** The bytes of a candidate's value. Throws `invalid-argument` above what etcd takes in one request. */
export function valueBytes(value: string | Uint8Array): Uint8Array {
  const bytes = keyBytes(value);
  if (bytes.byteLength > MAX_VALUE_BYTES) {
    throw new TenureError(
      "invalid-argument",
      `the value has ${bytes.byteLength} bytes but etcd takes no more than 1.5 MiB in one request`,
    );
  }
  return bytes;
}

/** etcd's limit of 1.5 MiB for a request, less room for the rest of the transaction. */
const MAX_VALUE_BYTES = 1_536 * 1024 - 4096;

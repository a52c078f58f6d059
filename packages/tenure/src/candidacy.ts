import { compare, EtcdError, type EtcdClient, keyBytes, put, range, remove } from "@tenure/etcd";
import type { KeyValue, TxnResponse } from "@tenure/etcd/rpc";
import { abortedError, TenureError } from "./errors.ts";
import { Listeners } from "./listeners.ts";
import { candidateKey, isCandidate } from "./names.ts";
import type { SessionHold } from "./session-pool.ts";
import { entryFor, leaderOf, type Snapshot } from "./view.ts";
import type { ViewFeed } from "./view-feed.ts";
import { Retry } from "./wait.ts";

/** What a candidacy needs of its surroundings. */
export interface CandidacyContext {
  readonly etcd: EtcdClient;
  readonly prefix: string;
  readonly feed: ViewFeed;
  readonly hold: SessionHold;
  readonly value: Uint8Array;
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
  | { readonly t: "over"; readonly error: TenureError };

/** Milliseconds for one try of a transaction; it is repeated when no answer came. */
const TRY_TIMEOUT_MS = 2000;
const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };
/** Tries to delete a key whose session lives on for others before the lease is given up. */
const MAX_DELETE_TRIES = 20;

/**
 * One key in one election: put by one transaction, followed in the view, deleted when it is left.
 *
 * It leads exactly while the newest snapshot holds its key, with its create revision and on its lease, as the first
 * one, and has not been left. What Go's client does instead, waiting for older keys to go, elects candidates whose own
 * key is gone (etcd#19597).
 */
export class Candidacy {
  readonly key: string;
  /** Told of each new state. */
  readonly changed: Listeners<CandidacyState> = new Listeners();
  readonly #context: CandidacyContext;
  readonly #closeFeed: () => void;
  readonly #stopListening: readonly (() => void)[];
  #state: CandidacyState = { t: "joining" };
  #joined: Promise<void> = Promise.resolve();
  /** Whether a transaction was sent whose outcome is not known: it may even be carried out after we left. */
  #inDoubt = false;
  /** The create revision of the key we put, once an answer told it: known even if we stopped before it came. */
  #createRevision: bigint | undefined;
  #left: Promise<void> | undefined;

  constructor(context: CandidacyContext) {
    this.#context = context;
    this.key = candidateKey(context.prefix, context.hold.session.leaseId);
    this.#closeFeed = context.feed.open(true);
    this.#stopListening = [
      context.feed.changed.add((snapshot) => this.#seen(snapshot)),
      context.hold.session.ended.add((error) => this.#sessionEnded(error)),
    ];
    const { error } = context.hold.session;
    if (error !== undefined) this.#sessionEnded(error);
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

  /** Whether we lead at this instant: by the view, and by the clock. */
  get leads(): boolean {
    return this.#state.t === "leading" && this.#context.hold.session.proven;
  }

  /** Puts the key and waits until it leads. Throws when the candidacy is over first, or etcd refuses it. */
  async elected(signal: AbortSignal | undefined): Promise<void> {
    if (this.#state.t === "over") throw this.#state.error;
    this.#joined = this.#join();
    // The transaction is never cancelled: leaving waits for its answer, to know what to delete.
    this.#joined.catch(() => undefined);
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => settle(() => signal && reject(abortedError(signal)));
      const settle = (outcome: () => void): void => {
        stop();
        signal?.removeEventListener("abort", onAbort);
        outcome();
      };
      const stop = this.changed.add((state) => {
        if (state.t === "leading") settle(resolve);
        else if (state.t === "over") settle(() => reject(state.error));
      });
      this.#joined.catch((error: unknown) => settle(() => reject(TenureError.from(error))));
      signal?.addEventListener("abort", onAbort);
      if (signal?.aborted === true) onAbort();
    });
  }

  /** Ends the candidacy here, at once: nothing says that we lead from now on. The key is still there. */
  stop(error: TenureError): void {
    this.#over(error.code, error.message, error.cause);
  }

  /** Deletes the key and gives the session back. Idempotent; resolves when the key is gone, or its lease given up. */
  leave(): Promise<void> {
    this.stop(new TenureError("not-leader", "the candidacy was left"));
    this.#left ??= this.#leave();
    return this.#left;
  }

  /** Every change of state happens here. */
  #setState(next: CandidacyState): void {
    if (this.#state.t === "over") return;
    this.#state = next;
    this.changed.emit(next);
  }

  #over(code: TenureError["code"], message: string, cause?: unknown): void {
    this.#setState({ t: "over", error: new TenureError(code, message, { cause }) });
  }

  #sessionEnded(error: TenureError): void {
    this.#over("leadership-lost", error.message, error);
  }

  /** Derives our state from a snapshot. */
  #seen(snapshot: Snapshot): void {
    const state = this.#state;
    if (state.t === "joining" || state.t === "over" || snapshot.revision < state.createRevision) return;
    const entry = entryFor(snapshot, this.key);
    if (entry === undefined) return this.#over("leadership-lost", `the key ${this.key} was deleted`);
    if (entry.createRevision !== state.createRevision || entry.leaseId !== this.leaseId) {
      return this.#over("leadership-lost", `the key ${this.key} was overwritten`);
    }
    const first = leaderOf(snapshot) === entry;
    if (first && state.t === "queued" && this.#context.hold.session.proven) {
      this.#setState({ ...state, t: "leading" });
    }
  }

  /** Sends the campaign's transaction until its outcome is known. */
  async #join(): Promise<void> {
    const { clock, random } = this.#context.etcd;
    const retry = new Retry(clock, random, RETRY_BOUNDS);
    while (this.#state.t === "joining") {
      const offer = this.#context.feed.expectRead();
      let answer: TxnResponse;
      try {
        answer = await this.#sendCampaign();
      } catch (thrown) {
        offer();
        const error = EtcdError.from(thrown);
        this.#inDoubt ||= error.mayHaveApplied;
        if (error.code === "not-found") {
          const gone = new TenureError("session-ended", "etcd does not know the lease any more", { cause: error });
          this.#context.hold.session.end("expired", gone);
        }
        if (!error.mayHaveApplied && error.code !== "unavailable") throw error;
        await retry.pause();
        continue;
      }
      const kvs = rangeOf(answer);
      const revision = answer.header?.revision ?? 0n;
      const own = kvs.find((kv) => Buffer.from(kv.key).toString() === this.key);
      if (own === undefined) {
        offer();
        throw new TenureError("internal", "etcd's answer to the campaign does not hold our key");
      }
      // If Else found it, an earlier try put it whose answer was lost: the key carries our own lease.
      this.#createRevision = own.createRevision;
      const clusterId = answer.header?.clusterId ?? 0n;
      this.#setState({ t: "queued", createRevision: own.createRevision, clusterId });
      const foreign = kvs.find((kv) => !isCandidate(this.#context.prefix, Buffer.from(kv.key).toString(), kv.lease));
      offer(foreign === undefined ? kvs : undefined, revision);
      if (foreign !== undefined) throw nestedElection(this.#context.prefix, foreign);
      // The watch may have shown our key before this answer came: then the offer was nothing new.
      const { snapshot } = this.#context.feed;
      if (snapshot !== undefined) this.#seen(snapshot);
    }
  }

  #sendCampaign(): Promise<TxnResponse> {
    const { etcd, prefix, value } = this.#context;
    return etcd.kv
      .txn()
      .if(compare.createRevision(this.key, "=", 0n))
      .success(put(this.key, value, { leaseId: this.leaseId }), range({ prefix }))
      .failure(range({ prefix }))
      .commit({ timeoutMs: TRY_TIMEOUT_MS });
  }

  async #leave(): Promise<void> {
    const { hold } = this.#context;
    await this.#joined.catch(() => undefined);
    for (const stop of this.#stopListening) stop();
    this.#closeFeed();
    const gone = await this.#deleteKey();
    if (!gone) hold.retire();
    hold.release();
  }

  /**
   * Deletes the key if it is still the one we put; false when it may be there, or may yet appear. A key that cannot be
   * deleted would lead for as long as its lease lives, so the session is given up then.
   */
  async #deleteKey(): Promise<boolean> {
    const { etcd, hold } = this.#context;
    const retry = new Retry(etcd.clock, etcd.random, RETRY_BOUNDS);
    const ours = compare.lease(this.key, "=", this.leaseId);
    const revision = this.#createRevision;
    // Without an answer to the campaign there is no create revision; only we put this key, so the lease must do.
    const guard = revision === undefined ? ours : compare.createRevision(this.key, "=", revision);
    if (revision === undefined && !this.#inDoubt) return true;
    for (let tries = 0; tries < MAX_DELETE_TRIES && hold.session.error === undefined; tries++) {
      try {
        await etcd.kv.txn().if(guard).success(remove(this.key)).commit({ timeoutMs: TRY_TIMEOUT_MS });
        return !this.#inDoubt;
      } catch (error) {
        // Anything but this may pass: a server that is busy, or changes its leader, refuses for a moment.
        if (EtcdError.from(error).code === "permission-denied") break;
        await retry.pause();
      }
    }
    hold.session.end("closed", new TenureError("session-ended", `the key ${this.key} could not be deleted`));
    return false;
  }
}

/** The keys that either branch of the campaign's transaction read. */
function rangeOf(answer: TxnResponse): readonly KeyValue[] {
  for (const { response } of answer.responses) {
    if (response.case === "responseRange") return response.value.kvs;
  }
  return [];
}

function nestedElection(prefix: string, kv: KeyValue): TenureError {
  const key = Buffer.from(kv.key).toString();
  const why = kv.lease === 0n ? "is on no lease" : "is no candidate's";
  return new TenureError(
    "nested-election",
    `the key ${JSON.stringify(key)} under ${JSON.stringify(prefix)} ${why}: ` +
      "choose a name that no other key starts with, or delete that key",
  );
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

import { type Comparison, compare, EtcdError, type EtcdClient, type Op, put, range, remove } from "@tenure/etcd";
import type { KeyValue, TxnResponse } from "@tenure/etcd/rpc";
import { candidateKey } from "./names.ts";
import type { Session } from "./session.ts";
import { TRY_TIMEOUT_MS, type TxnBatch } from "./txn-batch.ts";
import { entryFor, type Snapshot, textOf } from "./view.ts";
import type { ViewFeed } from "./view-feed.ts";
import { pause, Retry } from "./wait.ts";

/** What the answer to the campaign's transaction shows. */
export interface PutAnswer {
  /** Every key under the prefix, or only ours. */
  readonly kvs: readonly KeyValue[];
  readonly revision: bigint;
  readonly clusterId: bigint;
  readonly createRevision: bigint;
}

/** What becomes of a transfer: the target leads, or nothing was done because it, or our own key, was gone. */
export type HandOverOutcome = "done" | "target-gone" | "key-gone";

const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };
/** Tries to delete a key whose session lives on for others before the lease is given up. */
const MAX_TRIES = 20;

/**
 * The one key that a session has in an election, in the store: put, deleted, or handed over by guarded transactions.
 *
 * A transaction without an answer may have been carried out, or may yet be. It is never cancelled, and what is not
 * known of it is remembered until the lease is over, which is the only proof that it cannot put the key any more.
 */
export class CandidateKey {
  readonly key: string;
  readonly #etcd: EtcdClient;
  readonly #prefix: string;
  readonly #session: Session;
  readonly #batch: TxnBatch;
  /** The create revision of the key we put, once an answer told it. */
  #createRevision: bigint | undefined;
  /** Whether a put was sent whose outcome is not known. */
  #inDoubt = false;

  constructor(etcd: EtcdClient, prefix: string, session: Session, batch: TxnBatch) {
    this.#etcd = etcd;
    this.#prefix = prefix;
    this.#session = session;
    this.#batch = batch;
    this.key = candidateKey(prefix, session.leaseId);
  }

  /**
   * Whether a put may be carried out even now, after we know of no key: then no other candidacy may use this session in
   * this election.
   */
  get inDoubt(): boolean {
    return this.#inDoubt;
  }

  /**
   * Puts the key and reads the election in one transaction; one try. A key that is there already, and cannot be from an
   * earlier try of ours, is another's doing, and leads for nobody: it is deleted first.
   *
   * @param readsAll whether every key under the prefix is read, or only ours
   * @throws EtcdError when there is no answer, or a refusal
   */
  async put(value: Uint8Array, readsAll: boolean): Promise<PutAnswer> {
    const answer = await this.#commitPut(value, readsAll ? range({ prefix: this.#prefix }) : range(this.key));
    const kvs = rangeOf(answer);
    const own = kvs.find((kv) => textOf(kv.key) === this.key);
    if (own === undefined) throw new EtcdError("internal", "etcd's answer to the campaign does not hold our key");
    if (!answer.succeeded && (!this.#inDoubt || own.lease !== this.#session.leaseId)) {
      await this.#commit([compare.createRevision(this.key, "=", own.createRevision)], [remove(this.key)], []);
      throw new EtcdError("unavailable", `the key ${this.key} was put by another`, { mayHaveApplied: false });
    }
    this.#createRevision = own.createRevision;
    const { revision = 0n, clusterId = 0n } = answer.header ?? {};
    return { kvs, revision, clusterId, createRevision: own.createRevision };
  }

  async #commitPut(value: Uint8Array, look: Op): Promise<TxnResponse> {
    const guards = [compare.createRevision(this.key, "=", 0n)];
    const success = [put(this.key, value, { leaseId: this.#session.leaseId }), look];
    try {
      // A repetition travels alone: what became of the first try is not known.
      if (this.#inDoubt) return await this.#commit(guards, success, [look]);
      const bytes = this.#prefix.length + value.byteLength;
      return await this.#batch.commit({ prefix: this.#prefix, guards, success, failure: [look], bytes });
    } catch (error) {
      this.#inDoubt ||= EtcdError.from(error).mayHaveApplied;
      throw error;
    }
  }

  /**
   * Deletes the key if it is still the one we put; false when it may be there. A key that cannot be deleted would lead
   * for as long as its lease lives, so the session is given up then.
   */
  async remove(): Promise<boolean> {
    // Without an answer to the put there is no create revision; only we put this key, so the lease must do.
    if (this.#createRevision === undefined && !this.#inDoubt) return true;
    const session = this.#session;
    const alive = (tries: number): boolean => tries < MAX_TRIES && session.error === undefined;
    const { answer } = await this.#untilAnswered([this.#ours()], [remove(this.key)], [], alive);
    if (answer !== undefined) return true;
    if (session.error?.sessionEnd === "expired") return this.#removeLapsed();
    session.end("closed", `the key ${this.key} could not be deleted`);
    return false;
  }

  /**
   * Deletes the key of a lease that could not be proven any more. It may live on for long: an etcd that was away gives
   * every lease its whole TTL anew. But not before that TTL is over here, which leaves a leader the time to stop its
   * work.
   */
  async #removeLapsed(): Promise<boolean> {
    const { clock, closed } = this.#etcd;
    await pause(clock, Math.max(0, this.#session.lapsesAt - clock.now()), closed);
    const open = (): boolean => !closed.aborted;
    const { answer } = await this.#untilAnswered([this.#ours()], [remove(this.key)], [], open);
    return answer !== undefined;
  }

  /**
   * Deletes the key together with those of other candidates, so that `target` is the key created first in the revision
   * in which ours goes. Undefined when no answer came.
   *
   * @param others to be deleted too
   */
  async handOver(
    target: { readonly key: string; readonly createRevision: bigint },
    others: readonly string[],
  ): Promise<HandOverOutcome | undefined> {
    const targetLives = compare.createRevision(target.key, "=", target.createRevision);
    const removals = [this.key, ...others].map((key) => remove(key));
    const look = [range(this.key), range(target.key)];
    const alive = (made: number): boolean => made < MAX_TRIES && this.#session.error === undefined;
    const { answer, tries } = await this.#untilAnswered([this.#ours(), targetLives], removals, look, alive);
    if (answer === undefined || answer.succeeded) return answer && "done";
    const kvs = answer.responses.flatMap(({ response }) =>
      response.case === "responseRange" ? response.value.kvs : [],
    );
    if (kvs.some(({ createRevision }) => createRevision === this.#createRevision)) return "target-gone";
    // An earlier try may have done it, and its answer been lost.
    const targetThere = kvs.some(({ createRevision }) => createRevision === target.createRevision);
    return tries > 1 && targetThere ? "done" : "key-gone";
  }

  /**
   * From now on deletes the key whenever it is seen: put by a transaction that was carried out after we left, it would
   * lead, with nobody behind it, for as long as the lease lives. Ends with the session.
   */
  deleteOnSight(feed: ViewFeed): void {
    if (!this.#inDoubt || this.#session.error !== undefined) return;
    let deleting = false;
    const see = (snapshot: Snapshot): void => {
      const ghost = entryFor(snapshot, this.key);
      if (ghost === undefined || ghost.leaseId !== this.#session.leaseId || deleting) return;
      deleting = true;
      this.#createRevision = ghost.createRevision;
      void this.remove().then(() => (deleting = false));
    };
    const stops = [feed.open(this.#session.ttlMs), feed.changed.add(see)];
    this.#session.ended.add(() => {
      for (const stop of stops) stop();
    });
    if (feed.snapshot !== undefined) see(feed.snapshot);
  }

  /** Holds only for the key that we put. */
  #ours(): Comparison {
    return this.#createRevision === undefined
      ? compare.lease(this.key, "=", this.#session.leaseId)
      : compare.createRevision(this.key, "=", this.#createRevision);
  }

  /** Commits until there is an answer, or a refusal for good, or `goOn` says no to another try. */
  async #untilAnswered(
    guards: readonly Comparison[],
    success: readonly Op[],
    failure: readonly Op[],
    goOn: (tries: number) => boolean,
  ): Promise<{ readonly answer: TxnResponse | undefined; readonly tries: number }> {
    const retry = new Retry(this.#etcd.clock, this.#etcd.random, RETRY_BOUNDS);
    let tries = 0;
    while (goOn(tries)) {
      tries++;
      try {
        return { answer: await this.#commit(guards, success, failure), tries };
      } catch (error) {
        // Anything but these may pass: a server that is busy, or changes its leader, refuses for a moment.
        const { code } = EtcdError.from(error);
        if (code === "permission-denied" || code === "unauthenticated") break;
        await retry.pause();
      }
    }
    return { answer: undefined, tries };
  }

  #commit(guards: readonly Comparison[], success: readonly Op[], failure: readonly Op[]): Promise<TxnResponse> {
    return this.#etcd.kv
      .txn()
      .if(...guards)
      .success(...success)
      .failure(...failure)
      .commit({ timeoutMs: TRY_TIMEOUT_MS });
  }
}

/** The keys that either branch of the campaign's transaction read. */
function rangeOf(answer: TxnResponse): readonly KeyValue[] {
  for (const { response } of answer.responses) {
    if (response.case === "responseRange") return response.value.kvs;
  }
  return [];
}

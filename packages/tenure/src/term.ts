import { type CallOptions, type Comparison, compare, EtcdError, type EtcdClient, put } from "@tenure/etcd";
import { valueBytes, type Candidacy } from "./candidacy.ts";
import { TenureError } from "./errors.ts";
import { markGuard } from "./guarded-txn.ts";
import { planTransfer } from "./transfer.ts";
import { settledWithin } from "./wait.ts";

/** What a term is made from. */
export interface TermOptions {
  readonly etcd: EtcdClient;
  readonly candidacy: Candidacy;
  readonly token: bigint;
  readonly clusterId: bigint;
  readonly value: Uint8Array;
  readonly ttlMs: number;
  /** Deletes the key, or hands it over, and frees the place in the election. */
  readonly leave: () => Promise<void>;
  /** Whether whoever has the term resigns when its work has ended, so that a transfer waits for that. */
  readonly resignsByItself: boolean;
  /** Has the term be transferred when somebody asks for it, once whoever has the term resigns. */
  readonly serveTransfers: (term: Term, transfer: (candidateKey: string) => Promise<void>) => void;
  /** Computes the value for a proclaim without one. */
  readonly defaultValue: () => string;
}

const DEFAULT_TIMEOUT_MS = 5000;
const DEFAULT_DRAIN_MS = 5000;

/**
 * A period of leadership, from being elected to its end.
 *
 * A term that ended stays ended: it is never won back silently. It ends by {@link resign}, when its lease can no longer
 * be proven, or when its key is deleted or overwritten.
 */
export class Term implements AsyncDisposable {
  /** The candidate key. */
  readonly key: string;
  /**
   * The fencing token: the create revision of the key. It strictly rises over all terms of an election, so a resource
   * that refuses lower tokens than it has seen is safe from every former leader.
   */
  readonly token: bigint;
  /** The cluster the token belongs to. */
  readonly clusterId: bigint;
  readonly leaseId: bigint;
  /** Milliseconds etcd granted: more than asked for when that was below its minimum. */
  readonly ttlMs: number;
  readonly #etcd: EtcdClient;
  readonly #candidacy: Candidacy;
  readonly #leave: () => Promise<void>;
  readonly #resignsByItself: boolean;
  readonly #defaultValue: () => string;
  /** Made when it is asked for: that takes longer than all the rest of a term, and many ask for {@link held} only. */
  #signal: AbortSignal | undefined;
  #value: Uint8Array;
  #resigned = false;

  /** Terms come from {@link Election.campaign}. */
  constructor(options: TermOptions) {
    this.#etcd = options.etcd;
    this.#candidacy = options.candidacy;
    this.#leave = options.leave;
    this.#resignsByItself = options.resignsByItself;
    this.#defaultValue = options.defaultValue;
    this.#value = options.value;
    this.key = options.candidacy.key;
    this.token = options.token;
    this.clusterId = options.clusterId;
    this.ttlMs = options.ttlMs;
    this.leaseId = options.candidacy.leaseId;
    options.serveTransfers(this, (candidateKey) => this.#transfer(candidateKey, DEFAULT_DRAIN_MS, true));
  }

  /** Fires when the term ends, whatever ended it; the reason is a {@link TenureError}. */
  get signal(): AbortSignal {
    this.#signal ??= this.#makeSignal();
    return this.#signal;
  }

  /** The same as {@link token}, by the name Go's client has for it. */
  get revision(): bigint {
    return this.token;
  }

  /** The value last proclaimed, as text. */
  get value(): string {
    return Buffer.from(this.#value).toString();
  }

  get valueBytes(): Uint8Array {
    return this.#value;
  }

  /**
   * Whether the term is held at this instant. Computed from the clock at the moment of the call: false from the local
   * deadline of the lease on, even when every timer is late.
   */
  get held(): boolean {
    return this.#candidacy.leads;
  }

  /**
   * Milliseconds until the lease's local deadline: for so long etcd cannot give the leadership away because it expired.
   * Rises with every answered keep-alive, after {@link stop} too, since the key stays then; 0 once the lease is over.
   * For work that takes a while to stop.
   */
  get provenForMs(): number {
    return this.#candidacy.provenForMs;
  }

  /**
   * Publishes a new value, which also proves that the term is still held.
   *
   * @param value default: `host-timestampMs`, computed anew
   * @throws TenureError `not-leader` after resign; `leadership-lost` when the term is over, which this call may be the
   * first to find out
   */
  async proclaim(value: string | Uint8Array = this.#defaultValue(), options: CallOptions = {}): Promise<void> {
    const bytes = valueBytes(value);
    this.#assertHeld();
    try {
      const operation = put(this.key, bytes, { leaseId: this.leaseId });
      const txn = this.#etcd.kv
        .txn()
        .if(...this.#comparisons())
        .success(operation);
      const { succeeded } = await txn.commit(options);
      if (!succeeded) {
        this.#candidacy.stop("leadership-lost", `the key ${this.key} was deleted or overwritten`);
      }
    } catch (error) {
      if (!notFound(error)) throw TenureError.from(error);
      this.#candidacy.stop("leadership-lost", "the lease is gone", error);
    }
    this.#assertHeld();
    this.#value = bytes;
  }

  /**
   * Steps down: from the moment of the call nothing says that this process leads, then the key is deleted, so that the
   * next in line is promoted at once. Idempotent. When it was the last use of the lease, that is revoked.
   *
   * @throws TenureError `deadline-exceeded` when the store does not answer within `timeoutMs` (5000); the deletion goes
   * on in the background until the lease has run out
   */
  async resign(options: Pick<CallOptions, "timeoutMs"> = {}): Promise<void> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    this.#resigned = true;
    this.stop();
    let done = false;
    const left = this.#leave().then(() => {
      done = true;
    });
    await settledWithin(this.#etcd.clock, left, timeoutMs);
    if (!done)
      throw new TenureError("deadline-exceeded", `the key ${this.key} could not be deleted in ${timeoutMs} ms`);
  }

  /**
   * Ends the term in this process only: {@link signal} fires and {@link held} is false, but the key stays until
   * {@link resign}, so nobody else is promoted while work is still being stopped. Idempotent.
   */
  stop(): void {
    this.#candidacy.stop("not-leader", "the term was resigned");
  }

  /**
   * Hands the term over to a chosen candidate, in one transaction without a leaderless moment: our key goes, and those
   * of all candidates older than the chosen one, who stand again behind it. From the moment of the call nothing says
   * that this process leads. Within {@link Election.run} the transaction waits for `lead` to end, so `lead` must not
   * wait for it in turn.
   *
   * @param candidateKey the key of a candidate of this election, as {@link Election.candidates} has it
   * @param options.drainMs how long `lead` may take to end, default 5000
   * @throws TenureError with the term untouched: `not-leader` or `leadership-lost` when it is over, `invalid-argument`
   * when there is no such candidate, or one would be skipped that is no Tenure node. With the term resigned instead:
   * `invalid-argument` when the candidate left meanwhile, `unavailable` when etcd did not confirm the transaction. With
   * the term over, and the key there until `lead` ends: `deadline-exceeded`
   */
  transfer(candidateKey: string, options: { readonly drainMs?: number } = {}): Promise<void> {
    const { drainMs = DEFAULT_DRAIN_MS } = options;
    return this.#transfer(candidateKey, drainMs, this.#resignsByItself);
  }

  async #transfer(candidateKey: string, drainMs: number, waitForResign: boolean): Promise<void> {
    this.#assertHeld();
    if (!this.#candidacy.sees(candidateKey)) await this.#candidacy.read();
    this.#assertHeld();
    const { snapshot } = this.#candidacy;
    if (snapshot === undefined) throw new TenureError("leadership-lost", "the election is not seen");
    planTransfer(snapshot, candidateKey);
    let outcome: { readonly error: TenureError | undefined } | undefined;
    const settled = new Promise<void>((resolve) => {
      const settle = (error: TenureError | undefined): void => {
        outcome = { error };
        resolve();
      };
      this.#candidacy.nominate({ key: candidateKey, settle });
    });
    this.#candidacy.stop("not-leader", `the term is transferred to ${candidateKey}`);
    if (!waitForResign) {
      this.#resigned = true;
      void this.#leave();
    }
    const { clock } = this.#etcd;
    if (!this.#resigned) await settledWithin(clock, settled, drainMs);
    if (!this.#resigned) {
      this.#candidacy.nominate(undefined);
      const why = `the leader's work did not end within ${drainMs} ms; it steps down when that does`;
      throw new TenureError("deadline-exceeded", why);
    }
    if (outcome === undefined) await settledWithin(clock, settled, DEFAULT_TIMEOUT_MS);
    if (outcome === undefined) throw new TenureError("deadline-exceeded", "etcd did not confirm the transfer in time");
    if (outcome.error !== undefined) throw outcome.error;
  }

  /** Comparisons that hold only while this term does: put them into the `if` of a transaction that writes as leader. */
  guard(): Comparison[] {
    const comparisons = this.#comparisons();
    return markGuard(comparisons, () => {
      this.#candidacy.stop("leadership-lost", `${this.key} is gone, as a guarded transaction found`);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign();
  }

  #makeSignal(): AbortSignal {
    const ended = new AbortController();
    this.#candidacy.whenOver(({ error }) => ended.abort(error));
    return ended.signal;
  }

  #comparisons(): Comparison[] {
    return [
      compare.createRevision(this.key, "=", this.token),
      // Shows a foreign overwrite, which keeps the create revision.
      compare.lease(this.key, "=", this.leaseId),
    ];
  }

  #assertHeld(): void {
    const { state } = this.#candidacy;
    if (state.t === "over") throw state.error;
    // Not `held`: a lease that is in doubt for the moment is what a transaction may find out about.
    if (!this.#candidacy.mayLead) throw new TenureError("leadership-lost", "the lease can no longer be proven");
  }
}

/** A put on a lease that is gone. */
function notFound(error: unknown): boolean {
  return EtcdError.from(error).code === "not-found";
}

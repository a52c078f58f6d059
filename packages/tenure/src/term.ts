import { type CallOptions, type Comparison, compare, EtcdError, type EtcdClient, put } from "@tenure/etcd";
import { valueBytes, type Candidacy } from "./candidacy.ts";
import { TenureError } from "./errors.ts";
import { settledWithin } from "./wait.ts";

/** What a term is made from. */
export interface TermOptions {
  readonly etcd: EtcdClient;
  readonly candidacy: Candidacy;
  readonly token: bigint;
  readonly clusterId: bigint;
  readonly value: Uint8Array;
  readonly ttlMs: number;
  /** Deletes the key and frees the place in the election. */
  readonly leave: () => Promise<void>;
  /** Computes the value for a proclaim without one. */
  readonly defaultValue: () => string;
}

const DEFAULT_TIMEOUT_MS = 5000;

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
  /** Fires when the term ends, whatever ended it; the reason is a {@link TenureError}. */
  readonly signal: AbortSignal;
  readonly #etcd: EtcdClient;
  readonly #candidacy: Candidacy;
  readonly #leave: () => Promise<void>;
  readonly #defaultValue: () => string;
  readonly #ended = new AbortController();
  #value: Uint8Array;

  /** Terms come from {@link Election.campaign}. */
  constructor(options: TermOptions) {
    this.#etcd = options.etcd;
    this.#candidacy = options.candidacy;
    this.#leave = options.leave;
    this.#defaultValue = options.defaultValue;
    this.#value = options.value;
    this.key = options.candidacy.key;
    this.token = options.token;
    this.clusterId = options.clusterId;
    this.ttlMs = options.ttlMs;
    this.leaseId = options.candidacy.leaseId;
    this.signal = this.#ended.signal;
    const stop = options.candidacy.changed.add((state) => {
      if (state.t !== "over") return;
      stop();
      this.#ended.abort(state.error);
    });
    const { state } = options.candidacy;
    if (state.t === "over") this.#ended.abort(state.error);
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
        .if(...this.guard())
        .success(operation);
      const { succeeded } = await txn.commit(options);
      if (!succeeded) {
        this.#candidacy.stop(new TenureError("leadership-lost", `the key ${this.key} was deleted or overwritten`));
      }
    } catch (error) {
      if (!notFound(error)) throw TenureError.from(error);
      this.#candidacy.stop(new TenureError("leadership-lost", "the lease is gone", { cause: error }));
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
    this.#candidacy.stop(new TenureError("not-leader", "the term was resigned"));
  }

  /** Comparisons that hold only while this term does: put them into the `if` of a transaction that writes as leader. */
  guard(): Comparison[] {
    return [
      compare.createRevision(this.key, "=", this.token),
      // Shows a foreign overwrite, which keeps the create revision.
      compare.lease(this.key, "=", this.leaseId),
    ];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign();
  }

  #assertHeld(): void {
    const { state } = this.#candidacy;
    if (state.t === "over") throw state.error;
    if (!this.held) throw new TenureError("leadership-lost", "the lease can no longer be proven");
  }
}

/** A put on a lease that is gone. */
function notFound(error: unknown): boolean {
  return EtcdError.from(error).code === "not-found";
}

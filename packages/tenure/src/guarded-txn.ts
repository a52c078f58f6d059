import { type CallOptions, type Comparison, type EtcdClient, nested, type Op, type Txn } from "@tenure/etcd";
import type { TxnResponse } from "@tenure/etcd/rpc";

/** What became of a transaction. */
export type TxnOutcome =
  /** Every comparison held, and the `success` operations were carried out. */
  | "succeeded"
  /** One of the caller's own comparisons did not hold, and the `failure` operations were carried out. */
  | "failed"
  /** The guard of a term did not hold: the term is over, here as well. */
  | "not-leader";

/** An answer, and what it means. */
export type TxnResult = TxnResponse & { readonly outcome: TxnOutcome };

/** What a comparison that guards a term does when it did not hold. */
const guards = new WeakMap<Comparison, () => void>();

/** Marks comparisons as the guard of a term; `onLost` is called when a transaction finds that they do not hold. */
export function markGuard(comparisons: Comparison[], onLost: () => void): Comparison[] {
  for (const comparison of comparisons) guards.set(comparison, onLost);
  return comparisons;
}

/**
 * A transaction that knows the guard of a term from other comparisons. Made by {@link Client.txn}.
 *
 * With a guard and comparisons of your own, `failure` runs only if the guard holds and one of yours does not. With a
 * guard alone, `failure` runs if it does not hold.
 */
export class GuardedTxn {
  readonly #etcd: EtcdClient;
  readonly #own: Comparison[] = [];
  readonly #guard: Comparison[] = [];
  readonly #success: Op[] = [];
  readonly #failure: Op[] = [];

  /** Use {@link Client.txn}. */
  constructor(etcd: EtcdClient) {
    this.#etcd = etcd;
  }

  /** Adds comparisons: those of `term.guard()`, your own, or both. */
  if(...comparisons: readonly Comparison[]): this {
    for (const comparison of comparisons) (guards.has(comparison) ? this.#guard : this.#own).push(comparison);
    return this;
  }

  /** Adds operations for when every comparison holds. */
  success(...ops: readonly Op[]): this {
    this.#success.push(...ops);
    return this;
  }

  /** Adds operations for when one does not. */
  failure(...ops: readonly Op[]): this {
    this.#failure.push(...ops);
    return this;
  }

  /**
   * Sends it. A guard that does not hold ends its term: the signal fires before this resolves.
   *
   * @throws EtcdError when there is no answer, or a refusal; see its `mayHaveApplied`
   */
  async commit(options: CallOptions = {}): Promise<TxnResult> {
    if (this.#guard.length === 0 || this.#own.length === 0) {
      const comparisons = [...this.#guard, ...this.#own];
      const txn = this.#txn(comparisons, this.#success, this.#failure);
      const answer = await txn.commit(options);
      if (answer.succeeded) return result(answer, "succeeded");
      return this.#guard.length === 0 ? result(answer, "failed") : this.#lost(answer);
    }
    // One within the other, so that the answer tells which of the comparisons did not hold.
    const inner = nested(this.#own, this.#success, this.#failure);
    const answer = await this.#txn(this.#guard, [inner], []).commit(options);
    if (!answer.succeeded) return this.#lost(answer);
    const [first] = answer.responses;
    const own = first?.response.case === "responseTxn" ? first.response.value : answer;
    return result({ ...own, header: answer.header }, own.succeeded ? "succeeded" : "failed");
  }

  #txn(comparisons: readonly Comparison[], success: readonly Op[], failure: readonly Op[]): Txn {
    return this.#etcd.kv
      .txn()
      .if(...comparisons)
      .success(...success)
      .failure(...failure);
  }

  #lost(answer: TxnResponse): TxnResult {
    const lost = new Set(this.#guard.map((comparison) => guards.get(comparison)));
    // With the guards of several terms the answer does not tell which of them is over.
    if (lost.size === 1) for (const onLost of lost) onLost?.();
    return result(answer, "not-leader");
  }
}

function result(answer: TxnResponse, outcome: TxnOutcome): TxnResult {
  return { ...answer, outcome };
}

import type { RangeRequest, ResponseHeader, TxnRequest } from "./gen/rpc_pb.ts";
import type { Transport } from "./rpc-transport.ts";

/** What the answers of a cluster have shown of its identity and its progress. */
export class Lineage {
  readonly #listeners = new Set<(reason: string) => void>();
  #clusterId = 0n;
  #revision = 0n;
  #epoch = 0;

  /** How often the data changed: an answer to what was asked in an earlier epoch says nothing any more. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The cluster that answered; 0 while none did, or none that says so (etcd's gRPC proxy). */
  get clusterId(): bigint {
    return this.#clusterId;
  }

  /** The highest revision in any answer of this cluster. */
  get revision(): bigint {
    return this.#revision;
  }

  /**
   * Calls `listener` with the reason when the data behind the endpoints is not what it was: another cluster answers, or
   * this one was set back, as by a restored backup. Returns a function that takes the listener off again.
   */
  onChanged(listener: (reason: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * @param atLeast what a linearizable answer cannot be below: the highest revision seen when it was asked for
   * @param epoch in which it was asked for; default: this one
   */
  answered(header: ResponseHeader, atLeast: bigint, epoch: number = this.#epoch): void {
    if (epoch !== this.#epoch) return;
    const { clusterId, revision } = header;
    const known = this.#clusterId;
    if (known !== 0n && clusterId !== 0n && clusterId !== known) {
      this.#changed(header, `cluster ${clusterId.toString(16)} answers instead of ${known.toString(16)}`);
    } else if (revision !== 0n && revision < atLeast && atLeast <= this.#revision) {
      this.#changed(header, `the cluster was set back from revision ${atLeast} to ${revision}`);
    } else {
      if (clusterId !== 0n) this.#clusterId = clusterId;
      if (revision > this.#revision) this.#revision = revision;
    }
  }

  #changed({ clusterId, revision }: ResponseHeader, reason: string): void {
    this.#epoch++;
    this.#clusterId = clusterId;
    this.#revision = revision;
    for (const listener of Array.from(this.#listeners)) listener(reason);
  }
}

/**
 * Shows the header of every answer to the lineage, before whoever waits for the answer gets it.
 *
 * Only a linearizable answer must not be below what was seen before it was asked for: watches, keep-alives and
 * serializable reads come from one member, which may lag.
 */
export class LineageTransport implements Transport {
  readonly #inner: Transport;
  readonly #lineage: Lineage;

  constructor(inner: Transport, lineage: Lineage) {
    this.#inner = inner;
    this.#lineage = lineage;
  }

  readonly unary: Transport["unary"] = async (method, signal, timeoutMs, headers, input) => {
    const atLeast = isLinearizable(method.name, input) ? this.#lineage.revision : 0n;
    const { epoch } = this.#lineage;
    const answer = await this.#inner.unary(method, signal, timeoutMs, headers, input);
    this.#saw(answer.message, atLeast, epoch);
    return answer;
  };

  readonly stream: Transport["stream"] = async (method, signal, timeoutMs, headers, input, control) => {
    const { epoch } = this.#lineage;
    const answer = await this.#inner.stream(method, signal, timeoutMs, headers, input, control);
    return { message: this.#watched(answer.message, epoch) };
  };

  #watched<T>(messages: AsyncIterable<T>, epoch: number): AsyncIterableIterator<T, undefined> {
    const inner = messages[Symbol.asyncIterator]();
    const see = (next: IteratorResult<T, unknown>): IteratorResult<T, undefined> => {
      if (next.done === true) return { done: true, value: undefined };
      this.#saw(next.value, 0n, epoch);
      return next;
    };
    const watched: AsyncIterableIterator<T, undefined> = {
      next: () => inner.next().then(see),
      return: async () => {
        await inner.return?.();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => watched,
    };
    return watched;
  }

  #saw(message: unknown, atLeast: bigint, epoch: number): void {
    const { header } = message as { readonly header?: ResponseHeader };
    if (header !== undefined) this.#lineage.answered(header, atLeast, epoch);
  }
}

/** As etcd has it: a transaction that does nothing but serializable reads is one itself. */
function isLinearizable(method: string, input: unknown): boolean {
  if (method === "Range") return (input as Partial<RangeRequest>).serializable !== true;
  if (method !== "Txn") return false;
  const { success = [], failure = [] } = input as Partial<TxnRequest>;
  return [...success, ...failure].some(({ request }) => {
    return request.case !== "requestRange" || !request.value.serializable;
  });
}

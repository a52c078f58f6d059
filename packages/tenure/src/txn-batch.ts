import { type Comparison, EtcdError, type EtcdClient, nested, type Op } from "@tenure/etcd";
import type { TxnResponse } from "@tenure/etcd/rpc";

/** The transaction by which one candidate stands for election. */
export interface Standing {
  readonly prefix: string;
  readonly guards: readonly Comparison[];
  readonly success: readonly Op[];
  readonly failure: readonly Op[];
  /** About how many bytes it takes. */
  readonly bytes: number;
}

interface Waiting {
  readonly standing: Standing;
  readonly resolve: (answer: Promise<TxnResponse>) => void;
}

/** etcd takes 128 operations; a store may be set to take fewer, and one transaction holds up all others. */
const MAX_TOGETHER = 60;
/** Larger ones travel alone, so that what is together stays far below etcd's limit of 1.5 MiB. */
const MAX_BYTES = 4096;
/** Milliseconds for one try of a transaction of a candidate; it is repeated when no answer came. */
export const TRY_TIMEOUT_MS = 2000;

/**
 * Carries the transactions of candidates that stand in the same turn together, as parts of one: for thousands of
 * elections that takes a fraction of the time.
 *
 * Each part is what it would be alone, with a comparison and an answer of its own. When a transaction is refused, which
 * changes nothing, its parts are sent one by one. When its outcome is not known, that of no part is.
 *
 * Who acts as a user sends them one by one: some versions of etcd do not look at the rights to the parts of a
 * transaction (CVE-2026-33343).
 */
export class TxnBatch {
  readonly #etcd: EtcdClient;
  #waiting: Waiting[] = [];

  constructor(etcd: EtcdClient) {
    this.#etcd = etcd;
  }

  /** Commits it by the end of this turn; one try. Throws EtcdError. */
  commit(standing: Standing): Promise<TxnResponse> {
    if (!this.#etcd.anonymous || standing.bytes > MAX_BYTES) return this.#alone(standing);
    return new Promise((resolve) => {
      if (this.#waiting.push({ standing, resolve }) === 1) process.nextTick(() => this.#flush());
    });
  }

  #flush(): void {
    let together: Waiting[] = [];
    const send = (batch: readonly Waiting[]): void => {
      const [first] = batch;
      if (first !== undefined && batch.length === 1) return first.resolve(this.#alone(first.standing));
      const answers = this.#together(batch.map(({ standing }) => standing));
      for (const [index, { resolve }] of batch.entries()) resolve(answers.then((each) => answerAt(each, index)));
    };
    const all = this.#waiting;
    this.#waiting = [];
    for (const waiting of all) {
      if (together.length === MAX_TOGETHER || together.some((other) => share(other.standing, waiting.standing))) {
        send(together);
        together = [];
      }
      together.push(waiting);
    }
    send(together);
  }

  /** The answers to some transactions, or a promise of it where they had to be sent by themselves. */
  async #together(standings: readonly Standing[]): Promise<readonly (TxnResponse | Promise<TxnResponse>)[]> {
    try {
      const parts = standings.map(({ guards, success, failure }) => nested(guards, success, failure));
      const txn = this.#etcd.kv.txn().success(...parts);
      return partsOf(await txn.commit({ timeoutMs: TRY_TIMEOUT_MS }), standings.length);
    } catch (thrown) {
      const error = EtcdError.from(thrown);
      // Who cannot be reached with one cannot be reached with many.
      if (error.mayHaveApplied || error.code === "unavailable") throw error;
      return standings.map((standing) => this.#alone(standing));
    }
  }

  #alone({ guards, success, failure }: Standing): Promise<TxnResponse> {
    const txn = this.#etcd.kv.txn();
    txn.if(...guards).success(...success);
    return txn.failure(...failure).commit({ timeoutMs: TRY_TIMEOUT_MS });
  }
}

/** Whether the keys of one are among those of the other: what one of them reads depends on their order. */
function share(one: Standing, other: Standing): boolean {
  const [short, long] = one.prefix.length < other.prefix.length ? [one, other] : [other, one];
  return long.prefix.startsWith(short.prefix);
}

function partsOf({ header, responses }: TxnResponse, count: number): readonly TxnResponse[] {
  const parts = responses.flatMap(({ response }) => (response.case === "responseTxn" ? [response.value] : []));
  if (parts.length !== count) throw new EtcdError("internal", "etcd's answer does not hold all parts");
  // Only the whole says at which revision it was.
  return parts.map((part) => ({ ...part, ...(header !== undefined && { header }) }));
}

function answerAt(
  answers: readonly (TxnResponse | Promise<TxnResponse>)[],
  index: number,
): TxnResponse | Promise<TxnResponse> {
  const answer = answers[index];
  if (answer === undefined) throw new EtcdError("internal", "there is no such part");
  return answer;
}

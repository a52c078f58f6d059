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
  readonly resolve: (answer: TxnResponse | Promise<TxnResponse>) => void;
  readonly reject: (error: unknown) => void;
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
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ standing, resolve, reject }) === 1) process.nextTick(() => this.#flush());
    });
  }

  #flush(): void {
    let together = new Batch();
    const all = this.#waiting;
    this.#waiting = [];
    for (const waiting of all) {
      if (!together.takes(waiting.standing.prefix)) {
        void this.#send(together.parts);
        together = new Batch();
      }
      together.add(waiting);
    }
    void this.#send(together.parts);
  }

  async #send(parts: readonly Waiting[]): Promise<void> {
    const [first] = parts;
    if (first === undefined) return;
    if (parts.length === 1) return first.resolve(this.#alone(first.standing));
    try {
      const nestedParts = parts.map(({ standing: { guards, success, failure } }) => nested(guards, success, failure));
      const txn = this.#etcd.kv.txn().success(...nestedParts);
      const answers = partsOf(await txn.commit({ timeoutMs: TRY_TIMEOUT_MS }), parts.length);
      for (const [index, answer] of answers.entries()) parts[index]?.resolve(answer);
    } catch (thrown) {
      const error = EtcdError.from(thrown);
      // Who cannot be reached with one cannot be reached with many.
      const vain = error.mayHaveApplied || error.code === "unavailable";
      for (const { standing, resolve, reject } of parts) {
        if (vain) reject(error);
        else resolve(this.#alone(standing));
      }
    }
  }

  #alone({ guards, success, failure }: Standing): Promise<TxnResponse> {
    const txn = this.#etcd.kv.txn();
    txn.if(...guards).success(...success);
    return txn.failure(...failure).commit({ timeoutMs: TRY_TIMEOUT_MS });
  }
}

/**
 * What one transaction carries: no two with keys of which one's are among the other's, as what one of them reads would
 * depend on their order.
 */
class Batch {
  readonly parts: Waiting[] = [];
  readonly #prefixes = new Set<string>();
  /** The prefixes, and all that they lie under. */
  readonly #around = new Set<string>();

  takes(prefix: string): boolean {
    if (this.parts.length === MAX_TOGETHER || this.#around.has(prefix)) return false;
    for (const outer of outersOf(prefix)) if (this.#prefixes.has(outer)) return false;
    return true;
  }

  add(waiting: Waiting): void {
    const { prefix } = waiting.standing;
    this.parts.push(waiting);
    this.#prefixes.add(prefix);
    for (const outer of outersOf(prefix)) this.#around.add(outer);
  }
}

/** Every prefix of an election that a prefix begins with, itself included: each ends with a slash. */
function outersOf(prefix: string): readonly string[] {
  const outers: string[] = [];
  for (let at = prefix.indexOf("/"); at >= 0; at = prefix.indexOf("/", at + 1)) outers.push(prefix.slice(0, at + 1));
  return outers;
}

function partsOf({ header, responses }: TxnResponse, count: number): readonly TxnResponse[] {
  const parts: TxnResponse[] = [];
  for (const { response } of responses) {
    if (response.case !== "responseTxn") continue;
    // Only the whole says at which revision it was.
    if (header !== undefined) response.value.header = header;
    parts.push(response.value);
  }
  if (parts.length !== count) throw new EtcdError("internal", "etcd's answer does not hold all parts");
  return parts;
}

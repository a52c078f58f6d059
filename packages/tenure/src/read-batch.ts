import { EtcdError, type EtcdClient, range } from "@tenure/etcd";
import type { KeyValue, TxnResponse } from "@tenure/etcd/rpc";

/** An election as a read shows it. */
export interface ReadAnswer {
  readonly kvs: readonly KeyValue[];
  readonly revision: bigint;
}

/** Who reads. The signal, which few reads need, may be made when it is asked for. */
interface Reader {
  /** Fires when it does not care any more. */
  readonly signal: AbortSignal;
}

interface Waiting {
  readonly prefix: string;
  readonly reader: Reader;
  readonly resolve: (answer: ReadAnswer | Promise<ReadAnswer>) => void;
}

/** etcd takes 128 operations; a store may be set to take fewer, and one transaction holds up all others. */
const MAX_TOGETHER = 60;
/** Milliseconds for one try. */
const TIMEOUT_MS = 2000;

/** Milliseconds for which reads wait for those under way at most. */
const MAX_WAIT_MS = 10;

/**
 * Reads elections, together those that are asked for while other reads are under way: when the watches of a thousand
 * elections begin, each asks for a read.
 *
 * All reads are linearizable. Those that are refused together, which one of them may be the reason for, are made one by
 * one.
 */
export class ReadBatch {
  readonly #etcd: EtcdClient;
  #waiting: Waiting[] = [];
  /** Requests that have no answer yet. */
  #underWay = 0;
  #cancelTimer: () => void = () => undefined;

  constructor(etcd: EtcdClient) {
    this.#etcd = etcd;
  }

  /**
   * Reads every key under a prefix, at once where no other read is under way; one try. Throws EtcdError.
   *
   * @param reader when it does not care any more, a read on its own is given up; others are answered all the same
   */
  read(prefix: string, reader: Reader): Promise<ReadAnswer> {
    return new Promise((resolve) => {
      const count = this.#waiting.push({ prefix, reader, resolve });
      if (this.#underWay === 0) this.#flush();
      else if (count === 1) this.#cancelTimer = this.#etcd.clock.after(MAX_WAIT_MS, () => this.#flush());
    });
  }

  #flush(): void {
    this.#cancelTimer();
    const all = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < all.length; at += MAX_TOGETHER) void this.#send(all.slice(at, at + MAX_TOGETHER));
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    this.#underWay++;
    const [first] = batch;
    if (batch.length === 1 && first !== undefined) {
      const answer = this.#alone(first);
      first.resolve(answer);
      await answer.catch(() => undefined);
    } else await this.#together(batch);
    this.#underWay--;
    if (this.#underWay === 0 && this.#waiting.length > 0) this.#flush();
  }

  async #together(batch: readonly Waiting[]): Promise<void> {
    try {
      const txn = this.#etcd.kv.txn().success(...batch.map(({ prefix }) => range({ prefix })));
      const answers = answersOf(await txn.commit({ timeoutMs: TIMEOUT_MS }), batch.length);
      for (const [index, answer] of answers.entries()) batch[index]?.resolve(answer);
    } catch (thrown) {
      const error = EtcdError.from(thrown);
      // Who cannot be reached with one cannot be reached with many.
      const vain = error.code === "unavailable" || error.code === "deadline-exceeded";
      for (const waiting of batch) waiting.resolve(vain ? Promise.reject(error) : this.#alone(waiting));
    }
  }

  async #alone({ prefix, reader: { signal } }: Waiting): Promise<ReadAnswer> {
    const { kvs, header } = await this.#etcd.kv.range({ prefix }, { signal, timeoutMs: TIMEOUT_MS });
    return { kvs, revision: header?.revision ?? 0n };
  }
}

function answersOf({ header, responses }: TxnResponse, count: number): readonly ReadAnswer[] {
  const revision = header?.revision ?? 0n;
  const answers = responses.flatMap(({ response }) =>
    response.case === "responseRange" ? [{ kvs: response.value.kvs, revision }] : [],
  );
  if (answers.length !== count) throw new EtcdError("internal", "etcd's answer does not hold all parts");
  return answers;
}

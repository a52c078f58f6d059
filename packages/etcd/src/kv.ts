import type { CallOptions } from "./call-options.ts";
import type { KeyValue } from "./gen/kv_pb.ts";
import type { CompactionResponse, DeleteRangeResponse, PutResponse, RangeResponse, TxnResponse } from "./gen/rpc_pb.ts";
import type { Key, KeyRange } from "./key-range.ts";
import {
  type Comparison,
  type Op,
  type PutOptions,
  type RangeOptions,
  putRequest,
  rangeRequest,
  removeRequest,
} from "./op.ts";
import { call, type Transport } from "./rpc-transport.ts";
import * as methods from "./wire/methods.ts";

/** Keys and values. */
export class KvClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** One key, or undefined when it does not exist. */
  async get(
    key: Key,
    options: Pick<RangeOptions, "revision" | "serializable"> & CallOptions = {},
  ): Promise<KeyValue | undefined> {
    const { kvs } = await this.range(key, options);
    return kvs[0];
  }

  range(keys: KeyRange, options: RangeOptions & CallOptions = {}): Promise<RangeResponse> {
    const { signal, timeoutMs, ...rest } = options;
    return call(this.#transport, methods.range, rangeRequest(keys, rest), { signal, timeoutMs });
  }

  put(key: Key, value: Key, options: PutOptions & CallOptions = {}): Promise<PutResponse> {
    const { signal, timeoutMs, ...rest } = options;
    return call(this.#transport, methods.put, putRequest(key, value, rest), { signal, timeoutMs });
  }

  delete(keys: KeyRange, options: { readonly prevKv?: boolean } & CallOptions = {}): Promise<DeleteRangeResponse> {
    const { signal, timeoutMs, ...rest } = options;
    return call(this.#transport, methods.deleteRange, removeRequest(keys, rest), { signal, timeoutMs });
  }

  /** Forgets the history before `revision`. */
  compact(revision: bigint, options: { readonly physical?: boolean } & CallOptions = {}): Promise<CompactionResponse> {
    const { physical = false } = options;
    return call(this.#transport, methods.compact, { revision, physical }, options);
  }

  /** Starts a transaction: `txn().if(...).success(...).failure(...).commit()`. */
  txn(): Txn {
    return new Txn(this.#transport);
  }
}

/**
 * A transaction under construction. If every comparison holds the `success` operations run, else the `failure` ones.
 */
export class Txn {
  readonly #transport: Transport;
  readonly #compare: Comparison[] = [];
  readonly #success: Op[] = [];
  readonly #failure: Op[] = [];

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  if(...comparisons: readonly Comparison[]): this {
    this.#compare.push(...comparisons);
    return this;
  }

  success(...ops: readonly Op[]): this {
    this.#success.push(...ops);
    return this;
  }

  failure(...ops: readonly Op[]): this {
    this.#failure.push(...ops);
    return this;
  }

  commit(options: CallOptions = {}): Promise<TxnResponse> {
    const request = { compare: this.#compare, success: this.#success, failure: this.#failure };
    return call(this.#transport, methods.txn, request, options);
  }
}

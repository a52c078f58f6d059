import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type CallOptions, normalized, rpcOptions } from "./call-options.ts";
import type { KeyValue } from "./gen/kv_pb.ts";
import {
  type CompactionResponse,
  type DeleteRangeResponse,
  KV,
  type PutResponse,
  type RangeResponse,
  type TxnResponse,
} from "./gen/rpc_pb.ts";
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

/** Keys and values. */
export class KvClient {
  readonly #rpc: Client<typeof KV>;

  constructor(transport: Transport) {
    this.#rpc = createClient(KV, transport);
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
    return normalized(this.#rpc.range(rangeRequest(keys, rest), rpcOptions({ signal, timeoutMs })));
  }

  put(key: Key, value: Key, options: PutOptions & CallOptions = {}): Promise<PutResponse> {
    const { signal, timeoutMs, ...rest } = options;
    return normalized(this.#rpc.put(putRequest(key, value, rest), rpcOptions({ signal, timeoutMs })));
  }

  delete(keys: KeyRange, options: { readonly prevKv?: boolean } & CallOptions = {}): Promise<DeleteRangeResponse> {
    const { signal, timeoutMs, ...rest } = options;
    return normalized(this.#rpc.deleteRange(removeRequest(keys, rest), rpcOptions({ signal, timeoutMs })));
  }

  /** Forgets the history before `revision`. */
  compact(revision: bigint, options: { readonly physical?: boolean } & CallOptions = {}): Promise<CompactionResponse> {
    const { physical = false } = options;
    return normalized(this.#rpc.compact({ revision, physical }, rpcOptions(options)));
  }

  /** Starts a transaction: `txn().if(...).success(...).failure(...).commit()`. */
  txn(): Txn {
    return new Txn(this.#rpc);
  }
}

/**
 * A transaction under construction. If every comparison holds the `success` operations run, else the `failure` ones.
 */
export class Txn {
  readonly #rpc: Client<typeof KV>;
  readonly #compare: Comparison[] = [];
  readonly #success: Op[] = [];
  readonly #failure: Op[] = [];

  constructor(rpc: Client<typeof KV>) {
    this.#rpc = rpc;
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
    return normalized(this.#rpc.txn(request, rpcOptions(options)));
  }
}

import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import {
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  frame,
  FrameReader,
  LeaseGrantRequestSchema,
  LeaseGrantResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
  WatchRequestSchema,
  WatchResponseSchema,
} from "@tenure/etcd/rpc";
import type { Http2, RawRequest } from "./raw-http2.ts";

/** A change that a watch tells of. */
export interface Change {
  readonly key: string;
  readonly value: string;
  readonly deleted: boolean;
}

const deletion = 1;
const maxMessageBytes = 256 * 1024 * 1024;

/** etcd's requests, as bare as they can be. */
export class RawEtcd {
  readonly #http2: Http2;
  readonly #watches = new Set<RawRequest>();

  constructor(http2: Http2) {
    this.#http2 = http2;
  }

  async grant(ttlSeconds: number): Promise<bigint> {
    const path = "etcdserverpb.Lease/LeaseGrant";
    const request = { TTL: BigInt(ttlSeconds) };
    return (await this.#ask(path, LeaseGrantRequestSchema, request, LeaseGrantResponseSchema)).ID;
  }

  async put(key: string, value: string, lease: bigint): Promise<void> {
    const request = { key: bytes(key), value: bytes(value), lease };
    await this.#ask("etcdserverpb.KV/Put", PutRequestSchema, request, PutResponseSchema);
  }

  async remove(key: string): Promise<void> {
    const request = { key: bytes(key) };
    await this.#ask("etcdserverpb.KV/DeleteRange", DeleteRangeRequestSchema, request, DeleteRangeResponseSchema);
  }

  /** The values under a prefix. */
  async values(prefix: string): Promise<string[]> {
    const range = rangeOf(prefix);
    const { kvs } = await this.#ask("etcdserverpb.KV/Range", RangeRequestSchema, range, RangeResponseSchema);
    return kvs.map(({ value }) => text(value));
  }

  /** Puts a key and reads the keys under a prefix, in the order in which they came, in one transaction. */
  async putAndRange(key: string, value: string, lease: bigint, prefix: string): Promise<string[]> {
    const put = { key: bytes(key), value: bytes(value), lease };
    const [sortOrder, sortTarget] = [RangeRequest_SortOrder.ASCEND, RangeRequest_SortTarget.CREATE];
    const request: MessageInitShape<typeof TxnRequestSchema> = {
      success: [
        { request: { case: "requestPut", value: put } },
        { request: { case: "requestRange", value: { ...rangeOf(prefix), keysOnly: true, sortOrder, sortTarget } } },
      ],
    };
    const { responses } = await this.#ask("etcdserverpb.KV/Txn", TxnRequestSchema, request, TxnResponseSchema);
    return responses.flatMap(({ response }) =>
      response.case === "responseRange" ? response.value.kvs.map((kv) => text(kv.key)) : [],
    );
  }

  /** Tells of changes under a prefix; resolves when the watch stands. */
  watch(prefix: string, onChange: (change: Change) => void): Promise<void> {
    const reader = new FrameReader(maxMessageBytes);
    const createRequest = { requestUnion: { case: "createRequest" as const, value: rangeOf(prefix) } };
    return new Promise((resolve, reject) => {
      const watch = this.#http2.request("/etcdserverpb.Watch/Watch", {
        onData: (chunk) => {
          for (const message of reader.push(chunk)) {
            const { created, events } = fromBinary(WatchResponseSchema, message);
            if (created) resolve();
            for (const { type, kv } of events) {
              if (kv !== undefined) onChange({ key: text(kv.key), value: text(kv.value), deleted: type === deletion });
            }
          }
        },
        onEnd: (status) => reject(new Error(`the watch ended with status ${String(status)}`)),
      });
      this.#watches.add(watch);
      watch.send(frame(encoded(WatchRequestSchema, createRequest)), false);
    });
  }

  close(): void {
    for (const watch of this.#watches) watch.cancel();
    this.#http2.close();
  }

  #ask<I extends DescMessage, O extends DescMessage>(
    path: string,
    input: I,
    request: MessageInitShape<I>,
    output: O,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = [];
      const asked = this.#http2.request(`/${path}`, {
        onData: (chunk) => chunks.push(chunk),
        onEnd: (status) => {
          if (status === "0") resolve(fromBinary(output, Buffer.concat(chunks).subarray(5)));
          else reject(new Error(`${path}: status ${String(status)}`));
        },
      });
      asked.send(frame(encoded(input, request)), true);
    });
  }
}

function encoded<T extends DescMessage>(schema: T, message: MessageInitShape<T>): Uint8Array {
  return toBinary(schema, create(schema, message));
}

/** The keys that begin with a prefix that ends with a slash. */
function rangeOf(prefix: string): { readonly key: Uint8Array; readonly rangeEnd: Uint8Array } {
  return { key: bytes(prefix), rangeEnd: bytes(`${prefix.slice(0, -1)}0`) };
}

function bytes(of: string): Uint8Array {
  return Buffer.from(of);
}

function text(of: Uint8Array): string {
  return Buffer.from(of).toString();
}

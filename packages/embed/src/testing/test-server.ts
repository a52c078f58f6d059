import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  LeaseGrantRequestSchema,
  LeaseKeepAliveRequestSchema,
  LeaseRevokeRequestSchema,
  LeaseTimeToLiveRequestSchema,
  type LeaseTimeToLiveResponse,
  PutRequestSchema,
  type PutResponse,
  RangeRequestSchema,
  type RangeResponse,
  TxnRequestSchema,
  type TxnResponse,
  type WatchCreateRequestSchema,
  WatchRequestSchema,
  type WatchResponse,
} from "@tenure/etcd/rpc";
import { ManualClock, seededRandom } from "@tenure/etcd/runtime";

import { EtcdServer } from "../core/etcd-server.ts";
import type { WatchStream } from "../core/watch-stream.ts";

/** The bytes of a text. */
export const bytes = (text: string): Uint8Array => Buffer.from(text);
/** The text of bytes. */
export const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString();

/** A watch stream of a test and what came on it. */
export interface TestWatch {
  readonly stream: WatchStream;
  readonly responses: WatchResponse[];
  create(request: MessageInitShape<typeof WatchCreateRequestSchema>): void;
  /** Takes the answers so far, each event as a short text like `PUT a=1@12` or `DELETE a@13`. */
  takeEvents(): string[];
}

/** A server with a clock of its own, whose empty store has revision 100, and short forms of requests. */
export class TestServer {
  readonly clock: ManualClock = new ManualClock();
  readonly server: EtcdServer = new EtcdServer({
    clock: this.clock,
    random: seededRandom(1),
    firstRevision: 100n,
    clientUrls: ["http://127.0.0.1:2379"],
  });

  put(key: string, value: string, lease: bigint = 0n): PutResponse {
    return this.server.put(create(PutRequestSchema, { key: bytes(key), value: bytes(value), lease }));
  }

  /** Deletes one key and returns how many there were. */
  delete(key: string): bigint {
    return this.server.deleteRange(create(DeleteRangeRequestSchema, { key: bytes(key) })).deleted;
  }

  /** Reads all keys with a prefix, or as the request says otherwise. */
  range(prefix: string, request: MessageInitShape<typeof RangeRequestSchema> = {}): RangeResponse {
    const rangeEnd = bytes(`${prefix}\u007f`);
    return this.server.range(create(RangeRequestSchema, { key: bytes(prefix), rangeEnd, ...request }));
  }

  /** The keys of a range, in the order of the answer. */
  keys(prefix: string, request: MessageInitShape<typeof RangeRequestSchema> = {}): string[] {
    return this.range(prefix, request).kvs.map((kv) => text(kv.key));
  }

  txn(request: MessageInitShape<typeof TxnRequestSchema>): TxnResponse {
    return this.server.txn(create(TxnRequestSchema, request));
  }

  compact(revision: bigint): void {
    this.server.compact(create(CompactionRequestSchema, { revision }));
  }

  /** Grants a lease and returns its id and TTL. */
  grant(TTL: bigint, ID: bigint = 0n): readonly [id: bigint, ttl: bigint] {
    const lease = this.server.leaseGrant(create(LeaseGrantRequestSchema, { TTL, ID }));
    return [lease.ID, lease.TTL];
  }

  revoke(ID: bigint): void {
    this.server.leaseRevoke(create(LeaseRevokeRequestSchema, { ID }));
  }

  /** Keeps a lease alive and returns the TTL of the answer. */
  keepAlive(ID: bigint): bigint {
    return this.server.leaseKeepAlive(create(LeaseKeepAliveRequestSchema, { ID })).TTL;
  }

  timeToLive(ID: bigint): LeaseTimeToLiveResponse {
    return this.server.leaseTimeToLive(create(LeaseTimeToLiveRequestSchema, { ID, keys: true }));
  }

  /** Opens a watch stream whose sink has room for `room` answers at first. */
  watch(room: number = Infinity): TestWatch {
    const responses: WatchResponse[] = [];
    let left = room;
    const stream = this.server.openWatch((response) => {
      responses.push(response);
      left -= 1;
      return left > 0;
    });
    return {
      stream,
      responses,
      create: (value) => {
        stream.handle(create(WatchRequestSchema, { requestUnion: { case: "createRequest", value } }));
      },
      takeEvents: () => responses.splice(0).flatMap((response) => response.events.map(eventText)),
    };
  }
}

function eventText({ type, kv, prevKv }: WatchResponse["events"][number]): string {
  const before = prevKv === undefined ? "" : ` was ${text(prevKv.value)}`;
  const what = type === 0 ? `PUT ${text(kv?.key)}=${text(kv?.value)}` : `DELETE ${text(kv?.key)}`;
  return `${what}@${kv?.modRevision}${before}`;
}

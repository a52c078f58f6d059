import { create } from "@bufbuild/protobuf";
import {
  DeleteRangeRequestSchema,
  type LockRequest,
  type LockResponse,
  LockResponseSchema,
  type UnlockRequest,
  type UnlockResponse,
  UnlockResponseSchema,
} from "@tenure/etcd/rpc";

import {
  asUnknown,
  candidateKey,
  type Client,
  deleteCreatedAt,
  firstCreated,
  ifCreatedAt,
  prefixOf,
  range,
  sessionLease,
  waitDeletes,
} from "./concurrency.ts";
import { EtcdServerError, GrpcCode } from "./errors.ts";

const SESSION_EXPIRED = "mutex: session is expired";

/** v3lock.Lock: waits until the key of the lock is the first of all. It is gone when the client leaves before that. */
export async function lock(client: Client, request: LockRequest): Promise<LockResponse> {
  try {
    const { server, caller } = client;
    const prefix = prefixOf(request.name);
    const lease = sessionLease(client, request.lease);
    const key = candidateKey(prefix, lease);
    const own = { request: { case: "requestRange", value: { key } } } as const;
    const owner = { request: { case: "requestRange", value: firstCreated(prefix) } } as const;
    const put = { request: { case: "requestPut", value: { key, lease } } } as const;
    const txn = ifCreatedAt(key, 0n, { success: [put, owner], failure: [own, owner] });
    const { header, responses } = server.txn(txn, caller);
    const created = (index: number): bigint | undefined => {
      const answer = responses[index]?.response;
      return answer?.case === "responseRange" ? answer.value.kvs[0]?.createRevision : undefined;
    };
    const revision = created(0) ?? header?.revision ?? 0n;
    if (created(1) === revision) return create(LockResponseSchema, { header, key });
    try {
      await waitDeletes(client, prefix, revision - 1n);
    } catch (error) {
      deleteCreatedAt(client, key, revision);
      throw error;
    }
    const answer = range(client, { key });
    if (answer.kvs.length === 0) throw new EtcdServerError(GrpcCode.unknown, SESSION_EXPIRED);
    return create(LockResponseSchema, { header: answer.header, key });
  } catch (error) {
    throw asUnknown(error);
  }
}

/** v3lock.Unlock. As etcd: deletes any key it is given. */
export function unlock(client: Client, { key }: UnlockRequest): UnlockResponse {
  try {
    const { header } = client.server.deleteRange(create(DeleteRangeRequestSchema, { key }), client.caller);
    return create(UnlockResponseSchema, { header });
  } catch (error) {
    throw asUnknown(error);
  }
}

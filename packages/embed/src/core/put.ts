import { create } from "@bufbuild/protobuf";
import {
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  DeleteRangeResponseSchema,
  type PutRequest,
  type PutResponse,
} from "@tenure/etcd/rpc";

import { refusal } from "./errors.ts";
import { keyFromBytes, keyRange } from "./key-range.ts";
import type { KvStore } from "./kvstore.ts";
import type { Lessor } from "./lessor.ts";
import { innerHeader, keyValue } from "./messages.ts";

/** Throws what executing the request would throw, before anything is written. */
export function checkPut(store: KvStore, lessor: Lessor, request: PutRequest): void {
  checkLease(lessor, request);
  checkPrevious(store, request);
}

/** The same for a put of a transaction, in which etcd looks for the key first. */
export function checkPutOfTxn(store: KvStore, lessor: Lessor, request: PutRequest): void {
  checkPrevious(store, request);
  checkLease(lessor, request);
}

function checkLease(lessor: Lessor, { lease }: PutRequest): void {
  if (lease !== 0n && lessor.lookup(lease) === undefined) throw refusal("leaseNotFound");
}

function checkPrevious(store: KvStore, { key, ignoreValue, ignoreLease }: PutRequest): void {
  if (!ignoreValue && !ignoreLease) return;
  if (store.latest(keyFromBytes(key)) === undefined) throw refusal("keyNotFound");
}

/** Writes one key; the request has passed {@link checkPut}. */
export function executePut(store: KvStore, request: PutRequest): PutResponse {
  const key = keyFromBytes(request.key);
  const needsPrevious = request.prevKv || request.ignoreValue || request.ignoreLease;
  const previous = needsPrevious ? store.latest(key) : undefined;
  const value = request.ignoreValue && previous !== undefined ? previous.version.value : request.value;
  const lease = request.ignoreLease && previous !== undefined ? previous.version.lease : request.lease;
  store.put(key, value, lease);
  const header = innerHeader(store.revision);
  const response: PutResponse = { $typeName: "etcdserverpb.PutResponse", header };
  if (request.prevKv && previous !== undefined) response.prevKv = keyValue(previous);
  return response;
}

/** Deletes a range of keys. */
export function executeDeleteRange(store: KvStore, request: DeleteRangeRequest): DeleteRangeResponse {
  const range = keyRange(request.key, request.rangeEnd);
  const prevKvs = request.prevKv ? store.read(range).items.map((item) => keyValue(item)) : [];
  const deleted = BigInt(store.deleteRange(range));
  return create(DeleteRangeResponseSchema, {
    header: innerHeader(store.revision),
    deleted,
    prevKvs,
  });
}

/**
 * What each request needs permission for.
 *
 * @module
 */
import type {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
  WatchCreateRequest,
} from "@tenure/etcd/rpc";

import type { AuthStore } from "./auth-store.ts";
import type { AuthInfo } from "./auth-tokens.ts";
import { keyFromBytes, keyRange } from "./key-range.ts";
import type { Lease, Lessor } from "./lessor.ts";

type Info = AuthInfo | undefined;

/** Throws unless a range of keys may be read. */
export function checkRangeAuth(
  auth: AuthStore,
  info: Info,
  { key, rangeEnd }: Pick<RangeRequest | WatchCreateRequest, "key" | "rangeEnd">,
): void {
  if (auth.isEnabled) auth.checkRange(info, keyRange(key, rangeEnd));
}

/** Throws unless a put is permitted, which on a lease means: unless all keys of that lease may be put. */
export function checkPutAuth(auth: AuthStore, info: Info, lessor: Lessor, request: PutRequest): void {
  if (!auth.isEnabled) return;
  const key = { kind: "key", key: keyFromBytes(request.key) } as const;
  auth.checkWrite(info, key);
  checkLeasePuts(auth, info, lessor.lookup(request.lease));
  if (request.prevKv) auth.checkRange(info, key);
}

/** Throws unless a deletion is permitted. */
export function checkDeleteAuth(auth: AuthStore, info: Info, request: DeleteRangeRequest): void {
  const range = keyRange(request.key, request.rangeEnd);
  auth.checkWrite(info, range);
  if (request.prevKv) auth.checkRange(info, range);
}

/** Throws unless everything in a transaction is permitted, in both its branches and the nested ones. */
export function checkTxnAuth(auth: AuthStore, info: Info, lessor: Lessor, request: TxnRequest): void {
  for (const compare of request.compare) checkRangeAuth(auth, info, compare);
  for (const op of [...request.success, ...request.failure]) checkOpAuth(auth, info, lessor, op);
}

/** Whether a transaction does nothing but read, whatever its comparisons say. As etcd: none that nests others. */
export function isReadOnly({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(({ request }) => request.case === "requestRange");
}

function checkOpAuth(auth: AuthStore, info: Info, lessor: Lessor, { request }: RequestOp): void {
  switch (request.case) {
    case "requestRange":
      return checkRangeAuth(auth, info, request.value);
    case "requestPut":
      return checkPutAuth(auth, info, lessor, request.value);
    case "requestDeleteRange":
      return checkDeleteAuth(auth, info, request.value);
    case "requestTxn":
      return checkTxnAuth(auth, info, lessor, request.value);
    case undefined:
      return undefined;
  }
}

/** Throws unless all keys of a lease may be put: whoever ends it deletes them. */
export function checkLeasePuts(auth: AuthStore, info: Info, lease: Lease | undefined): void {
  if (auth.isAdmin(info)) return;
  for (const key of lease?.keys ?? []) auth.checkWrite(info, { kind: "key", key });
}

/** Throws unless all keys of a lease may be read. */
export function checkLeaseReads(auth: AuthStore, info: Info, lease: Lease | undefined): void {
  if (auth.isAdmin(info)) return;
  for (const key of lease?.keys ?? []) auth.checkRange(info, { kind: "key", key });
}

import { toBinary } from "@bufbuild/protobuf";
import {
  type DeleteRangeRequest,
  type PutRequest,
  PutRequestSchema,
  type RangeRequest,
  RangeRequest_SortTarget as SortTarget,
  type RequestOp,
  type TxnRequest,
  TxnRequestSchema,
} from "@tenure/etcd/rpc";

import { refusal } from "./errors.ts";
import { inRange, keyFromBytes, type KeyRange, keyRange } from "./key-range.ts";

/** The largest write etcd takes by default (its `--max-request-bytes`). */
export const MAX_REQUEST_BYTES: number = 1.5 * 1024 * 1024;
const MAX_TXN_OPS = 128;
/** Roughly what etcd wraps around a write before it measures it. */
const ENVELOPE_BYTES = 20;
/** More than an operation takes beyond its keys and values. */
const OP_OVERHEAD_BYTES = 128;

/** Throws what etcd refuses in a read by its form alone. */
export function checkRangeRequest(request: RangeRequest): void {
  if (request.key.byteLength === 0) throw refusal("emptyKey");
  // As etcd, an order that this server does not know is none; a target that it does not know ends etcd 3.5 (a panic).
  if (!isOneOf(SortTarget, request.sortTarget)) throw refusal("invalidSortOption");
}

/** Throws what etcd refuses in a deletion by its form alone. */
export function checkDeleteRequest(request: DeleteRangeRequest): void {
  if (request.key.byteLength === 0) throw refusal("emptyKey");
}

/** Throws what etcd refuses in a transaction by its form alone. */
export function checkTxnRequest(request: TxnRequest): void {
  checkTxnForm(request, MAX_TXN_OPS);
  collectWrites(request.success);
  collectWrites(request.failure);
}

/** Throws what etcd refuses in a put by its form alone. */
export function checkPutRequest(request: PutRequest): void {
  if (request.key.byteLength === 0) throw refusal("emptyKey");
  if (request.ignoreValue && request.value.byteLength > 0) throw refusal("valueProvided");
  if (request.ignoreLease && request.lease !== 0n) throw refusal("leaseProvided");
}

/** A nested transaction may only use the operations that its parents leave over. */
function checkTxnForm(request: TxnRequest, maxOps: number): void {
  const ops = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (ops > maxOps) throw refusal("tooManyOps");
  if (request.compare.some((compare) => compare.key.byteLength === 0)) throw refusal("emptyKey");
  for (const op of [...request.success, ...request.failure]) checkOpForm(op, maxOps - ops);
}

function checkOpForm({ request }: RequestOp, maxOps: number): void {
  switch (request.case) {
    case "requestRange":
      return checkRangeRequest(request.value);
    case "requestPut":
      return checkPutRequest(request.value);
    case "requestDeleteRange":
      return checkDeleteRequest(request.value);
    case "requestTxn":
      return checkTxnForm(request.value, maxOps);
    case undefined:
      throw refusal("keyNotFound");
  }
}

/** The keys a list of operations may put, and the ranges it may delete. */
interface Writes {
  readonly puts: Set<string>;
  readonly deletes: KeyRange[];
}

/**
 * Collects what a list of operations writes and refuses a key that is put twice, or put and deleted: all of it is one
 * revision, where the outcome would hang on the order. The two branches of a nested transaction exclude each other, so
 * both may put the same key.
 */
function collectWrites(ops: readonly RequestOp[]): Writes {
  const writes: Writes = { puts: new Set(), deletes: [] };
  const refuseOverlap = (key: string): void => {
    if (writes.puts.has(key) || writes.deletes.some((range) => inRange(range, key))) throw refusal("duplicateKey");
  };
  for (const { request } of ops) {
    if (request.case !== "requestDeleteRange") continue;
    const range = keyRange(request.value.key, request.value.rangeEnd);
    // As etcd, whose check overlooks a deletion of all keys from one on.
    if (range.kind === "key" || range.end !== undefined) writes.deletes.push(range);
  }
  for (const { request } of ops) {
    if (request.case !== "requestTxn") continue;
    const branches = [collectWrites(request.value.success), collectWrites(request.value.failure)];
    const nested = new Set(branches.flatMap((branch) => [...branch.puts]));
    nested.forEach(refuseOverlap);
    nested.forEach((key) => writes.puts.add(key));
    writes.deletes.push(...branches.flatMap((branch) => branch.deletes));
  }
  for (const { request } of ops) {
    if (request.case !== "requestPut") continue;
    const key = keyFromBytes(request.value.key);
    refuseOverlap(key);
    writes.puts.add(key);
  }
  return writes;
}

/** Throws when a put is too large for the log. As etcd, to be asked once it is known who asks. */
export function checkPutSize(request: PutRequest): void {
  if (putBytes(request) > MAX_REQUEST_BYTES) checkSize(toBinary(PutRequestSchema, request).byteLength);
}

/** The same for a transaction that does more than read. */
export function checkTxnSize(request: TxnRequest): void {
  if (txnBytes(request) > MAX_REQUEST_BYTES) checkSize(toBinary(TxnRequestSchema, request).byteLength);
}

function checkSize(bytes: number): void {
  if (bytes + ENVELOPE_BYTES > MAX_REQUEST_BYTES) throw refusal("requestTooLarge");
}

/** Not less than the size of the message, and far cheaper to find out. */
function putBytes({ key, value }: PutRequest): number {
  return key.byteLength + value.byteLength + OP_OVERHEAD_BYTES;
}

function txnBytes(request: TxnRequest): number {
  let bytes = OP_OVERHEAD_BYTES;
  for (const { key, rangeEnd, targetUnion } of request.compare) {
    const value = targetUnion.case === "value" ? targetUnion.value.byteLength : 0;
    bytes += key.byteLength + rangeEnd.byteLength + value + OP_OVERHEAD_BYTES;
  }
  for (const op of [...request.success, ...request.failure]) bytes += opBytes(op);
  return bytes;
}

function opBytes({ request }: RequestOp): number {
  switch (request.case) {
    case "requestRange":
    case "requestDeleteRange":
      return request.value.key.byteLength + request.value.rangeEnd.byteLength + OP_OVERHEAD_BYTES;
    case "requestPut":
      return putBytes(request.value);
    case "requestTxn":
      return txnBytes(request.value);
    case undefined:
      return 0;
  }
}

function isOneOf(known: Readonly<Record<string, number>>, value: number): boolean {
  return Object.values(known).includes(value);
}

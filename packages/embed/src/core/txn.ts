import { create } from "@bufbuild/protobuf";
import {
  type Compare,
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  type RequestOp,
  type ResponseOp,
  ResponseOpSchema,
  type TxnRequest,
  type TxnResponse,
  TxnResponseSchema,
} from "@tenure/etcd/rpc";

import type { Version } from "./key-index.ts";
import { keyRange } from "./key-range.ts";
import type { KvStore } from "./kvstore.ts";
import type { Lessor } from "./lessor.ts";
import { innerHeader } from "./messages.ts";
import { checkPutOfTxn, executeDeleteRange, executePut } from "./put.ts";
import { checkRange, executeRange } from "./range.ts";

/** One operation of the branch a transaction takes. */
type PlannedOp = Exclude<RequestOp["request"], { case: "requestTxn" | undefined }> | { case: "nested"; value: Plan };

/** A transaction with all its compares decided, nested ones included. */
interface Plan {
  readonly succeeded: boolean;
  readonly ops: readonly PlannedOp[];
}

const NO_VALUE = new Uint8Array(0);
/** What a compare sees where there is no key. */
const MISSING: Version = {
  modRevision: 0,
  subRevision: 0,
  createRevision: 0,
  version: 0,
  value: NO_VALUE,
  lease: 0n,
};

/**
 * Runs a transaction. All compares, nested ones included, look at the state before it, and every operation that will
 * run is checked first, so that a refused transaction has written nothing.
 *
 * @throws EtcdServerError when an operation of the branch taken is refused.
 */
export function executeTxn(store: KvStore, lessor: Lessor, request: TxnRequest): TxnResponse {
  const plan = planTxn(store, request);
  checkPlan(store, lessor, plan);
  const response = executePlan(store, plan);
  response.header = innerHeader(store.revision);
  return response;
}

function planTxn(store: KvStore, request: TxnRequest): Plan {
  const succeeded = request.compare.every((compare) => holds(store, compare));
  const ops: PlannedOp[] = [];
  for (const { request: op } of succeeded ? request.success : request.failure) {
    if (op.case === "requestTxn") ops.push({ case: "nested", value: planTxn(store, op.value) });
    else if (op.case !== undefined) ops.push(op);
  }
  return { succeeded, ops };
}

/** As etcd: all puts before all reads, which decides whose refusal is the answer. */
function checkPlan(store: KvStore, lessor: Lessor, plan: Plan): void {
  const ops = [...flatOps(plan)];
  for (const op of ops) if (op.case === "requestPut") checkPutOfTxn(store, lessor, op.value);
  for (const op of ops) if (op.case === "requestRange") checkRange(store, op.value);
}

function* flatOps({ ops }: Plan): Generator<PlannedOp> {
  for (const op of ops) {
    if (op.case === "nested") yield* flatOps(op.value);
    else yield op;
  }
}

function executePlan(store: KvStore, plan: Plan): TxnResponse {
  const responses = plan.ops.map((op) => create(ResponseOpSchema, { response: executeOp(store, op) }));
  return create(TxnResponseSchema, { header: {}, succeeded: plan.succeeded, responses });
}

function executeOp(store: KvStore, op: PlannedOp): ResponseOp["response"] {
  switch (op.case) {
    case "requestRange":
      return { case: "responseRange", value: executeRange(store, op.value) };
    case "requestPut":
      return { case: "responsePut", value: executePut(store, op.value) };
    case "requestDeleteRange":
      return { case: "responseDeleteRange", value: executeDeleteRange(store, op.value) };
    case "nested":
      return { case: "responseTxn", value: executePlan(store, op.value) };
  }
}

/** Whether a compare holds for every key in its range. A missing key compares as zeros, and never by value. */
function holds(store: KvStore, compare: Compare): boolean {
  const { items } = store.read(keyRange(compare.key, compare.rangeEnd));
  if (items.length > 0) return items.every(({ version }) => holdsFor(version, compare));
  return compare.target !== CompareTarget.VALUE && holdsFor(MISSING, compare);
}

function holdsFor(version: Version, { target, targetUnion, result }: Compare): boolean {
  const order = orderOf(version, target, targetUnion);
  switch (result) {
    case CompareResult.EQUAL:
      return order === 0;
    case CompareResult.NOT_EQUAL:
      return order !== 0;
    case CompareResult.GREATER:
      return order > 0;
    case CompareResult.LESS:
      return order < 0;
    default:
      // As etcd: a result this server does not know holds.
      return true;
  }
}

/** Below, at or above 0 as the key's property is below, equal to or above what it is compared with. */
function orderOf(version: Version, target: CompareTarget, union: Compare["targetUnion"]): number {
  switch (target) {
    case CompareTarget.VALUE:
      return Buffer.compare(version.value, union.case === "value" ? union.value : NO_VALUE);
    case CompareTarget.VERSION:
      return orderOfNumbers(version.version, union.case === "version" ? union.value : 0n);
    case CompareTarget.CREATE:
      return orderOfNumbers(version.createRevision, union.case === "createRevision" ? union.value : 0n);
    case CompareTarget.MOD:
      return orderOfNumbers(version.modRevision, union.case === "modRevision" ? union.value : 0n);
    case CompareTarget.LEASE:
      return orderOfNumbers(version.lease, union.case === "lease" ? union.value : 0n);
    default:
      return 0;
  }
}

function orderOfNumbers(a: number | bigint, b: bigint): number {
  if (a < b) return -1;
  return a > b ? 1 : 0;
}

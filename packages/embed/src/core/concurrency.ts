/**
 * What elections and locks are made of, as etcd's Go package `concurrency` has it.
 *
 * @module
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  Event_EventType as EventType,
  type KeyValue,
  LeaseGrantRequestSchema,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  RangeRequestSchema,
  type RangeResponse,
  type ResponseHeader,
  type TxnRequest,
  TxnRequestSchema,
  WatchCreateRequestSchema,
  WatchRequestSchema,
  type WatchResponse,
} from "@tenure/etcd/rpc";

import type { Caller } from "./auth-store.ts";
import { EtcdServerError, GrpcCode, refusal } from "./errors.ts";
import type { EtcdServer } from "./etcd-server.ts";

/** Somebody who asks for an election or a lock, until `signal` fires. */
export interface Client {
  readonly server: EtcdServer;
  readonly caller: Caller;
  readonly signal: AbortSignal;
}

/** The keys of one election or lock: those that begin with `start`. */
export interface Prefix {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

const SLASH = "/".charCodeAt(0);
/** What etcd grants to those who bring no lease. */
const SESSION_TTL_SECONDS = 60n;

/** The keys below a name. */
export function prefixOf(name: Uint8Array): Prefix {
  return { start: Buffer.from([...name, SLASH]), end: Buffer.from([...name, SLASH + 1]) };
}

/** The key of whoever stands with a lease. */
export function candidateKey({ start }: Prefix, lease: bigint): Uint8Array {
  return Buffer.concat([start, Buffer.from(lease.toString(16))]);
}

/** The lease that was brought, or a new one. */
export function sessionLease({ server, caller }: Client, lease: bigint): bigint {
  if (lease !== 0n) return lease;
  return server.leaseGrant(create(LeaseGrantRequestSchema, { TTL: SESSION_TTL_SECONDS }), caller).ID;
}

/** A transaction that does something if a key was created at a revision; at 0, if there is no such key. */
export function ifCreatedAt(
  key: Uint8Array,
  revision: bigint,
  branches: Pick<MessageInitShape<typeof TxnRequestSchema>, "success" | "failure">,
): TxnRequest {
  const targetUnion = { case: "createRevision", value: revision } as const;
  const compare = [{ key, target: CompareTarget.CREATE, result: CompareResult.EQUAL, targetUnion }];
  return create(TxnRequestSchema, { compare, ...branches });
}

/** Deletes a key if it was created at a revision, and returns the header of the answer. */
export function deleteCreatedAt(
  { server, caller }: Client,
  key: Uint8Array,
  revision: bigint,
): ResponseHeader | undefined {
  const success = [{ request: { case: "requestDeleteRange", value: { key } } } as const];
  return server.txn(ifCreatedAt(key, revision, { success }), caller).header;
}

/** A request for the key below a prefix that was created first. */
export function firstCreated({ start: key, end: rangeEnd }: Prefix): MessageInitShape<typeof RangeRequestSchema> {
  return { key, rangeEnd, limit: 1n, sortTarget: SortTarget.CREATE, sortOrder: SortOrder.ASCEND };
}

/** Reads keys as the client may. */
export function range({ server, caller }: Client, request: MessageInitShape<typeof RangeRequestSchema>): RangeResponse {
  return server.range(create(RangeRequestSchema, request), caller);
}

/** Waits until all keys below a prefix are gone that were created at a revision or before it. */
export async function waitDeletes(client: Client, prefix: Prefix, maxCreateRevision: bigint): Promise<void> {
  for (;;) {
    const { start: key, end: rangeEnd } = prefix;
    const last = { limit: 1n, sortTarget: SortTarget.CREATE, sortOrder: SortOrder.DESCEND };
    const { kvs, header } = range(client, { key, rangeEnd, ...last, maxCreateRevision });
    const [predecessor] = kvs;
    if (predecessor === undefined) return;
    await waitDelete(client, predecessor, header?.revision ?? 0n);
  }
}

async function waitDelete(client: Client, { key }: KeyValue, startRevision: bigint): Promise<void> {
  for await (const { events } of watch(client, { key, startRevision })) {
    if (events.some(({ type }) => type === EventType.DELETE)) return;
  }
}

/**
 * Watches, and yields what comes, as fast as it is taken.
 *
 * @throws EtcdServerError when the watch is canceled, or the client is gone
 */
export async function* watch(
  { server, caller, signal }: Client,
  request: MessageInitShape<typeof WatchCreateRequestSchema>,
): AsyncGenerator<WatchResponse, never> {
  const responses: WatchResponse[] = [];
  let wake = (): void => {};
  // Never more than what came at once: no room until that is taken.
  const stream = server.openWatch((response) => {
    responses.push(response);
    wake();
    return false;
  }, caller);
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  try {
    stream.handle(
      create(WatchRequestSchema, {
        requestUnion: { case: "createRequest", value: create(WatchCreateRequestSchema, request) },
      }),
    );
    for (;;) {
      if (signal.aborted) throw new EtcdServerError(GrpcCode.unknown, "context canceled");
      const response = responses.shift();
      if (response === undefined) {
        stream.drain();
        if (responses.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      if (response.compactRevision !== 0n) throw refusal("compacted");
      if (response.canceled) throw new EtcdServerError(GrpcCode.unknown, response.cancelReason);
      yield response;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    server.closeWatch(stream);
  }
}

/** An error as these services of etcd pass it on: with its text, and no status of its own. */
export function asUnknown(error: unknown): unknown {
  return error instanceof EtcdServerError ? new EtcdServerError(GrpcCode.unknown, error.message) : error;
}

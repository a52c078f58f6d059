import { create } from "@bufbuild/protobuf";
import {
  type CampaignRequest,
  type CampaignResponse,
  CampaignResponseSchema,
  Event_EventType as EventType,
  type KeyValue,
  type LeaderKey,
  type LeaderRequest,
  type LeaderResponse,
  LeaderResponseSchema,
  type ProclaimRequest,
  type ProclaimResponse,
  ProclaimResponseSchema,
  type ResignRequest,
  type ResignResponse,
  ResignResponseSchema,
  type ResponseHeader,
} from "@tenure/etcd/rpc";

import {
  asUnknown,
  candidateKey,
  type Client,
  deleteCreatedAt,
  firstCreated,
  ifCreatedAt,
  type Prefix,
  prefixOf,
  range,
  sessionLease,
  waitDeletes,
  watch,
} from "./concurrency.ts";
import { EtcdServerError, GrpcCode } from "./errors.ts";

const NOT_LEADER = "election: not leader";
const NO_LEADER = "election: no leader";
const MISSING_LEADER_KEY = '"leader" field must be provided';

/** Where a candidate stands: its key, since when, and by which lease. */
type Candidacy = Pick<LeaderKey, "key" | "rev" | "lease">;

/** v3election.Campaign: waits until the candidate is the first of all. It goes when the client leaves before that. */
export async function campaign(client: Client, request: CampaignRequest): Promise<CampaignResponse> {
  try {
    const { name, value } = request;
    const prefix = prefixOf(name);
    const lease = sessionLease(client, request.lease);
    const { header, ...candidacy } = stand(client, candidateKey(prefix, lease), value, lease);
    try {
      await waitDeletes(client, prefix, candidacy.rev - 1n);
    } catch (error) {
      if (client.signal.aborted) deleteCreatedAt(client, candidacy.key, candidacy.rev);
      throw error;
    }
    // Where etcd does not look, its candidate may be told to lead whose key has gone.
    if (range(client, { key: candidacy.key }).kvs[0]?.createRevision !== candidacy.rev) throw failure(NOT_LEADER);
    return create(CampaignResponseSchema, { header, leader: { name, ...candidacy } });
  } catch (error) {
    throw asUnknown(error);
  }
}

/** v3election.Proclaim. */
export function proclaim(client: Client, { leader, value }: ProclaimRequest): ProclaimResponse {
  try {
    return create(ProclaimResponseSchema, { header: putValue(client, given(leader), value) });
  } catch (error) {
    throw asUnknown(error);
  }
}

/** v3election.Resign. */
export function resign(client: Client, { leader }: ResignRequest): ResignResponse {
  try {
    const { key, rev } = given(leader);
    return create(ResignResponseSchema, { header: deleteCreatedAt(client, key, rev) });
  } catch (error) {
    throw asUnknown(error);
  }
}

/** v3election.Leader. */
export function leader(client: Client, { name }: LeaderRequest): LeaderResponse {
  try {
    const { header, kvs } = range(client, firstCreated(prefixOf(name)));
    const [kv] = kvs;
    if (kv === undefined) throw failure(NO_LEADER);
    return create(LeaderResponseSchema, { header, kv });
  } catch (error) {
    throw asUnknown(error);
  }
}

/** v3election.Observe: yields who leads, and each value that is proclaimed. It never ends, but by an error. */
export async function* observe(client: Client, { name }: LeaderRequest): AsyncGenerator<LeaderResponse, never> {
  const prefix = prefixOf(name);
  for (;;) {
    const { header, kvs } = range(client, firstCreated(prefix));
    const [kv] = kvs;
    if (kv === undefined) {
      await waitForPut(client, prefix, header?.revision ?? 0n);
      continue;
    }
    yield create(LeaderResponseSchema, { header, kv });
    yield* valuesOf(client, kv, (header?.revision ?? 0n) + 1n);
  }
}

/** Waits for a candidate, to read then who leads: an event alone may be outdated. */
async function waitForPut(client: Client, { start: key, end: rangeEnd }: Prefix, startRevision: bigint): Promise<void> {
  for await (const { events } of watch(client, { key, rangeEnd, startRevision })) {
    if (events.some(({ type }) => type === EventType.PUT)) return;
  }
}

/** The values put to a key until it is deleted. */
async function* valuesOf(client: Client, { key }: KeyValue, startRevision: bigint): AsyncGenerator<LeaderResponse> {
  for await (const { events, header } of watch(client, { key, startRevision })) {
    for (const { type, kv } of events) {
      if (type === EventType.DELETE) return;
      yield create(LeaderResponseSchema, { header, kv });
    }
  }
}

/** Puts the candidate's key unless it stands there; then only a new value is put. */
function stand(
  client: Client,
  key: Uint8Array,
  value: Uint8Array,
  lease: bigint,
): Candidacy & { readonly header: ResponseHeader | undefined } {
  const { server, caller } = client;
  const txn = ifCreatedAt(key, 0n, {
    success: [{ request: { case: "requestPut", value: { key, value, lease } } }],
    failure: [{ request: { case: "requestRange", value: { key } } }],
  });
  const { succeeded, header, responses } = server.txn(txn, caller);
  if (succeeded) return { key, lease, rev: header?.revision ?? 0n, header };
  const answer = responses[0]?.response;
  const known = answer?.case === "responseRange" ? answer.value.kvs[0] : undefined;
  const candidacy = { key, lease, rev: known?.createRevision ?? 0n };
  if (Buffer.compare(known?.value ?? value, value) !== 0) putValue(client, candidacy, value);
  return { ...candidacy, header };
}

function putValue(
  { server, caller }: Client,
  { key, rev, lease }: Candidacy,
  value: Uint8Array,
): ResponseHeader | undefined {
  const success = [{ request: { case: "requestPut", value: { key, value, lease } } }] as const;
  const { succeeded, header } = server.txn(ifCreatedAt(key, rev, { success: [...success] }), caller);
  if (!succeeded) throw failure(NOT_LEADER);
  return header;
}

function given(key: LeaderKey | undefined): LeaderKey {
  if (key === undefined) throw failure(MISSING_LEADER_KEY);
  return key;
}

function failure(message: string): EtcdServerError {
  return new EtcdServerError(GrpcCode.unknown, message);
}

import { create } from "@bufbuild/protobuf";
import {
  type AlarmRequest,
  type AlarmResponse,
  AlarmResponseSchema,
  type CompactionRequest,
  type CompactionResponse,
  CompactionResponseSchema,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  LeaseGrantResponseSchema,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  LeaseKeepAliveResponseSchema,
  type LeaseLeasesResponse,
  LeaseLeasesResponseSchema,
  type LeaseRevokeRequest,
  type LeaseRevokeResponse,
  LeaseRevokeResponseSchema,
  type LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
  LeaseTimeToLiveResponseSchema,
  type MemberListResponse,
  MemberListResponseSchema,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type ResponseHeader,
  ResponseHeaderSchema,
  type StatusResponse,
  StatusResponseSchema,
  type TxnRequest,
  type TxnResponse,
} from "@tenure/etcd/rpc";
import type { Clock, Random } from "@tenure/etcd/runtime";

import { refusal } from "./errors.ts";
import { keyToBytes } from "./key-range.ts";
import { KvStore } from "./kvstore.ts";
import { type Lease, Lessor, sortedKeys } from "./lessor.ts";
import { checkPut, executeDeleteRange, executePut } from "./put.ts";
import { executeRange } from "./range.ts";
import { checkDeleteRequest, checkPutRequest, checkRangeRequest, checkTxnRequest } from "./request-checks.ts";
import { executeTxn } from "./txn.ts";
import { WatchableStore } from "./watchable-store.ts";
import { type WatchSink, WatchStream } from "./watch-stream.ts";

/** What an {@link EtcdServer} is made of. */
export interface EtcdServerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Revision of the empty store; the first write has the next one. From 1 to 2^53 - 1, of which what is above is left
   * for writes. Default: the wall clock in microseconds, see {@link EtcdServer}.
   */
  readonly firstRevision?: bigint;
  /** Where clients reach the server, as the member list shows it. None by default. */
  readonly clientUrls?: readonly string[];
}

/** The etcd release whose behaviour is followed, as clients are told. */
export const ETCD_VERSION = "3.5.21";

/** The name of the one member, by which tools know that this is not etcd. */
export const MEMBER_NAME = "tenure-embed";
/** etcd's default. Nothing listens there: a cluster of one has no peers. */
const PEER_URL = "http://localhost:2380";
/** What a fresh etcd of one member shows. */
const RAFT_TERM = 2n;
const ID_BITS = 63;
/** etcd's default interval of progress answers to watches that ask for them. */
const PROGRESS_INTERVAL_MS = 600_000;

/**
 * etcd's v3 API as a state machine: requests in, answers out, at once and without any I/O. The same requests at the
 * same times of the clock with the same chance give the same answers.
 *
 * The store lives in memory, so its first revision comes from the clock: a fencing token is a revision, and must be
 * above those of the store before a restart. One microsecond for each revision keeps that so as long as fewer than a
 * million are made each second. A revision before the first is therefore no mistake of a client, and reads as the
 * start of history, when nothing existed yet.
 *
 * Each method throws `EtcdServerError` for what etcd refuses, with nothing changed.
 */
export class EtcdServer {
  readonly #clock: Clock;
  readonly #clusterId: bigint;
  readonly #memberId: bigint;
  readonly #clientUrls: readonly string[];
  readonly #lessor: Lessor;
  readonly #store: KvStore;
  readonly #watchable: WatchableStore;
  readonly #watchStreams = new Set<WatchStream>();
  #progressDueMs: number;
  /** Writes taken so far: stands for the index of the Raft log. */
  #raftIndex = 1n;

  constructor(options: EtcdServerOptions) {
    this.#clock = options.clock;
    this.#clusterId = nonZeroId(options.random);
    this.#memberId = nonZeroId(options.random);
    this.#clientUrls = options.clientUrls ?? [];
    this.#lessor = new Lessor(options.clock, options.random);
    this.#store = new KvStore(firstRevision(options), this.#lessor);
    this.#watchable = new WatchableStore(this.#store);
    this.#progressDueMs = options.clock.now() + PROGRESS_INTERVAL_MS;
  }

  /** KV.Range. */
  range(request: RangeRequest): RangeResponse {
    checkRangeRequest(request);
    return this.#withHeader(executeRange(this.#store, request));
  }

  /** KV.Put. */
  put(request: PutRequest): PutResponse {
    checkPutRequest(request);
    checkPut(this.#store, this.#lessor, request);
    const response = executePut(this.#store, request);
    this.#commit();
    return this.#withHeader(response);
  }

  /** KV.DeleteRange. */
  deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    checkDeleteRequest(request);
    const response = executeDeleteRange(this.#store, request);
    this.#commit();
    return this.#withHeader(response);
  }

  /** KV.Txn. */
  txn(request: TxnRequest): TxnResponse {
    checkTxnRequest(request);
    const response = executeTxn(this.#store, this.#lessor, request);
    this.#commit();
    return this.#withHeader(response);
  }

  /** KV.Compact. */
  compact(request: CompactionRequest): CompactionResponse {
    this.#store.compact(Number(request.revision));
    this.#raftIndex += 1n;
    return create(CompactionResponseSchema, { header: this.#header() });
  }

  /** Opens a stream of the Watch service. Whoever opens it closes it. */
  openWatch(sink: WatchSink): WatchStream {
    const stream = new WatchStream(this.#watchable, (revision) => this.#header(revision), sink);
    this.#watchStreams.add(stream);
    return stream;
  }

  /** Ends a stream and all its watches. */
  closeWatch(stream: WatchStream): void {
    stream.close();
    this.#watchStreams.delete(stream);
  }

  /** Lease.LeaseGrant. */
  leaseGrant(request: LeaseGrantRequest): LeaseGrantResponse {
    const lease = this.#lessor.grant(request.ID, Number(request.TTL));
    this.#raftIndex += 1n;
    return create(LeaseGrantResponseSchema, {
      header: this.#header(),
      ID: lease.id,
      TTL: BigInt(lease.ttlSeconds),
    });
  }

  /** Lease.LeaseRevoke. */
  leaseRevoke(request: LeaseRevokeRequest): LeaseRevokeResponse {
    if (!this.#endLease(request.ID)) throw refusal("leaseNotFound");
    return create(LeaseRevokeResponseSchema, { header: this.#header() });
  }

  /** One request and answer of Lease.LeaseKeepAlive. A TTL of 0 says that the lease is gone. */
  leaseKeepAlive(request: LeaseKeepAliveRequest): LeaseKeepAliveResponse {
    // The header is made before the renewal: a lease that a later revision ends must not seem to be alive at that one.
    const header = this.#header();
    const lease = this.#lessor.renew(request.ID);
    // One that has run out must not come back, whether or not the next tick has ended it.
    if (lease === undefined) this.#endLease(request.ID);
    return create(LeaseKeepAliveResponseSchema, {
      header,
      ID: request.ID,
      TTL: BigInt(lease?.ttlSeconds ?? 0),
    });
  }

  /** Lease.LeaseTimeToLive. A TTL of -1 says that there is no such lease. */
  leaseTimeToLive(request: LeaseTimeToLiveRequest): LeaseTimeToLiveResponse {
    const header = this.#header();
    const lease = this.#lessor.lookup(request.ID);
    if (lease === undefined) return create(LeaseTimeToLiveResponseSchema, { header, ID: request.ID, TTL: -1n });
    return create(LeaseTimeToLiveResponseSchema, {
      header,
      ID: lease.id,
      TTL: BigInt(this.#lessor.remainingSeconds(lease)),
      grantedTTL: BigInt(lease.ttlSeconds),
      keys: request.keys ? sortedKeys(lease).map(keyToBytes) : [],
    });
  }

  /** Lease.LeaseLeases. */
  leaseLeases(): LeaseLeasesResponse {
    const leases = this.#lessor.list().map(({ id }: Lease) => ({ ID: id }));
    return create(LeaseLeasesResponseSchema, { header: this.#header(), leases });
  }

  /** Cluster.MemberList: this server alone. As etcd's, the answer has no revision. */
  memberList(): MemberListResponse {
    const clientURLs = [...this.#clientUrls];
    const member = { ID: this.#memberId, name: MEMBER_NAME, peerURLs: [PEER_URL], clientURLs };
    return create(MemberListResponseSchema, { header: this.#header(0), members: [member] });
  }

  /** Maintenance.Status. */
  status(): StatusResponse {
    const dbSize = BigInt(this.#store.bytes);
    return create(StatusResponseSchema, {
      header: this.#header(),
      version: ETCD_VERSION,
      dbSize,
      dbSizeInUse: dbSize,
      leader: this.#memberId,
      raftIndex: this.#raftIndex,
      raftAppliedIndex: this.#raftIndex,
      raftTerm: RAFT_TERM,
    });
  }

  /** Maintenance.Alarm: there is never one. */
  alarm(_request: AlarmRequest): AlarmResponse {
    return create(AlarmResponseSchema, { header: this.#header() });
  }

  /** Ends the leases that have run out, never early. To be called every 500 ms, as often as etcd looks. */
  tick(): void {
    for (const lease of this.#lessor.expired()) this.#endLease(lease.id);
    if (this.#clock.now() < this.#progressDueMs) return;
    this.#progressDueMs = this.#clock.now() + PROGRESS_INTERVAL_MS;
    for (const stream of this.#watchStreams) stream.reportProgress();
  }

  /** Forgets a lease and deletes its keys, all in one revision. Returns false when there is no such lease. */
  #endLease(id: bigint): boolean {
    const keys = this.#lessor.remove(id);
    if (keys === undefined) return false;
    for (const key of keys) this.#store.deleteRange({ kind: "key", key });
    this.#commit();
    return true;
  }

  #commit(): void {
    this.#raftIndex += 1n;
    const changes = this.#store.commit();
    if (changes.length > 0) this.#watchable.notify(changes);
  }

  /** Completes the header of an answer, which has no more than the revision so far. */
  #withHeader<T extends { header?: ResponseHeader | undefined }>(response: T): T {
    if (response.header === undefined) return response;
    response.header.clusterId = this.#clusterId;
    response.header.memberId = this.#memberId;
    response.header.raftTerm = RAFT_TERM;
    return response;
  }

  #header(revision: number = this.#store.revision): ResponseHeader {
    return create(ResponseHeaderSchema, {
      clusterId: this.#clusterId,
      memberId: this.#memberId,
      revision: BigInt(revision),
      raftTerm: RAFT_TERM,
    });
  }
}

function nonZeroId(random: Random): bigint {
  for (;;) {
    const id = random.bits(ID_BITS);
    if (id !== 0n) return id;
  }
}

function firstRevision({ firstRevision: given, clock }: EtcdServerOptions): number {
  if (given === undefined) return clock.date().getTime() * 1000;
  if (given < 1n || given > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`firstRevision must be from 1 to ${Number.MAX_SAFE_INTEGER}, not ${given}`);
  }
  return Number(given);
}

import { create } from "@bufbuild/protobuf";
import {
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
  type LeaseLeasesResponse,
  LeaseLeasesResponseSchema,
  type LeaseRevokeRequest,
  type LeaseRevokeResponse,
  LeaseRevokeResponseSchema,
  type LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
  LeaseTimeToLiveResponseSchema,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type ResponseHeader,
  type TxnRequest,
  type TxnResponse,
} from "@tenure/etcd/rpc";
import type { Clock, Random } from "@tenure/etcd/runtime";

import { AlarmStore } from "./alarm-store.ts";
import {
  checkDeleteAuth,
  checkLeasePuts,
  checkLeaseReads,
  checkPutAuth,
  checkRangeAuth,
  checkTxnAuth,
  isReadOnly,
} from "./apply-auth.ts";
import type { JwtOptions } from "./auth-jwt.ts";
import { AuthService } from "./auth-service.ts";
import { ANONYMOUS, AuthStore, type Caller } from "./auth-store.ts";
import { ClusterService } from "./cluster.ts";
import { refusal } from "./errors.ts";
import { newIdentity } from "./identity.ts";
import type { Inside } from "./inside.ts";
import type { Checkpoint, JournalRecord, StoreIdentity } from "./journal.ts";
import { AuthChanges } from "./journal-auth.ts";
import { keyToBytes } from "./key-range.ts";
import { KvStore } from "./kvstore.ts";
import { type Lease, Lessor, sortedKeys } from "./lessor.ts";
import { MaintenanceService } from "./maintenance.ts";
import { fullHeader } from "./messages.ts";
import { checkPut, executeDeleteRange, executePut } from "./put.ts";
import { executeRange } from "./range.ts";
import {
  checkDeleteRequest,
  checkPutRequest,
  checkPutSize,
  checkRangeRequest,
  checkTxnRequest,
  checkTxnSize,
} from "./request-checks.ts";
import { checkpointRecords, type Lasting, restoreRecord } from "./saved-state.ts";
import { executeTxn } from "./txn.ts";
import { WatchableStore } from "./watchable-store.ts";
import { type WatchQuota, type WatchSink, WatchStream } from "./watch-stream.ts";

/** What an {@link EtcdServer} is made of. */
export interface EtcdServerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Revision of the empty store; the first write has the next one. From 1 to 2^53 - 1, of which what is above is left
   * for writes. Default: the wall clock in microseconds, see {@link EtcdServer}.
   */
  readonly firstRevision?: bigint;
  /** What an earlier server was, for one that is to go on as that: it takes back its changes by `restore`. */
  readonly identity?: StoreIdentity | undefined;
  /** Hears of each change that must not be lost, in order, and before anybody else can hear of it. */
  readonly journal?: ((record: JournalRecord) => void) | undefined;
  /** Where clients reach the server, as the member list shows it. None by default. */
  readonly clientUrls?: readonly string[];
  /** How long a simple token of authentication lives after its last use. Default: 300,000 ms. */
  readonly authTokenTtlMs?: number | undefined;
  /** Signed tokens instead of simple ones. */
  readonly jwt?: JwtOptions | undefined;
  /** Watches of one stream. No limit by default. */
  readonly maxWatchesPerStream?: number | undefined;
  /** Watches of all streams together. No limit by default. */
  readonly maxWatches?: number | undefined;
}

/** What a fresh etcd of one member shows. */
const RAFT_TERM = 2n;
const NO_LEASE = 0n;
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
 * Each method throws `EtcdServerError` for what etcd refuses, with nothing changed. Who asks is told by the caller, of
 * whom something is wanted only while authentication is on.
 */
export class EtcdServer {
  readonly auth: AuthService;
  readonly cluster: ClusterService;
  readonly maintenance: MaintenanceService;
  readonly #clock: Clock;
  readonly #identity: StoreIdentity;
  readonly #journal: (record: JournalRecord) => void;
  readonly #alarms = new AlarmStore();
  readonly #authStore: AuthStore;
  #authChanges: AuthChanges;
  readonly #lessor: Lessor;
  readonly #store: KvStore;
  readonly #watchable: WatchableStore;
  readonly #watchStreams = new Set<WatchStream>();
  readonly #watchQuota: WatchQuota;
  #progressDueMs: number;
  /** Writes taken so far: stands for the index of the Raft log. */
  #raftIndex = 1n;

  constructor(options: EtcdServerOptions) {
    this.#clock = options.clock;
    this.#identity = options.identity ?? newIdentity(options);
    this.#journal = options.journal ?? (() => {});
    const { clock, random, clientUrls = [], authTokenTtlMs, jwt } = options;
    this.#authStore = new AuthStore({ clock, random, tokenTtlMs: authTokenTtlMs, jwt });
    this.#authChanges = new AuthChanges(this.#authStore.state);
    this.#lessor = new Lessor(options.clock, options.random);
    this.#store = new KvStore(this.#identity.firstRevision, this.#lessor);
    this.#watchable = new WatchableStore(this.#store);
    const { maxWatchesPerStream = Infinity, maxWatches = Infinity } = options;
    this.#watchQuota = { maxPerStream: maxWatchesPerStream, max: maxWatches, used: 0 };
    this.#progressDueMs = options.clock.now() + PROGRESS_INTERVAL_MS;
    const host = { header: () => this.#header(), nextIndex: () => this.#commitAuth() };
    this.auth = new AuthService(this.#authStore, host);
    const own = { auth: this.#authStore, memberId: this.#identity.memberId };
    this.cluster = new ClusterService({
      ...own,
      clientUrls,
      header: () => this.#header(0),
      onPeerUrls: (peerUrls) => this.#journal({ kind: "member", peerUrls }),
    });
    this.maintenance = new MaintenanceService({
      ...own,
      alarms: this.#alarms,
      store: this.#store,
      lessor: this.#lessor,
      raftTerm: RAFT_TERM,
      header: () => this.#header(),
      raftIndex: () => this.#raftIndex,
      onAlarms: () => this.#journal({ kind: "alarms", alarms: [...this.#alarms.list()] }),
    });
  }

  /** KV.Range. */
  range(request: RangeRequest, caller: Caller = ANONYMOUS): RangeResponse {
    checkRangeRequest(request);
    const info = this.#authStore.infoOf(caller);
    checkRangeAuth(this.#authStore, info, request);
    this.#authStore.checkCurrent(info);
    return this.#withHeader(executeRange(this.#store, request));
  }

  /** KV.Put. */
  put(request: PutRequest, caller: Caller = ANONYMOUS): PutResponse {
    checkPutRequest(request);
    const info = this.#authStore.infoOf(caller);
    checkPutSize(request);
    checkPutAuth(this.#authStore, info, this.#lessor, request);
    this.#alarms.checkGrowth();
    checkPut(this.#store, this.#lessor, request);
    const response = executePut(this.#store, request);
    this.#commit();
    return this.#withHeader(response);
  }

  /** KV.DeleteRange. */
  deleteRange(request: DeleteRangeRequest, caller: Caller = ANONYMOUS): DeleteRangeResponse {
    checkDeleteRequest(request);
    checkDeleteAuth(this.#authStore, this.#authStore.infoOf(caller), request);
    this.#alarms.checkChange();
    const response = executeDeleteRange(this.#store, request);
    this.#commit();
    return this.#withHeader(response);
  }

  /** KV.Txn. */
  txn(request: TxnRequest, caller: Caller = ANONYMOUS): TxnResponse {
    checkTxnRequest(request);
    const info = this.#authStore.infoOf(caller);
    const isRead = isReadOnly(request);
    if (!isRead) checkTxnSize(request);
    checkTxnAuth(this.#authStore, info, this.#lessor, request);
    if (isRead) this.#authStore.checkCurrent(info);
    this.#alarms.checkTxn(request);
    const response = executeTxn(this.#store, this.#lessor, request);
    this.#commit();
    return this.#withHeader(response);
  }

  /** KV.Compact, which is root's. */
  compact(request: CompactionRequest, caller: Caller = ANONYMOUS): CompactionResponse {
    this.#authStore.checkAdmin(this.#authStore.infoOf(caller));
    this.#alarms.checkChange();
    this.#store.compact(Number(request.revision));
    this.#raftIndex += 1n;
    this.#journal({ kind: "compact", revision: this.#store.compactRevision });
    return create(CompactionResponseSchema, { header: this.#header() });
  }

  /** Opens a stream of the Watch service. Whoever opens it closes it. */
  openWatch(sink: WatchSink, caller: Caller = ANONYMOUS): WatchStream {
    const stream = new WatchStream(this.#watchable, {
      header: (revision) => this.#header(revision),
      permit: (request) => checkRangeAuth(this.#authStore, this.#authStore.infoOf(caller), request),
      sink,
      quota: this.#watchQuota,
    });
    this.#watchStreams.add(stream);
    return stream;
  }

  /** Ends a stream and all its watches. */
  closeWatch(stream: WatchStream): void {
    stream.close();
    this.#watchStreams.delete(stream);
  }

  /** Lease.LeaseGrant. */
  leaseGrant(request: LeaseGrantRequest, caller: Caller = ANONYMOUS): LeaseGrantResponse {
    this.#authStore.checkCaller(caller);
    this.#alarms.checkGrowth();
    const lease = this.#lessor.grant(request.ID, Number(request.TTL));
    this.#raftIndex += 1n;
    this.#journal({ kind: "grant", id: lease.id, ttlSeconds: lease.ttlSeconds });
    return create(LeaseGrantResponseSchema, {
      header: this.#header(),
      ID: lease.id,
      TTL: BigInt(lease.ttlSeconds),
    });
  }

  /** Lease.LeaseRevoke. */
  leaseRevoke(request: LeaseRevokeRequest, caller: Caller = ANONYMOUS): LeaseRevokeResponse {
    this.#authStore.checkCaller(caller);
    checkLeasePuts(this.#authStore, this.#authStore.infoOf(caller), this.#lessor.lookup(request.ID));
    this.#alarms.checkChange();
    if (!this.#endLease(request.ID)) throw refusal("leaseNotFound");
    return create(LeaseRevokeResponseSchema, { header: this.#header() });
  }

  /** One request and answer of Lease.LeaseKeepAlive. A TTL of 0 says that the lease is gone. */
  leaseKeepAlive(request: LeaseKeepAliveRequest, caller: Caller = ANONYMOUS): LeaseKeepAliveResponse {
    this.#authStore.checkCaller(caller);
    checkLeasePuts(this.#authStore, this.#authStore.infoOf(caller), this.#lessor.lookup(request.ID));
    // The header is made before the renewal: a lease that a later revision ends must not seem to be alive at that one.
    const header = this.#header();
    const lease = this.#lessor.renew(request.ID);
    // One that has run out must not come back, whether or not the next tick has ended it.
    if (lease === undefined) this.#endLease(request.ID);
    const TTL = BigInt(lease?.ttlSeconds ?? 0);
    return { $typeName: "etcdserverpb.LeaseKeepAliveResponse", header, ID: request.ID, TTL };
  }

  /** Lease.LeaseTimeToLive. A TTL of -1 says that there is no such lease. */
  leaseTimeToLive(request: LeaseTimeToLiveRequest, caller: Caller = ANONYMOUS): LeaseTimeToLiveResponse {
    this.#authStore.checkCaller(caller);
    const header = this.#header();
    const lease = this.#lessor.lookup(request.ID);
    if (request.keys) checkLeaseReads(this.#authStore, this.#authStore.infoOf(caller), lease);
    if (lease === undefined) return create(LeaseTimeToLiveResponseSchema, { header, ID: request.ID, TTL: -1n });
    return create(LeaseTimeToLiveResponseSchema, {
      header,
      ID: lease.id,
      TTL: BigInt(this.#lessor.remainingSeconds(lease)),
      grantedTTL: BigInt(lease.ttlSeconds),
      keys: request.keys ? sortedKeys(lease).map(keyToBytes) : [],
    });
  }

  /** Lease.LeaseLeases: refused when one of them is on a key that the caller may not read. */
  leaseLeases(caller: Caller = ANONYMOUS): LeaseLeasesResponse {
    this.#authStore.checkCaller(caller);
    const info = this.#authStore.infoOf(caller);
    for (const lease of this.#lessor.list()) checkLeaseReads(this.#authStore, info, lease);
    const leases = this.#lessor.list().map(({ id }: Lease) => ({ ID: id }));
    return create(LeaseLeasesResponseSchema, { header: this.#header(), leases });
  }

  /** Ends the leases that have run out, never early. To be called every 500 ms, as often as etcd looks. */
  tick(): void {
    for (const lease of this.#lessor.expired()) this.#endLease(lease.id);
    this.#authStore.tick();
    if (this.#clock.now() < this.#progressDueMs) return;
    this.#progressDueMs = this.#clock.now() + PROGRESS_INTERVAL_MS;
    for (const stream of this.#watchStreams) stream.reportProgress();
  }

  /** Takes back a change of an earlier server, in order, before any request. Throws when it does not fit. */
  restore(record: JournalRecord): void {
    restoreRecord(this.#lasting, record);
    this.#raftIndex = record.kind === "state" ? record.raftIndex : this.#raftIndex + 1n;
    if (record.kind === "auth") this.#authChanges = new AuthChanges(this.#authStore.state);
  }

  /** Gives every lease its full TTL again: as etcd after a restart. */
  renewLeases(): void {
    this.#lessor.extendAll(0);
  }

  /** Roughly how many bytes its keys and values take, history included. */
  get bytes(): number {
    return this.#store.bytes;
  }

  /** Its state now, which takes the place of all changes so far. */
  checkpoint(): Checkpoint {
    return { identity: this.#identity, records: checkpointRecords(this.#lasting, this.#raftIndex) };
  }

  /** What it is made of: for the test kit alone. */
  get inside(): Inside {
    return {
      memberId: this.#identity.memberId,
      alarms: this.#alarms,
      authStore: this.#authStore,
      lessor: this.#lessor,
      store: this.#store,
      watchStreams: this.#watchStreams,
      endLease: (id) => this.#endLease(id),
    };
  }

  /** Forgets a lease and deletes its keys, all in one revision. Returns false when there is no such lease. */
  #endLease(id: bigint): boolean {
    const keys = this.#lessor.remove(id);
    if (keys === undefined) return false;
    for (const key of keys) this.#store.deleteRange({ kind: "key", key });
    this.#commit(id);
    return true;
  }

  #commit(endedLease: bigint = NO_LEASE): void {
    this.#raftIndex += 1n;
    const changes = this.#store.commit();
    if (changes.length > 0 || endedLease !== NO_LEASE) this.#journal({ kind: "commit", changes, endedLease });
    if (changes.length > 0) this.#watchable.notify(changes);
  }

  /** Counts a request about users and roles, be it that it changed nothing, and returns its index. */
  #commitAuth(): bigint {
    this.#raftIndex += 1n;
    const record = this.#authChanges.take(this.#authStore.state);
    if (record !== undefined) this.#journal(record);
    return this.#raftIndex;
  }

  get #lasting(): Lasting {
    return {
      alarms: this.#alarms,
      authStore: this.#authStore,
      cluster: this.cluster,
      lessor: this.#lessor,
      store: this.#store,
    };
  }

  /** Completes the header of an answer, which has no more than the revision so far. */
  #withHeader<T extends { header?: ResponseHeader | undefined }>(response: T): T {
    if (response.header === undefined) return response;
    response.header.clusterId = this.#identity.clusterId;
    response.header.memberId = this.#identity.memberId;
    response.header.raftTerm = RAFT_TERM;
    return response;
  }

  #header(revision: number = this.#store.revision): ResponseHeader {
    const { clusterId, memberId } = this.#identity;
    return fullHeader({ clusterId, memberId, revision: BigInt(revision), raftTerm: RAFT_TERM });
  }
}

import { create } from "@bufbuild/protobuf";
import {
  type AlarmMember,
  type AlarmRequest,
  AlarmRequest_AlarmAction as AlarmAction,
  type AlarmResponse,
  AlarmResponseSchema,
  AlarmType,
  type DefragmentResponse,
  DefragmentResponseSchema,
  type DowngradeRequest,
  type DowngradeResponse,
  type HashKVRequest,
  type HashKVResponse,
  HashKVResponseSchema,
  type HashResponse,
  HashResponseSchema,
  type MoveLeaderRequest,
  type MoveLeaderResponse,
  MoveLeaderResponseSchema,
  type ResponseHeader,
  type StatusResponse,
  StatusResponseSchema,
} from "@tenure/etcd/rpc";

import type { AlarmStore } from "./alarm-store.ts";
import { ANONYMOUS, type AuthStore, type Caller } from "./auth-store.ts";
import { refusal, unmapped, unsupported } from "./errors.ts";
import { hashByRevision } from "./hash.ts";
import type { KvStore } from "./kvstore.ts";
import type { Lessor } from "./lessor.ts";
import { snapshotFile } from "./snapshot.ts";

/** The etcd release whose behaviour is followed, as clients are told. */
export const ETCD_VERSION = "3.5.30";

/** What the Maintenance service is made of. */
export interface MaintenanceServiceOptions {
  readonly auth: AuthStore;
  readonly alarms: AlarmStore;
  readonly store: KvStore;
  readonly lessor: Lessor;
  readonly memberId: bigint;
  readonly raftTerm: bigint;
  readonly header: () => ResponseHeader;
  /** Writes taken so far: stands for the index of the Raft log. */
  readonly raftIndex: () => bigint;
  /** Hears that alarms may have changed. */
  readonly onAlarms: () => void;
}

/** The Maintenance service of a cluster of one. */
export class MaintenanceService {
  readonly #options: MaintenanceServiceOptions;

  constructor(options: MaintenanceServiceOptions) {
    this.#options = options;
  }

  /** Maintenance.Alarm. */
  alarm({ action, memberID, alarm }: AlarmRequest, caller: Caller = ANONYMOUS): AlarmResponse {
    const { alarms, auth, header, onAlarms } = this.#options;
    if (action === AlarmAction.GET) auth.checkCaller(caller);
    else auth.checkAdmin(auth.infoOf(caller));
    const concerned = [...act(alarms, action, memberID, alarm)];
    if (action !== AlarmAction.GET) onAlarms();
    return create(AlarmResponseSchema, { alarms: concerned, header: header() });
  }

  /** Maintenance.Status. */
  status(caller: Caller = ANONYMOUS): StatusResponse {
    const { auth, alarms, store, memberId, raftTerm, header, raftIndex } = this.#options;
    auth.checkAdmin(auth.infoOf(caller));
    const dbSize = BigInt(store.bytes);
    return create(StatusResponseSchema, {
      header: header(),
      version: ETCD_VERSION,
      dbSize,
      dbSizeInUse: dbSize,
      leader: memberId,
      raftIndex: raftIndex(),
      raftAppliedIndex: raftIndex(),
      raftTerm,
      errors: alarms.list().map(alarmText),
    });
  }

  /** Maintenance.Defragment: there is nothing to do in memory. As etcd's, the answer has no header. */
  defragment(caller: Caller = ANONYMOUS): DefragmentResponse {
    this.#checkAdmin(caller);
    return create(DefragmentResponseSchema);
  }

  /** Maintenance.Hash: of the keys alone, where etcd's is of everything in its file. */
  hash(caller: Caller = ANONYMOUS): HashResponse {
    this.#checkAdmin(caller);
    const { store, header } = this.#options;
    return create(HashResponseSchema, { header: header(), hash: hashByRevision(store, store.revision) });
  }

  /** Maintenance.HashKV: the same as etcd's for the same history. */
  hashKV(request: HashKVRequest, caller: Caller = ANONYMOUS): HashKVResponse {
    this.#checkAdmin(caller);
    const { store, header } = this.#options;
    const revision = Number(request.revision);
    if (revision > 0 && revision < store.compactRevision) throw refusal("compacted");
    if (revision > store.revision) throw refusal("futureRevision");
    return create(HashKVResponseSchema, {
      header: header(),
      // As etcd: before 0 there is nothing to hash, and 0 stands for now.
      hash: hashByRevision(store, revision === 0 ? store.revision : revision),
      compactRevision: BigInt(store.compactRevision),
    });
  }

  /**
   * The file for Maintenance.Snapshot: keys with their history, and leases, as etcd keeps them. Users and roles are not
   * in it: etcd could not read our passwords.
   */
  snapshot(caller: Caller = ANONYMOUS): Buffer {
    this.#checkAdmin(caller);
    const { store, lessor, raftIndex, raftTerm } = this.#options;
    return snapshotFile(store, lessor, { index: raftIndex(), term: raftTerm });
  }

  /** Maintenance.MoveLeader: only this member can lead. */
  moveLeader(request: MoveLeaderRequest, caller: Caller = ANONYMOUS): MoveLeaderResponse {
    const { auth, memberId } = this.#options;
    auth.checkAdmin(auth.infoOf(caller));
    if (request.targetID !== memberId) throw refusal("badLeaderTransferee");
    return create(MoveLeaderResponseSchema);
  }

  /** Maintenance.Downgrade: refused, there is no other version. */
  downgrade(_request: DowngradeRequest, caller: Caller = ANONYMOUS): DowngradeResponse {
    const { auth } = this.#options;
    auth.checkAdmin(auth.infoOf(caller));
    throw unsupported("Downgrade");
  }

  /** For the calls whose refusals etcd passes on without a status. */
  #checkAdmin(caller: Caller): void {
    const { auth } = this.#options;
    try {
      auth.checkAdmin(auth.infoOf(caller));
    } catch (error) {
      throw unmapped(error);
    }
  }
}

/** The alarms that an action is about. */
function act(alarms: AlarmStore, action: AlarmAction, memberId: bigint, alarm: AlarmType): readonly AlarmMember[] {
  switch (action) {
    case AlarmAction.GET:
      return alarms.list(alarm);
    case AlarmAction.ACTIVATE:
      return alarm === AlarmType.NONE ? [] : [alarms.activate(memberId, alarm)];
    case AlarmAction.DEACTIVATE: {
      const ended = alarms.deactivate(memberId, alarm);
      return ended === undefined ? [] : [ended];
    }
    default:
      return [];
  }
}

/** As the status of etcd prints an alarm. */
function alarmText({ memberID, alarm }: AlarmMember): string {
  const member = memberID === 0n ? "" : `memberID:${memberID} `;
  return `${member}alarm:${alarm === AlarmType.CORRUPT ? "CORRUPT" : "NOSPACE"} `;
}

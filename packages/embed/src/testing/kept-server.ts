import { create } from "@bufbuild/protobuf";
import {
  AlarmRequest_AlarmAction as AlarmAction,
  AlarmRequestSchema,
  AlarmType,
  AuthRoleAddRequestSchema,
  AuthRoleGrantPermissionRequestSchema,
  AuthUserAddRequestSchema,
  AuthUserDeleteRequestSchema,
  AuthUserGrantRoleRequestSchema,
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  LeaseGrantRequestSchema,
  LeaseRevokeRequestSchema,
  MemberUpdateRequestSchema,
  Permission_Type as PermissionType,
  PutRequestSchema,
  TxnRequestSchema,
} from "@tenure/etcd/rpc";
import { ManualClock, type Random, seededRandom } from "@tenure/etcd/runtime";

import { EtcdServerError } from "../core/errors.ts";
import { EtcdServer } from "../core/etcd-server.ts";
import { ByteWriter } from "../storage/bytes.ts";
import type { Disk } from "../storage/disk.ts";
import { encodeRecord } from "../storage/record-codec.ts";
import { Storage } from "../storage/storage.ts";
import type { StorageError } from "../storage/storage-error.ts";
import { bytes } from "./test-server.ts";

/** How a {@link KeptServer} is kept. */
interface KeptOptions {
  readonly seed?: number;
  /** Smaller than it is for users, so that tests see many checkpoints. */
  readonly smallLogBytes?: number;
}

/** A server without a network that is kept on a disk, whose empty store has revision 100. */
export class KeptServer {
  readonly server: EtcdServer;
  readonly storage: Storage;
  readonly notices: string[];
  /** Resolves when nothing can be kept any more. */
  readonly failed: Promise<StorageError>;

  private constructor(parts: Pick<KeptServer, "server" | "storage" | "notices" | "failed">) {
    this.server = parts.server;
    this.storage = parts.storage;
    this.notices = parts.notices;
    this.failed = parts.failed;
  }

  /** Starts a server with what a disk has. */
  static async start(disk: Disk, { seed = 1, smallLogBytes = 2000 }: KeptOptions = {}): Promise<KeptServer> {
    const notices: string[] = [];
    const random = seededRandom(seed);
    let fail: (error: StorageError) => void = () => {};
    const failed = new Promise<StorageError>((resolve) => (fail = resolve));
    const onNotice = (line: string): unknown => notices.push(line);
    const storage = await Storage.open({ disk, random, fsync: true, smallLogBytes, onNotice, onFailure: fail });
    const server = new EtcdServer({
      clock: new ManualClock(),
      random,
      firstRevision: 100n,
      identity: storage.identity,
      journal: (record) => storage.append(record),
    });
    await storage.start(server);
    return new KeptServer({ server, storage, notices, failed });
  }

  /** Everything that a restart must bring back, as text. Equal for servers with equal states. */
  get state(): string {
    const to = new ByteWriter();
    const { records, identity } = this.server.checkpoint();
    // How many requests there were is no part of the state.
    for (const record of records) encodeRecord(to, record.kind === "state" ? { ...record, raftIndex: 0n } : record);
    return `${identity.clusterId} ${identity.memberId} ${to.bytes.toString("latin1")}`;
  }

  put(key: string, value: string): void {
    this.server.put(create(PutRequestSchema, { key: bytes(key), value: bytes(value) }));
  }

  compact(revision: bigint): void {
    this.server.compact(create(CompactionRequestSchema, { revision }));
  }

  /** The revision of the newest write. */
  get revision(): bigint {
    return BigInt(this.server.inside.store.revision);
  }

  /** Does something by chance. What is refused changes nothing. */
  act(random: Random): void {
    const pick = (count: number): number => Math.floor(random.fraction() * count);
    const actions = ACTIONS[pick(ACTIONS.length)];
    try {
      actions?.(this, pick);
    } catch (error) {
      if (!(error instanceof EtcdServerError)) throw error;
    }
  }
}

type Pick_ = (count: number) => number;
type Action = (kept: KeptServer, pick: Pick_) => void;

const leaseId = (pick: Pick_): bigint => BigInt(pick(4));
const key = (pick: Pick_): Uint8Array => bytes(`k${pick(8)}`);

const put: Action = ({ server }, pick) => {
  const value = Buffer.alloc(pick(120), 97 + pick(26));
  server.put(create(PutRequestSchema, { key: key(pick), value, lease: leaseId(pick) }));
};

const txn: Action = ({ server }, pick) => {
  const [first, last] = [pick(8), pick(8)];
  const op = { case: "requestDeleteRange", value: { key: bytes(`k${first}`), rangeEnd: bytes(`k${last}`) } } as const;
  const other = { case: "requestPut", value: { key: bytes("t"), value: bytes(String(pick(1000))) } } as const;
  server.txn(create(TxnRequestSchema, { success: [{ request: op }, { request: other }] }));
};

const ACTIONS: readonly Action[] = [
  put,
  put,
  put,
  put,
  txn,
  ({ server }, pick) => server.deleteRange(create(DeleteRangeRequestSchema, { key: key(pick) })),
  ({ server }, pick) => server.leaseGrant(create(LeaseGrantRequestSchema, { ID: leaseId(pick), TTL: 60n })),
  ({ server }, pick) => server.leaseRevoke(create(LeaseRevokeRequestSchema, { ID: leaseId(pick) })),
  (kept, pick) => kept.compact(kept.revision - BigInt(pick(6))),
  ({ server }, pick) => {
    const action = pick(2) === 0 ? AlarmAction.ACTIVATE : AlarmAction.DEACTIVATE;
    server.maintenance.alarm(create(AlarmRequestSchema, { action, memberID: 1n, alarm: AlarmType.NOSPACE }));
    server.maintenance.alarm(
      create(AlarmRequestSchema, { action: AlarmAction.DEACTIVATE, memberID: 1n, alarm: AlarmType.NOSPACE }),
    );
  },
  ({ server }, pick) => {
    const name = `u${pick(3)}`;
    if (pick(3) === 0) server.auth.userDelete(create(AuthUserDeleteRequestSchema, { name }), {});
    else server.auth.userAdd(create(AuthUserAddRequestSchema, { name, hashedPassword: `h${pick(100)}` }), {});
  },
  ({ server }, pick) => {
    const name = `r${pick(2)}`;
    const perm = { permType: PermissionType.READ, key: key(pick), rangeEnd: bytes("l") };
    if (pick(2) === 0) server.auth.roleAdd(create(AuthRoleAddRequestSchema, { name }), {});
    server.auth.roleGrantPermission(create(AuthRoleGrantPermissionRequestSchema, { name, perm }), {});
    server.auth.userGrantRole(create(AuthUserGrantRoleRequestSchema, { user: `u${pick(3)}`, role: name }), {});
  },
  ({ server }, pick) => {
    const peerURLs = [`http://peer-${pick(9)}:2380`];
    server.cluster.memberUpdate(create(MemberUpdateRequestSchema, { ID: server.inside.memberId, peerURLs }));
  },
];

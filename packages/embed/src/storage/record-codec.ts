import { create } from "@bufbuild/protobuf";
import {
  type AlarmType,
  type Permission,
  type Permission_Type as PermissionType,
  PermissionSchema,
} from "@tenure/etcd/rpc";

import type { AuthRecord, JournalRecord, SavedChange, SavedUser } from "../core/journal.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";

/** The kinds of records by their number in the file. A kind keeps its number and its form for ever. */
const KINDS = ["base", "commit", "grant", "compact", "alarms", "member", "auth", "state"] as const;

/** Adds a record to what is written. */
export function encodeRecord(to: ByteWriter, record: JournalRecord): void {
  to.u8(KINDS.indexOf(record.kind));
  encodeFields(to, record);
}

function encodeFields(to: ByteWriter, record: JournalRecord): void {
  switch (record.kind) {
    case "base":
      return encodeChanges(to, record.changes);
    case "commit":
      to.i64(record.endedLease);
      return encodeChanges(to, record.changes);
    case "grant":
      to.i64(record.id);
      return to.u53(record.ttlSeconds);
    case "compact":
      return to.u53(record.revision);
    case "alarms":
      return encodeList(to, record.alarms, ({ memberID, alarm }) => {
        to.u64(memberID);
        to.u32(alarm);
      });
    case "member":
      return encodeList(to, record.peerUrls, (url) => to.text(url));
    case "auth":
      return encodeAuth(to, record);
    case "state":
      to.u53(record.revision);
      return to.u64(record.raftIndex);
    default:
      return undefined;
  }
}

/** Reads the next record. Throws for what is none. */
export function decodeRecord(from: ByteReader): JournalRecord {
  const number = from.u8();
  const kind = KINDS[number];
  switch (kind) {
    case "base":
      return { kind, changes: from.list(() => decodeChange(from)) };
    case "commit":
      return { kind, endedLease: from.i64(), changes: from.list(() => decodeChange(from)) };
    case "grant":
      return { kind, id: from.i64(), ttlSeconds: from.u53() };
    case "compact":
      return { kind, revision: from.u53() };
    case "alarms":
      return { kind, alarms: from.list(() => ({ memberID: from.u64(), alarm: from.u32() as AlarmType })) };
    case "member":
      return { kind, peerUrls: from.list(() => from.text()) };
    case "auth":
      return decodeAuth(from);
    case "state":
      return { kind, revision: from.u53(), raftIndex: from.u64() };
    default:
      throw new RangeError(`there is no record of kind ${number}`);
  }
}

function encodeList<T>(to: ByteWriter, items: readonly T[], encode: (item: T) => void): void {
  to.u32(items.length);
  for (const item of items) encode(item);
}

function encodeChanges(to: ByteWriter, changes: readonly SavedChange[]): void {
  to.u32(changes.length);
  for (const { history, version } of changes) {
    to.latin1(history.key);
    to.u53(version.modRevision);
    to.u32(version.subRevision);
    to.u53(version.createRevision);
    to.u53(version.version);
    to.i64(version.lease);
    to.blob(version.value);
  }
}

function decodeChange(from: ByteReader): SavedChange {
  return {
    history: { key: from.latin1() },
    version: {
      modRevision: from.u53(),
      subRevision: from.u32(),
      createRevision: from.u53(),
      version: from.u53(),
      lease: from.i64(),
      value: from.blob(),
    },
  };
}

function encodeAuth(to: ByteWriter, { enabled, revision, users, roles }: AuthRecord): void {
  to.u8(enabled ? 1 : 0);
  to.u64(revision);
  encodeList(to, users, ([name, user]) => {
    to.text(name);
    to.u8(user === undefined ? 0 : 1);
    if (user !== undefined) encodeUser(to, user);
  });
  encodeList(to, roles, ([name, permissions]) => {
    to.text(name);
    to.u8(permissions === undefined ? 0 : 1);
    if (permissions !== undefined) encodeList(to, permissions, (each) => encodePermission(to, each));
  });
}

function decodeAuth(from: ByteReader): AuthRecord {
  return {
    kind: "auth",
    enabled: from.u8() === 1,
    revision: from.u64(),
    users: from.list(() => {
      const name = from.text();
      return [name, from.u8() === 0 ? undefined : decodeUser(from, name)];
    }),
    roles: from.list(() => [from.text(), from.u8() === 0 ? undefined : from.list(() => decodePermission(from))]),
  };
}

function encodeUser(to: ByteWriter, { hashedPassword, noPassword, roles }: SavedUser): void {
  to.text(hashedPassword);
  to.u8(noPassword ? 1 : 0);
  encodeList(to, roles, (role) => to.text(role));
}

function decodeUser(from: ByteReader, name: string): SavedUser {
  return { name, hashedPassword: from.text(), noPassword: from.u8() === 1, roles: from.list(() => from.text()) };
}

function encodePermission(to: ByteWriter, { permType, key, rangeEnd }: Permission): void {
  to.u32(permType);
  to.blob(key);
  to.blob(rangeEnd);
}

function decodePermission(from: ByteReader): Permission {
  return create(PermissionSchema, { permType: from.u32() as PermissionType, key: from.blob(), rangeEnd: from.blob() });
}

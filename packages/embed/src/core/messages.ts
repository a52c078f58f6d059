/**
 * The messages that are made most. They are written out: protobuf-es takes several times as long to make the same.
 *
 * @module
 */
import { type Event, Event_EventType as EventType, type KeyValue, type ResponseHeader } from "@tenure/etcd/rpc";

import type { Change, Item } from "./kvstore.ts";

const NO_VALUE = new Uint8Array(0);

/** A header as answers inside a transaction carry it: the revision and nothing else, as etcd does. */
export function innerHeader(revision: number): ResponseHeader {
  return fullHeader({ clusterId: 0n, memberId: 0n, revision: BigInt(revision), raftTerm: 0n });
}

/** A header with all its fields. */
export function fullHeader(fields: Omit<ResponseHeader, "$typeName" | "$unknown">): ResponseHeader {
  const { clusterId, memberId, revision, raftTerm } = fields;
  return { $typeName: "etcdserverpb.ResponseHeader", clusterId, memberId, revision, raftTerm };
}

/** A key in one of its states, as a message. */
export function keyValue({ history, version }: Item, keysOnly = false): KeyValue {
  return {
    $typeName: "mvccpb.KeyValue",
    key: history.keyBytes,
    createRevision: BigInt(version.createRevision),
    modRevision: BigInt(version.modRevision),
    version: BigInt(version.version),
    value: keysOnly ? NO_VALUE : version.value,
    lease: version.lease,
  };
}

/** A change as an event, with the state of the key before it if that is given. */
export function eventOf(change: Change, previous: Item | undefined): Event {
  const isDeletion = change.version.version === 0;
  const kv = isDeletion ? deletedKey(change) : keyValue(change);
  const event: Event = { $typeName: "mvccpb.Event", type: isDeletion ? EventType.DELETE : EventType.PUT, kv };
  if (previous !== undefined) event.prevKv = keyValue(previous);
  return event;
}

/** Of a key that is deleted, etcd tells its name and the revision. */
function deletedKey({ history, version: { modRevision } }: Change): KeyValue {
  return {
    $typeName: "mvccpb.KeyValue",
    key: history.keyBytes,
    createRevision: 0n,
    modRevision: BigInt(modRevision),
    version: 0n,
    value: NO_VALUE,
    lease: 0n,
  };
}

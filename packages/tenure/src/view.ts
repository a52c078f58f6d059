import type { KeyValue, Event } from "@tenure/etcd/rpc";

/** One key under an election's prefix. */
export interface ViewEntry {
  readonly key: string;
  /** The key's bytes, one character each: a foreign key need not be text. */
  readonly rawKey: string;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly leaseId: bigint;
}

/**
 * An election as it was at one revision: every key under its prefix, in order of succession. Whatever is asked of an
 * election (who leads, where am I, am I elected) is derived from one snapshot.
 */
export interface Snapshot {
  readonly revision: bigint;
  readonly entries: readonly ViewEntry[];
}

const EVENT_DELETE = 1;

/** The snapshot that a read of the whole prefix shows. */
export function snapshotOf(kvs: readonly KeyValue[], revision: bigint): Snapshot {
  return { revision, entries: kvs.map(entryOf).toSorted(bySuccession) };
}

/**
 * The snapshots that follow from events, one for each revision, in order. Events at or below the snapshot's revision
 * are part of it already. All events of a revision are applied before anything is derived from it.
 */
export function following(snapshot: Snapshot, events: readonly Event[]): Snapshot[] {
  const snapshots: Snapshot[] = [];
  let entries = [...snapshot.entries];
  let revision = snapshot.revision;
  for (const event of events) {
    const { kv } = event;
    if (kv === undefined || kv.modRevision <= snapshot.revision) continue;
    if (kv.modRevision > revision && revision > snapshot.revision) snapshots.push({ revision, entries: [...entries] });
    revision = kv.modRevision;
    const rawKey = Buffer.from(kv.key).toString("latin1");
    entries = entries.filter((entry) => entry.rawKey !== rawKey);
    if (event.type !== EVENT_DELETE) insert(entries, entryOf(kv));
  }
  if (revision > snapshot.revision) snapshots.push({ revision, entries });
  return snapshots;
}

/** The candidate that leads: the live key created first. */
export function leaderOf(snapshot: Snapshot): ViewEntry | undefined {
  return snapshot.entries[0];
}

/** The entry of a key. */
export function entryFor(snapshot: Snapshot, key: string): ViewEntry | undefined {
  return snapshot.entries.find((entry) => entry.key === key);
}

function entryOf(kv: KeyValue): ViewEntry {
  const { value, createRevision, modRevision, lease } = kv;
  return {
    key: Buffer.from(kv.key).toString(),
    rawKey: Buffer.from(kv.key).toString("latin1"),
    value,
    createRevision,
    modRevision,
    leaseId: lease,
  };
}

/** Keys created in one transaction share a revision; the key's bytes break the tie, as in etcd. */
function bySuccession(a: ViewEntry, b: ViewEntry): number {
  if (a.createRevision !== b.createRevision) return a.createRevision < b.createRevision ? -1 : 1;
  return a.rawKey < b.rawKey ? -1 : 1;
}

/** New keys are nearly always the last ones, so the place is looked for from the end. */
function insert(entries: ViewEntry[], entry: ViewEntry): void {
  let at = entries.length;
  for (; at > 0; at--) {
    const before = entries[at - 1];
    if (before !== undefined && bySuccession(before, entry) < 0) break;
  }
  entries.splice(at, 0, entry);
}

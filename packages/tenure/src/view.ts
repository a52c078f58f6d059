import { isAscii } from "node:buffer";
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
  /** The keys that were put or deleted since the snapshot before; undefined where that is not known, as for a read. */
  readonly touched?: readonly string[];
}

const EVENT_DELETE = 1;

/** The snapshot that a read of the whole prefix shows. */
export function snapshotOf(kvs: readonly KeyValue[], revision: bigint): Snapshot {
  return { revision, entries: kvs.map(entryOf).toSorted(bySuccession) };
}

/**
 * The snapshots that follow from events, one for each revision, in order. Events at or below the snapshot's revision
 * are part of it already. All events of a revision are applied before anything is derived from it.
 *
 * Each is made when it is asked for, and only the newest is quick to search: so it is looked at before the next one.
 */
export function* following(snapshot: Snapshot, events: readonly Event[]): Generator<Snapshot, void, undefined> {
  let draft = new Draft(snapshot);
  let revision = snapshot.revision;
  for (const event of events) {
    const { kv } = event;
    if (kv === undefined || kv.modRevision <= snapshot.revision) continue;
    if (kv.modRevision > revision && revision > snapshot.revision) {
      const next = draft.finish(revision);
      yield next;
      draft = new Draft(next);
    }
    revision = kv.modRevision;
    draft.apply(event.type, kv);
  }
  if (revision > snapshot.revision) yield draft.finish(revision);
}

/** What becomes of a snapshot: its entries are copied once, however many events there are. */
class Draft {
  readonly #entries: ViewEntry[];
  readonly #byKey: Index;
  readonly #touched: string[] = [];

  constructor({ entries }: Snapshot) {
    this.#entries = entries.slice();
    this.#byKey = takeIndex(entries);
  }

  apply(type: number, kv: KeyValue): void {
    const entry = entryOf(kv);
    const { key, rawKey } = entry;
    const former = this.#byKey.get(rawKey);
    if (former !== undefined) this.#entries.splice(placeOf(this.#entries, former), 1);
    if (type === EVENT_DELETE) this.#byKey.delete(rawKey);
    else {
      this.#byKey.set(rawKey, entry);
      this.#entries.splice(placeOf(this.#entries, entry), 0, entry);
    }
    this.#touched.push(key);
  }

  finish(revision: bigint): Snapshot {
    if (this.#entries.length > FEW_ENTRIES) indexes.set(this.#entries, this.#byKey);
    return { revision, entries: this.#entries, touched: this.#touched };
  }
}

/** The candidate that leads: the live key created first. */
export function leaderOf(snapshot: Snapshot): ViewEntry | undefined {
  return snapshot.entries[0];
}

/** The entry of a key. */
export function entryFor({ entries }: Snapshot, key: string): ViewEntry | undefined {
  if (entries.length <= FEW_ENTRIES) return entries.find((entry) => entry.key === key);
  let byKey = indexes.get(entries);
  if (byKey === undefined) {
    byKey = indexOf(entries);
    indexes.set(entries, byKey);
  }
  return byKey.get(Buffer.from(key).toString("latin1"));
}

type Index = Map<string, ViewEntry>;

const FEW_ENTRIES = 8;
/**
 * The entries of a snapshot by their raw keys, made when one is looked for. What follows from a snapshot takes its
 * index along: to make one for each change in a queue of thousands would take too long.
 */
const indexes = new WeakMap<readonly ViewEntry[], Index>();

function indexOf(entries: readonly ViewEntry[]): Index {
  return new Map(entries.map((entry) => [entry.rawKey, entry]));
}

function takeIndex(entries: readonly ViewEntry[]): Index {
  const byKey = indexes.get(entries) ?? indexOf(entries);
  indexes.delete(entries);
  return byKey;
}

/** Bytes as text: most are a Buffer already, of which no copy is made. */
export function textOf(bytes: Uint8Array, encoding: "utf8" | "latin1" = "utf8"): string {
  return (bytes instanceof Buffer ? bytes : Buffer.from(bytes)).toString(encoding);
}

function entryOf(kv: KeyValue): ViewEntry {
  const { value, createRevision, modRevision, lease } = kv;
  const rawKey = textOf(kv.key, "latin1");
  return {
    // One string for both, where they are the same.
    key: isAscii(kv.key) ? rawKey : textOf(kv.key),
    rawKey,
    value,
    createRevision,
    modRevision,
    leaseId: lease,
  };
}

/** Keys created in one transaction share a revision; the key's bytes break the tie, as in etcd. */
function bySuccession(a: ViewEntry, b: ViewEntry): number {
  if (a.createRevision !== b.createRevision) return a.createRevision < b.createRevision ? -1 : 1;
  if (a.rawKey === b.rawKey) return 0;
  return a.rawKey < b.rawKey ? -1 : 1;
}

/** Where an entry is, or would be, in the succession. Both ends first: who leaves has mostly led, who comes is last. */
function placeOf(entries: readonly ViewEntry[], entry: ViewEntry): number {
  const isBefore = (at: number): boolean => {
    const other = entries[at];
    return other !== undefined && bySuccession(other, entry) < 0;
  };
  let low = 0;
  let high = entries.length;
  if (!isBefore(low)) return low;
  if (isBefore(high - 1)) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

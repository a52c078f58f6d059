import { keptBytes } from "./kept-bytes.ts";
import { KeyOrder } from "./key-order.ts";
import { type KeyRange, keyToBytes } from "./key-range.ts";

/** One state of a key, from one change to the next. */
export interface Version {
  /** Revision of the change. */
  readonly modRevision: number;
  /** Place of the change among those of its revision, from 0. */
  readonly subRevision: number;
  /** Revision at which the key came into being; 0 for a deletion. */
  readonly createRevision: number;
  /** Number of changes since the key came into being, this one included; 0 marks a deletion. */
  readonly version: number;
  readonly value: Uint8Array;
  /** The lease the key lives on; 0n for none. */
  readonly lease: bigint;
}

/**
 * A version of a key as a store holds it by the hundred thousand. Its value is a copy, of which an array is made each
 * time that somebody looks: the array would take as much as all else here.
 */
export class KeptVersion implements Version {
  readonly history: KeyHistory;
  readonly modRevision: number;
  readonly subRevision: number;
  readonly createRevision: number;
  readonly version: number;
  readonly lease: bigint;
  readonly #buffer: ArrayBuffer;
  readonly #start: number;
  readonly #length: number;

  constructor(history: KeyHistory, version: Version) {
    this.history = history;
    this.modRevision = version.modRevision;
    this.subRevision = version.subRevision;
    this.createRevision = version.createRevision;
    this.version = version.version;
    this.lease = version.lease;
    const { buffer, byteOffset, byteLength } = keptBytes(version.value);
    this.#buffer = buffer;
    this.#start = byteOffset;
    this.#length = byteLength;
  }

  get value(): Uint8Array {
    return new Uint8Array(this.#buffer, this.#start, this.#length);
  }
}

const NONE: readonly Version[] = [];

/** Everything that happened to one key since the last compaction, oldest first. */
export class KeyHistory {
  readonly key: string;
  /** Most keys have no other version. */
  #latest: Version | undefined;
  #older: Version[] | undefined;

  constructor(key: string) {
    this.key = key;
  }

  /** The key as bytes, made anew each time: most keys are asked for them seldom. */
  get keyBytes(): Uint8Array {
    return keyToBytes(this.key);
  }

  /** The state at a revision; undefined while the key does not exist. */
  at(revision: number): Version | undefined {
    const latest = this.#latest;
    if (latest === undefined) return undefined;
    if (latest.modRevision <= revision) return live(latest);
    const older = this.#older ?? NONE;
    return live(older[countUpTo(older, revision) - 1]);
  }

  /** All that is remembered, oldest first, deletions included. */
  get versions(): readonly Version[] {
    if (this.#latest === undefined) return NONE;
    return this.#older === undefined ? [this.#latest] : [...this.#older, this.#latest];
  }

  append(version: Version): void {
    if (this.#latest !== undefined) {
      if (this.#older === undefined) this.#older = [this.#latest];
      else this.#older.push(this.#latest);
    }
    this.#latest = version;
  }

  /**
   * Forgets what no read at `revision` or later can see. Returns the versions dropped; the history is empty afterwards
   * when the key did not exist at that revision and was not touched since.
   */
  compact(revision: number): readonly Version[] {
    const { versions } = this;
    const upTo = countUpTo(versions, revision);
    const dropped = live(versions[upTo - 1]) === undefined ? upTo : upTo - 1;
    if (dropped === 0) return NONE;
    this.#older = versions.length - dropped > 1 ? versions.slice(dropped, -1) : undefined;
    if (dropped === versions.length) this.#latest = undefined;
    return versions.slice(0, dropped);
  }

  get isEmpty(): boolean {
    return this.#latest === undefined;
  }
}

/** How many versions are not newer than `revision`. */
function countUpTo(versions: readonly Version[], revision: number): number {
  let low = 0;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((versions[middle]?.modRevision ?? Infinity) <= revision) low = middle + 1;
    else high = middle;
  }
  return low;
}

function live(version: Version | undefined): Version | undefined {
  return version === undefined || version.version === 0 ? undefined : version;
}

/** All keys with a history: by name for single keys, in byte order for ranges. */
export class KeyIndex {
  readonly #byKey = new Map<string, KeyHistory>();
  readonly #ordered = new KeyOrder<KeyHistory>();

  get(key: string): KeyHistory | undefined {
    return this.#byKey.get(key);
  }

  /** The history of a key, a new one if there is none. */
  getOrCreate(key: string): KeyHistory {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const history = new KeyHistory(key);
    this.#byKey.set(key, history);
    this.#ordered.add(history);
    return history;
  }

  /** The histories of the keys in a range, in byte order of the keys. Keys that no longer exist are among them. */
  select(range: KeyRange): readonly KeyHistory[] {
    if (range.kind === "range") return this.#ordered.select(range.start, range.end);
    const history = this.#byKey.get(range.key);
    return history === undefined ? [] : [history];
  }

  /** Forgets what no read at `revision` or later can see, and calls `dropped` for each version that goes. */
  compact(revision: number, dropped: (history: KeyHistory, version: Version) => void): void {
    for (const history of this.#byKey.values()) {
      for (const version of history.compact(revision)) dropped(history, version);
      if (history.isEmpty) this.#byKey.delete(history.key);
    }
    this.#ordered.retain((history) => !history.isEmpty);
  }
}

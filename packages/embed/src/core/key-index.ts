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

/** Everything that happened to one key since the last compaction, oldest first. */
export class KeyHistory {
  readonly key: string;
  readonly keyBytes: Uint8Array;
  #versions: Version[] = [];

  constructor(key: string) {
    this.key = key;
    this.keyBytes = keyToBytes(key);
  }

  /** The state at a revision; undefined while the key does not exist. */
  at(revision: number): Version | undefined {
    const latest = this.#versions.at(-1);
    if (latest === undefined) return undefined;
    if (latest.modRevision <= revision) return live(latest);
    return live(this.#versions[this.#countUpTo(revision) - 1]);
  }

  /** All that is remembered, oldest first, deletions included. */
  get versions(): readonly Version[] {
    return this.#versions;
  }

  append(version: Version): void {
    this.#versions.push(version);
  }

  /**
   * Forgets what no read at `revision` or later can see. Returns the versions dropped; the history is empty afterwards
   * when the key did not exist at that revision and was not touched since.
   */
  compact(revision: number): readonly Version[] {
    const upTo = this.#countUpTo(revision);
    const keep = live(this.#versions[upTo - 1]) === undefined ? upTo : upTo - 1;
    return this.#versions.splice(0, keep);
  }

  get isEmpty(): boolean {
    return this.#versions.length === 0;
  }

  /** How many versions are not newer than `revision`. */
  #countUpTo(revision: number): number {
    let low = 0;
    let high = this.#versions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#versions[middle]?.modRevision ?? Infinity) <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function live(version: Version | undefined): Version | undefined {
  return version === undefined || version.version === 0 ? undefined : version;
}

/** All keys with a history: by name for single keys, in byte order for ranges. */
export class KeyIndex {
  readonly #byKey = new Map<string, KeyHistory>();
  #sorted: KeyHistory[] = [];

  get(key: string): KeyHistory | undefined {
    return this.#byKey.get(key);
  }

  /** The history of a key, a new one if there is none. */
  getOrCreate(key: string): KeyHistory {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const history = new KeyHistory(key);
    this.#byKey.set(key, history);
    this.#sorted.splice(this.#lowerBound(key), 0, history);
    return history;
  }

  /** The histories of the keys in a range, in byte order of the keys. Keys that no longer exist are among them. */
  select(range: KeyRange): readonly KeyHistory[] {
    if (range.kind === "key") {
      const history = this.#byKey.get(range.key);
      return history === undefined ? [] : [history];
    }
    const from = this.#lowerBound(range.start);
    const to = range.end === undefined ? this.#sorted.length : this.#lowerBound(range.end);
    return this.#sorted.slice(from, to);
  }

  /** Forgets what no read at `revision` or later can see, and calls `dropped` for each version that goes. */
  compact(revision: number, dropped: (history: KeyHistory, version: Version) => void): void {
    for (const history of this.#sorted) {
      for (const version of history.compact(revision)) dropped(history, version);
      if (history.isEmpty) this.#byKey.delete(history.key);
    }
    this.#sorted = this.#sorted.filter((history) => !history.isEmpty);
  }

  /** Position of the first key that is not below `key`. */
  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const candidate = this.#sorted[middle];
      if (candidate !== undefined && candidate.key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

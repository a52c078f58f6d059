import { refusal } from "./errors.ts";
import { type KeyHistory, KeyIndex, KeptVersion, type Version } from "./key-index.ts";
import type { SavedChange } from "./journal.ts";
import type { KeyRange } from "./key-range.ts";

/** A key in one of its states. */
export interface Item {
  readonly history: KeyHistory;
  readonly version: Version;
}

/** What happened to one key at one revision: a put, or a deletion when `version.version` is 0. */
export type Change = Item;

/** How a range of keys is read. */
export interface ReadOptions {
  /** Read as of this revision; 0 or less (default) for the newest state. */
  readonly revision?: number;
  /** Return at most so many items; 0 (default) for all. */
  readonly limit?: number;
}

/** Items in byte order of their keys, and how many there are in the range whatever the limit. */
export interface ReadResult {
  readonly items: Item[];
  readonly count: number;
}

/** Told which key moves to or from which lease. */
export interface LeaseAttachments {
  attach(lease: bigint, key: string): void;
  detach(lease: bigint, key: string): void;
}

const ALL_KEYS: KeyRange = { kind: "range", start: "", end: undefined };
const NO_LEASE = 0n;
const NO_VALUE = new Uint8Array(0);
/** Before the first compaction, so that no revision is below it. */
const NEVER_COMPACTED = -1;
/** What an entry costs beyond its key and value; only for the size in the status answer. */
const ENTRY_OVERHEAD_BYTES = 64;

/**
 * The multi-version store: each commit raises the revision by one and leaves all earlier revisions readable until they
 * are compacted.
 *
 * Writes belong to the revision after the current one and are seen by reads at once; `commit` ends that revision.
 * Whoever writes checks everything first and commits before anyone else may look.
 */
export class KvStore {
  readonly #index = new KeyIndex();
  readonly #attachments: LeaseAttachments;
  /** All changes since the last compaction, in order of revision. */
  #log: KeptVersion[] = [];
  #uncommitted: KeptVersion[] = [];
  #revision: number;
  #compactRevision = NEVER_COMPACTED;
  #bytes = 0;

  /** The empty store has revision `firstRevision`; its first commit has the one after that. */
  constructor(firstRevision: number, attachments: LeaseAttachments) {
    this.#revision = firstRevision;
    this.#attachments = attachments;
  }

  /** The revision reads see: the last commit's, or the next one once something is written for it. */
  get revision(): number {
    return this.#uncommitted.length > 0 ? this.#revision + 1 : this.#revision;
  }

  /** The oldest revision that is still readable; negative before the first compaction. */
  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** Roughly how many bytes keys and values take, history included. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Reads a range of keys.
   *
   * @throws EtcdServerError when the revision is compacted or not reached yet. One from before this store began is
   *   neither: nothing existed then.
   */
  read(range: KeyRange, options: ReadOptions = {}): ReadResult {
    const revision = this.#readable(options.revision ?? 0);
    const limit = options.limit ?? 0;
    const items: Item[] = [];
    let count = 0;
    for (const history of this.#index.select(range)) {
      const version = history.at(revision);
      if (version === undefined) continue;
      count += 1;
      if (limit <= 0 || count <= limit) items.push({ history, version });
    }
    return { items, count };
  }

  /** Number of keys in a range; cheaper than reading them. Throws as {@link read} does. */
  count(range: KeyRange, revision: number): number {
    const at = this.#readable(revision);
    let count = 0;
    for (const history of this.#index.select(range)) if (history.at(at) !== undefined) count += 1;
    return count;
  }

  /** The newest state of one key. */
  latest(key: string): Item | undefined {
    const history = this.#index.get(key);
    const version = history?.at(this.revision);
    return history === undefined || version === undefined ? undefined : { history, version };
  }

  /** The state of a key just before a change to it; undefined if there was none or it is compacted. */
  before(change: Change): Item | undefined {
    const revision = change.version.modRevision - 1;
    if (revision < this.#compactRevision) return undefined;
    const version = change.history.at(revision);
    return version === undefined ? undefined : { history: change.history, version };
  }

  /** Writes a key. The value is copied. */
  put(key: string, value: Uint8Array, lease: bigint): void {
    const history = this.#index.getOrCreate(key);
    const previous = history.at(this.revision);
    const modRevision = this.#revision + 1;
    this.#append(history, {
      modRevision,
      subRevision: this.#uncommitted.length,
      createRevision: previous?.createRevision ?? modRevision,
      version: (previous?.version ?? 0) + 1,
      value,
      lease,
    });
    this.#moveLease(key, previous?.lease ?? NO_LEASE, lease);
  }

  /** Deletes what exists in a range and returns how many keys that were. */
  deleteRange(range: KeyRange): number {
    const { items } = this.read(range);
    const modRevision = this.#revision + 1;
    for (const { history, version } of items) {
      this.#append(history, {
        modRevision,
        subRevision: this.#uncommitted.length,
        createRevision: 0,
        version: 0,
        value: NO_VALUE,
        lease: NO_LEASE,
      });
      this.#moveLease(history.key, version.lease, NO_LEASE);
    }
    return items.length;
  }

  /** Ends the revision under way and returns its changes in order; none when nothing was written. */
  commit(): readonly Change[] {
    const versions = this.#uncommitted;
    if (versions.length === 0) return [];
    this.#uncommitted = [];
    this.#revision += 1;
    for (const version of versions) this.#log.push(version);
    return versions.map(changeOf);
  }

  /** Committed changes from a revision on, oldest first, cut after `maxRevisions` different revisions. */
  changesFrom(revision: number, maxRevisions: number): readonly Change[] {
    const from = this.#logPosition(revision);
    let to = from;
    let revisions = 0;
    for (let last = 0; to < this.#log.length; to += 1) {
      const next = this.#log[to]?.modRevision ?? 0;
      if (next !== last) revisions += 1;
      if (revisions > maxRevisions) break;
      last = next;
    }
    return this.#log.slice(from, to).map(changeOf);
  }

  /**
   * What a store keeps that holds everything up to `revision`: all changes since the last compaction, and of those
   * before it the states that are still in force at `revision`. In order of the changes.
   */
  history(revision: number): readonly Change[] {
    const histories = this.#index.select(ALL_KEYS);
    // As etcd, which takes no state in force for no compaction.
    const isEmpty = histories.every((history) => history.at(revision) === undefined);
    const changes: Change[] = [];
    for (const history of histories) {
      const inForce = history.at(revision);
      for (const version of history.versions) {
        if (version.modRevision > revision) break;
        const isRecent = version.modRevision > this.#compactRevision;
        if (isRecent || isEmpty || version === inForce) changes.push({ history, version });
      }
    }
    return changes.toSorted(
      ({ version: a }, { version: b }) => a.modRevision - b.modRevision || a.subRevision - b.subRevision,
    );
  }

  /** What makes an empty store the same: states from before the oldest readable revision, and the changes since. */
  checkpoint(): { readonly base: readonly Change[]; readonly log: readonly Change[] } {
    const base: Change[] = [];
    if (this.#compactRevision > 0) {
      for (const history of this.#index.select(ALL_KEYS)) {
        const [version] = history.versions;
        if (version !== undefined && version.modRevision < this.#compactRevision) base.push({ history, version });
      }
    }
    return { base, log: this.#log.map(changeOf) };
  }

  /** Takes back states of a checkpoint from before its oldest readable revision. */
  restoreBase(changes: readonly SavedChange[]): void {
    for (const change of changes) this.#restore(change);
  }

  /** Takes back the changes of one revision, which becomes the current one. */
  restoreCommit(changes: readonly SavedChange[]): void {
    for (const change of changes) {
      this.#log.push(this.#restore(change));
      this.#revision = change.version.modRevision;
    }
  }

  /**
   * Forgets the states before `revision`, which becomes the oldest readable one.
   *
   * @throws EtcdServerError when that is done already, or the revision is not reached yet.
   */
  compact(revision: number): void {
    if (revision <= this.#compactRevision) throw refusal("compacted");
    if (revision > this.#revision) throw refusal("futureRevision");
    this.#compactRevision = revision;
    this.#index.compact(revision, (history, version) => {
      this.#bytes -= entryBytes(history, version);
    });
    this.#log = this.#log.slice(this.#logPosition(revision));
  }

  #readable(revision: number): number {
    if (revision > this.revision) throw refusal("futureRevision");
    const at = revision > 0 ? revision : this.revision;
    if (at < this.#compactRevision) throw refusal("compacted");
    return at;
  }

  #restore({ history: { key }, version: saved }: SavedChange): KeptVersion {
    const history = this.#index.getOrCreate(key);
    const version = new KeptVersion(history, saved);
    const previous = history.at(version.modRevision);
    history.append(version);
    this.#bytes += entryBytes(history, version);
    this.#moveLease(key, previous?.lease ?? NO_LEASE, version.lease);
    return version;
  }

  #append(history: KeyHistory, change: Version): void {
    const version = new KeptVersion(history, change);
    history.append(version);
    this.#bytes += entryBytes(history, version);
    this.#uncommitted.push(version);
  }

  #moveLease(key: string, from: bigint, to: bigint): void {
    if (from === to) return;
    if (from !== NO_LEASE) this.#attachments.detach(from, key);
    if (to !== NO_LEASE) this.#attachments.attach(to, key);
  }

  /** Position of the first change that is not older than `revision`. */
  #logPosition(revision: number): number {
    let low = 0;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#log[middle]?.modRevision ?? Infinity) < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function changeOf(version: KeptVersion): Change {
  return { history: version.history, version };
}

function entryBytes(history: KeyHistory, version: Version): number {
  return history.key.length + version.value.byteLength + ENTRY_OVERHEAD_BYTES;
}

import type { Event } from "@tenure/etcd/rpc";

import { inRange, type KeyRange } from "./key-range.ts";
import type { Change, KvStore } from "./kvstore.ts";
import { eventOf } from "./messages.ts";
import { SharedEvents } from "./shared-events.ts";

/** What one watcher wants to see. */
export interface WatchSpec {
  readonly range: KeyRange;
  /** First revision wanted; 0 for what happens from now on. */
  readonly startRevision: number;
  /** Whether events carry the state of the key before the change. */
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
}

/** Takes what a watcher sees. */
export interface WatchListener {
  /**
   * Takes events, all of a revision together: a list that others get too, and nobody changes. Returns false when there
   * is no room for them, and none was taken: they come again when the watcher catches up.
   *
   * @param revision the store's revision as the answer's header shows it
   */
  events(events: Event[], revision: number): boolean;
  /** The watcher is over: what it has to see next is compacted. */
  compacted(compactRevision: number): void;
}

/** Someone who watches a range of keys. */
export interface Watcher {
  readonly spec: WatchSpec;
  readonly listener: WatchListener;
  /**
   * `synced` watchers have seen everything and get each commit at once; `behind` ones are served from the history by
   * `catchUp`; `ended` ones get nothing more.
   */
  state: "synced" | "behind" | "ended";
  /** While it is behind: the first revision not seen yet. */
  nextRevision: number;
}

/** Revisions served to one watcher in one answer while it catches up, as in etcd. */
const CATCH_UP_REVISIONS = 1000;

/** Tells watchers what happens in a store: commits as they come, and the history to those who start or fall behind. */
export class WatchableStore {
  readonly #store: KvStore;
  /** Synced watchers of one key, by that key. */
  readonly #byKey = new Map<string, Set<Watcher>>();
  /** Synced watchers of ranges. */
  readonly #ofRanges = new Set<Watcher>();

  constructor(store: KvStore) {
    this.#store = store;
  }

  /** The revision of the newest commit. */
  get revision(): number {
    return this.#store.revision;
  }

  /** Adds a watcher. One that starts in the past is behind and hears nothing before {@link catchUp}. */
  watch(spec: WatchSpec, listener: WatchListener): Watcher {
    const next = this.#store.revision + 1;
    const nextRevision = spec.startRevision > 0 ? spec.startRevision : next;
    const watcher: Watcher = { spec, listener, state: "behind", nextRevision };
    if (nextRevision >= next) this.#setSynced(watcher);
    return watcher;
  }

  /** Ends a watcher; one that has ended already stays so. */
  cancel(watcher: Watcher): void {
    this.#unsync(watcher);
    watcher.state = "ended";
  }

  /** Serves a watcher that is behind from the history, until it is synced again or its listener has no room. */
  catchUp(watcher: Watcher): void {
    while (watcher.state === "behind") {
      const { compactRevision, revision } = this.#store;
      if (watcher.nextRevision < compactRevision) {
        watcher.state = "ended";
        watcher.listener.compacted(compactRevision);
        return;
      }
      const changes = this.#store.changesFrom(watcher.nextRevision, CATCH_UP_REVISIONS);
      const wanted = changes.filter((change) => wants(watcher.spec, change));
      const events = wanted.map((change) => this.#event(watcher, change));
      if (events.length > 0 && !watcher.listener.events(events, revision)) return;
      watcher.nextRevision = (changes.at(-1)?.version.modRevision ?? revision) + 1;
      if (watcher.nextRevision > revision) this.#setSynced(watcher);
    }
  }

  /** Tells the synced watchers about the changes of the newest revision. */
  notify(changes: readonly Change[]): void {
    if (this.#byKey.size === 0 && this.#ofRanges.size === 0) return;
    const revision = this.#store.revision;
    const plain = new SharedEvents((change) => eventOf(change, undefined));
    const withPrevious = new SharedEvents((change) => this.#eventWithPrevious(change));
    const found = new Map<Watcher, SharedEvents>();
    for (const change of changes) {
      for (const watcher of this.#watchersOf(change.history.key)) {
        if (watcher.spec.startRevision > revision || !wants(watcher.spec, change)) continue;
        const before = found.get(watcher) ?? (watcher.spec.prevKv ? withPrevious : plain);
        found.set(watcher, before.and(change));
      }
    }
    for (const [watcher, own] of found) {
      // The listener of an earlier one may have ended this one.
      if (watcher.state !== "synced") continue;
      if (watcher.listener.events(own.events, revision)) continue;
      this.#unsync(watcher);
      watcher.state = "behind";
      watcher.nextRevision = revision;
    }
  }

  *#watchersOf(key: string): Iterable<Watcher> {
    const exact = this.#byKey.get(key);
    if (exact !== undefined) yield* exact;
    for (const watcher of this.#ofRanges) if (inRange(watcher.spec.range, key)) yield watcher;
  }

  #event({ spec }: Watcher, change: Change): Event {
    return spec.prevKv ? this.#eventWithPrevious(change) : eventOf(change, undefined);
  }

  #eventWithPrevious(change: Change): Event {
    const { createRevision, modRevision } = change.version;
    return eventOf(change, createRevision === modRevision ? undefined : this.#store.before(change));
  }

  #setSynced(watcher: Watcher): void {
    watcher.state = "synced";
    const { range } = watcher.spec;
    if (range.kind === "range") {
      this.#ofRanges.add(watcher);
      return;
    }
    const watchers = this.#byKey.get(range.key);
    if (watchers === undefined) this.#byKey.set(range.key, new Set([watcher]));
    else watchers.add(watcher);
  }

  #unsync(watcher: Watcher): void {
    const { range } = watcher.spec;
    if (range.kind === "range") {
      this.#ofRanges.delete(watcher);
      return;
    }
    const watchers = this.#byKey.get(range.key);
    watchers?.delete(watcher);
    if (watchers?.size === 0) this.#byKey.delete(range.key);
  }
}

function wants({ range, noPut, noDelete }: WatchSpec, { history, version }: Change): boolean {
  return !(version.version === 0 ? noDelete : noPut) && inRange(range, history.key);
}

import type { AlarmStore } from "./alarm-store.ts";
import type { AuthStore } from "./auth-store.ts";
import type { ClusterService } from "./cluster.ts";
import type { JournalRecord } from "./journal.ts";
import { wholeAuth } from "./journal-auth.ts";
import type { Change, KvStore } from "./kvstore.ts";
import type { Lessor } from "./lessor.ts";

/** What of a server outlives a restart. */
export interface Lasting {
  readonly alarms: AlarmStore;
  readonly authStore: AuthStore;
  readonly cluster: ClusterService;
  readonly lessor: Lessor;
  readonly store: KvStore;
}

/** Keys in one record of a checkpoint, and bytes of their values but for the last: nobody waits long for one. */
const BASE_KEYS = 256;
const BASE_BYTES = 256 * 1024;

/** Takes back one change, all before it having been taken back. Throws when it does not fit them. */
export function restoreRecord({ alarms, authStore, cluster, lessor, store }: Lasting, record: JournalRecord): void {
  switch (record.kind) {
    case "base":
      return store.restoreBase(record.changes);
    case "commit":
      store.restoreCommit(record.changes);
      if (record.endedLease !== 0n) lessor.remove(record.endedLease);
      return undefined;
    case "grant":
      lessor.grant(record.id, record.ttlSeconds);
      return undefined;
    case "compact":
      return store.compact(record.revision);
    case "alarms":
      return alarms.restore(record.alarms);
    case "member":
      return cluster.restore(record.peerUrls);
    case "auth":
      return authStore.restore(record);
    case "state":
      if (store.revision !== record.revision) throw new Error(`revision ${store.revision}, not ${record.revision}`);
      return undefined;
  }
}

/**
 * What makes an empty server the same as this one now. The keys are found at once and read as they are taken: their
 * states never change, and what is forgotten meanwhile is still there.
 */
export function checkpointRecords(parts: Lasting, raftIndex: bigint): Iterable<JournalRecord> {
  const { alarms, authStore, cluster, lessor, store } = parts;
  const { revision, compactRevision } = store;
  const rest: JournalRecord[] = [
    { kind: "alarms", alarms: [...alarms.list()] },
    { kind: "member", peerUrls: cluster.peerUrls },
    wholeAuth(authStore.state),
  ];
  // Before the keys, which are put on them.
  const leases = lessor.list().map(({ id, ttlSeconds }): JournalRecord => ({ kind: "grant", id, ttlSeconds }));
  const { base, log } = store.checkpoint();
  return (function* (): Iterable<JournalRecord> {
    yield* rest;
    yield* leases;
    yield* states(base);
    yield* commits(log);
    if (compactRevision >= 0) yield { kind: "compact", revision: compactRevision };
    yield { kind: "state", revision, raftIndex };
  })();
}

/** States from before the oldest readable revision, some at a time. */
function* states(base: readonly Change[]): Iterable<JournalRecord> {
  for (let from = 0; from < base.length;) {
    let to = from;
    for (let bytes = 0; to < base.length && to - from < BASE_KEYS && bytes < BASE_BYTES; to += 1) {
      bytes += base[to]?.version.value.byteLength ?? 0;
    }
    yield { kind: "base", changes: base.slice(from, to) };
    from = to;
  }
}

/** Changes in order of revision, those of each revision together. */
function* commits(log: readonly Change[]): Iterable<JournalRecord> {
  for (let from = 0; from < log.length;) {
    const revision = log[from]?.version.modRevision;
    let to = from + 1;
    while (to < log.length && log[to]?.version.modRevision === revision) to += 1;
    yield { kind: "commit", changes: log.slice(from, to), endedLease: 0n };
    from = to;
  }
}

// Whatever happens to the keys of an election, its view is what the store holds. The store is a list of writes, and
// what it holds at a revision is worked out from all of them each time.
import type { Event } from "@tenure/etcd/rpc";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { propertyRuns } from "./testing/property-runs.ts";
import {
  eventsOf,
  keyOf,
  kvsAt,
  revisionsOf,
  someHistory,
  someQueueHistory,
  STORE_KEYS,
  type StoreHistory,
} from "./testing/store-history.ts";
import { entryFor, following as eachFollowing, leaderOf, type Snapshot, snapshotOf, type ViewEntry } from "./view.ts";

const runs = propertyRuns(200);

const someOrder = fc.shuffledSubarray([...STORE_KEYS], { minLength: STORE_KEYS.length });
/** How many new commits each message of a watch brings, and which old ones it brings again. */
const someMessages = fc.array(fc.record({ fresh: fc.nat(4), again: fc.array(fc.nat(), { maxLength: 4 }) }), {
  minLength: 1,
  maxLength: 12,
  size: "max",
});

/** All snapshots that follow, at once. */
function following(snapshot: Snapshot, events: readonly Event[]): Snapshot[] {
  return [...eachFollowing(snapshot, events)];
}

function describeEntry({ key, value, createRevision, modRevision, leaseId }: ViewEntry): string {
  return `${key}@${createRevision}/${modRevision}=${Buffer.from(value).toString()} on ${leaseId}`;
}

function describeSnapshot({ revision, entries }: Snapshot): string {
  return `${revision}: ${entries.map(describeEntry).join(", ")}`;
}

/** What the view must be at a revision, the oldest key first and keys of one revision in the order of keys. */
function expectedAt(history: StoreHistory, revision: bigint): string {
  const entries = kvsAt(history, revision)
    .map((kv) => ({
      ...kv,
      key: keyOf(kv),
      rawKey: Buffer.from(kv.key).toString("latin1"),
      leaseId: kv.lease,
      bytes: kv.key,
    }))
    .toSorted((a, b) => Number(a.createRevision - b.createRevision) || Buffer.compare(a.bytes, b.bytes));
  return describeSnapshot({ revision, entries });
}

function readAt(history: StoreHistory, revision: bigint): Snapshot {
  return snapshotOf(kvsAt(history, revision), revision);
}

/** Some revision of the history, and the commits after it. */
function cut(history: StoreHistory, chance: number): { revision: bigint; later: StoreHistory["commits"] } {
  const revisions = revisionsOf(history);
  const revision = revisions[chance % revisions.length] ?? history.start;
  return { revision, later: history.commits.filter((commit) => commit.revision > revision) };
}

/** The view before the first commit and after each. */
function allSnapshots(history: StoreHistory): Snapshot[] {
  const empty = snapshotOf([], history.start);
  return [empty, ...following(empty, eventsOf(history, history.commits))];
}

/** Each commit with the view before and after it. */
function allSteps(history: StoreHistory): { deleted: string[]; before: Snapshot; after: Snapshot }[] {
  const snapshots = allSnapshots(history);
  return history.commits.map(({ writes }, index) => {
    const [before, after] = snapshots.slice(index, index + 2);
    if (before === undefined || after === undefined) throw new Error("a commit has no snapshot");
    return { deleted: writes.flatMap(({ key, put }) => (put === undefined ? [key] : [])), before, after };
  });
}

function isSameKey(a: ViewEntry | undefined, b: ViewEntry | undefined): boolean {
  return a !== undefined && b !== undefined && a.key === b.key && a.createRevision === b.createRevision;
}

describe("a read at any revision", () => {
  it("shows what the store holds in order of succession, in whatever order it arrives", () => {
    fc.assert(
      fc.property(someHistory, fc.nat(), someOrder, (history, chance, order) => {
        const { revision } = cut(history, chance);
        const kvs = kvsAt(history, revision).toSorted((a, b) => order.indexOf(keyOf(a)) - order.indexOf(keyOf(b)));
        expect(describeSnapshot(snapshotOf(Object.freeze(kvs), revision))).toBe(expectedAt(history, revision));
      }),
      runs,
    );
  });

  it("has an entry for each live key and for no other", () => {
    fc.assert(
      fc.property(someHistory, fc.nat(), (history, chance) => {
        const { revision } = cut(history, chance);
        const snapshot = readAt(history, revision);
        const live = kvsAt(history, revision);
        for (const key of [...STORE_KEYS, "e/", "e/7"]) {
          const kv = live.find((one) => keyOf(one) === key);
          const { createRevision, modRevision } = kv ?? {};
          const entry = kv && { key, rawKey: key, createRevision, modRevision, leaseId: kv.lease, value: kv.value };
          expect(entryFor(snapshot, key)).toEqual(entry);
        }
      }),
      runs,
    );
  });
});

describe("what follows from events", () => {
  it("is one snapshot for each revision, in whatever messages they arrive and whatever arrives again", () => {
    fc.assert(
      fc.property(someHistory, fc.nat(), someMessages, (history, chance, messages) => {
        const { revision, later } = cut(history, chance);
        let snapshot = readAt(history, revision);
        let at = history.commits.length - later.length;
        for (const { fresh, again } of messages) {
          const news = history.commits.slice(at, at + fresh);
          const old = history.commits.slice(0, at).filter((_, index) => again.some((one) => one % at === index));
          const derived = following(snapshot, Object.freeze(eventsOf(history, [...old, ...news])));
          expect(derived.map(describeSnapshot)).toEqual(news.map((commit) => expectedAt(history, commit.revision)));
          snapshot = derived.at(-1) ?? snapshot;
          at += news.length;
        }
      }),
      runs,
    );
  });

  it("is the same in one go and in two", () => {
    fc.assert(
      fc.property(someHistory, fc.nat(), fc.nat(), (history, chance, middle) => {
        const { revision, later } = cut(history, chance);
        const start = readAt(history, revision);
        const at = middle % (later.length + 1);
        const first = following(start, eventsOf(history, later.slice(0, at)));
        const second = following(first.at(-1) ?? start, eventsOf(history, later.slice(at)));
        const inOneGo = following(start, eventsOf(history, later));
        expect([...first, ...second].map(describeSnapshot)).toEqual(inOneGo.map(describeSnapshot));
      }),
      runs,
    );
  });

  it("does not depend on the order of the events of one revision", () => {
    fc.assert(
      fc.property(someHistory, fc.nat(), someOrder, (history, chance, order) => {
        const { revision, later } = cut(history, chance);
        const rank = ({ kv }: Event): number => order.indexOf(kv === undefined ? "" : keyOf(kv));
        const events = later.flatMap((commit) => eventsOf(history, [commit]).toSorted((a, b) => rank(a) - rank(b)));
        expect(following(readAt(history, revision), events).map(describeSnapshot)).toEqual(
          later.map((commit) => expectedAt(history, commit.revision)),
        );
      }),
      runs,
    );
  });

  it("leaves every snapshot handed out before as it was", () => {
    fc.assert(
      fc.property(someHistory, fc.nat(), (history, chance) => {
        const { revision, later } = cut(history, chance);
        const snapshots = [readAt(history, revision)];
        const shownAtOnce = snapshots.map(describeSnapshot);
        for (const commit of later) {
          const events = eventsOf(history, [commit]);
          // From each of them, not only from the newest: a reader may have kept any.
          const next = snapshots.flatMap((snapshot) => following(snapshot, events)).at(-1);
          if (next === undefined) throw new Error("a commit has no snapshot");
          snapshots.push(next);
          shownAtOnce.push(describeSnapshot(next));
        }
        expect(snapshots.map(describeSnapshot)).toEqual(shownAtOnce);
      }),
      runs,
    );
  });
});

describe("the order of succession", () => {
  it("is led by the live key created first, and by nobody only when no key lives", () => {
    fc.assert(
      fc.property(someHistory, (history) => {
        for (const snapshot of allSnapshots(history)) {
          const live = kvsAt(history, snapshot.revision);
          const leader = leaderOf(snapshot);
          expect(leader === undefined).toBe(live.length === 0);
          const older = live.filter((kv) => leader !== undefined && kv.createRevision < leader.createRevision);
          expect(older.map(keyOf)).toEqual([]);
        }
      }),
      runs,
    );
  });

  it("lets nobody overtake: those who stay keep their order, and whoever comes is behind them", () => {
    fc.assert(
      fc.property(someHistory, (history) => {
        for (const { before, after } of allSteps(history)) {
          const stayed = before.entries.filter((entry) => after.entries.some((one) => isSameKey(one, entry)));
          const ahead = after.entries.slice(0, stayed.length);
          expect(ahead.map(({ key }) => key)).toEqual(stayed.map(({ key }) => key));
          const came = after.entries.slice(stayed.length);
          expect(came.filter(({ createRevision }) => createRevision !== after.revision)).toEqual([]);
        }
      }),
      runs,
    );
  });

  it("leaves the lead to whoever has it until the key is deleted, and no longer", () => {
    fc.assert(
      fc.property(someHistory, (history) => {
        for (const { deleted, before, after } of allSteps(history)) {
          const leader = leaderOf(before);
          if (leader === undefined) continue;
          expect(isSameKey(leader, leaderOf(after))).toBe(!deleted.includes(leader.key));
        }
      }),
      runs,
    );
  });

  it("gives each leader a higher token than every one before, where no revision creates two keys", () => {
    fc.assert(
      fc.property(someQueueHistory, (history) => {
        const leaders = allSnapshots(history)
          .map(leaderOf)
          .filter((leader) => leader !== undefined);
        const terms = leaders.filter((leader, index) => !isSameKey(leader, leaders[index - 1]));
        const tokens = terms.map(({ createRevision }) => createRevision);
        const inOrder = tokens.every((token, index) => token > (tokens[index - 1] ?? 0n));
        expect({ tokens, inOrder }).toEqual({ tokens, inOrder: true });
      }),
      runs,
    );
  });

  it("never gives a token below an earlier one, whatever was created together", () => {
    fc.assert(
      fc.property(someHistory, (history) => {
        let highest = 0n;
        for (const snapshot of allSnapshots(history)) {
          const token = leaderOf(snapshot)?.createRevision ?? highest;
          expect(token).toBeGreaterThanOrEqual(highest);
          highest = token;
        }
      }),
      runs,
    );
  });
});

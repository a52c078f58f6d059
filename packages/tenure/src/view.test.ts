import { create } from "@bufbuild/protobuf";
import { type Event, EventSchema, type KeyValue, KeyValueSchema } from "@tenure/etcd/rpc";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { entryFor, following as eachFollowing, leaderOf, type Snapshot, snapshotOf } from "./view.ts";

const PUT = 0;
const DELETE = 1;

function kvOf(key: string, createRevision: bigint, modRevision = createRevision, value = ""): KeyValue {
  const fields = { key: Buffer.from(key), value: Buffer.from(value), createRevision, modRevision, lease: 7n };
  return create(KeyValueSchema, fields);
}

function putOf(kv: KeyValue): Event {
  return create(EventSchema, { type: PUT, kv });
}

/** As etcd sends it: only the key and the revision of the deletion. */
function deleteOf(key: string, modRevision: bigint): Event {
  return create(EventSchema, { type: DELETE, kv: { key: Buffer.from(key), modRevision } });
}

/** All snapshots that follow, at once. */
function following(snapshot: Snapshot, events: readonly Event[]): Snapshot[] {
  return [...eachFollowing(snapshot, events)];
}

/** A snapshot in short. */
function shown({ revision, entries }: Snapshot): string {
  const list = entries.map((entry) => {
    const { key, createRevision, modRevision, value } = entry;
    return `${key}@${createRevision}/${modRevision}=${Buffer.from(value).toString()}`;
  });
  return `${revision}: ${list.join(" ")}`;
}

/** A store's history: the state after each revision, and the events that led there. */
interface Revision {
  readonly revision: bigint;
  readonly events: readonly Event[];
  readonly kvs: readonly KeyValue[];
}

const operation = fc.record({
  key: fc.constantFrom("e/1", "e/2", "e/3", "e/a", "e/ff"),
  kind: fc.constantFrom("put", "put", "delete"),
  value: fc.constantFrom("x", "y"),
});
const history = fc
  .array(
    fc.record({ operations: fc.array(operation, { minLength: 1, maxLength: 4 }), gap: fc.integer({ min: 1, max: 3 }) }),
    {
      maxLength: 25,
    },
  )
  .map(play);

/** Plays operations the way etcd does: one event for each key of a transaction, all with its revision. */
function play(
  steps: readonly {
    readonly operations: readonly { key: string; kind: string; value: string }[];
    readonly gap: number;
  }[],
): Revision[] {
  const live = new Map<string, KeyValue>();
  const revisions: Revision[] = [{ revision: 1n, events: [], kvs: [] }];
  let revision = 1n;
  for (const { operations, gap } of steps) {
    revision += BigInt(gap);
    const events: Event[] = [];
    const touched = new Set<string>();
    for (const { key, kind, value } of operations) {
      const before = live.get(key);
      if (touched.has(key) || (kind === "delete" && before === undefined)) continue;
      touched.add(key);
      if (kind === "delete") {
        live.delete(key);
        events.push(deleteOf(key, revision));
      } else {
        const kv = kvOf(key, before?.createRevision ?? revision, revision, value);
        live.set(key, kv);
        events.push(putOf(kv));
      }
    }
    if (events.length > 0) revisions.push({ revision, events, kvs: [...live.values()] });
  }
  return revisions;
}

/** What a snapshot of this moment must show. */
function expected({ revision, kvs }: Revision): string {
  const entries = kvs
    .map((kv) => ({ kv, key: Buffer.from(kv.key).toString() }))
    .toSorted((a, b) => Number(a.kv.createRevision - b.kv.createRevision) || (a.key < b.key ? -1 : 1))
    .map(({ kv, key }) => `${key}@${kv.createRevision}/${kv.modRevision}=${Buffer.from(kv.value).toString()}`);
  return `${revision}: ${entries.join(" ")}`;
}

describe("a snapshot", () => {
  it("that is read is in order of succession, whatever the order of the keys", () => {
    fc.assert(
      fc.property(history, fc.infiniteStream(fc.nat()), (revisions, chance) => {
        const last = revisions.at(-1) ?? { revision: 0n, events: [], kvs: [] };
        const shuffled = last.kvs
          .map((kv) => ({ kv, rank: Number(chance.next().value) }))
          .toSorted((a, b) => a.rank - b.rank)
          .map(({ kv }) => kv);
        expect(shown(snapshotOf(shuffled, last.revision))).toBe(expected(last));
      }),
    );
  });

  it("follows the events of each revision one by one", () => {
    fc.assert(
      fc.property(history, ([first, ...rest]) => {
        let snapshot = snapshotOf(first?.kvs ?? [], first?.revision ?? 0n);
        for (const step of rest) {
          const derived = following(snapshot, step.events);
          expect(derived.map(shown)).toEqual([expected(step)]);
          snapshot = derived.at(-1) ?? snapshot;
        }
      }),
    );
  });

  it("follows batches cut at any revisions, with reads in between, one snapshot for each revision", () => {
    const plan = fc.array(fc.record({ batch: fc.integer({ min: 1, max: 5 }), read: fc.boolean() }), {
      minLength: 30,
      maxLength: 30,
    });
    fc.assert(
      fc.property(history, plan, ([first, ...rest], steps) => {
        let snapshot = snapshotOf(first?.kvs ?? [], first?.revision ?? 0n);
        let at = 0;
        for (const { batch, read } of steps) {
          const part = rest.slice(at, at + batch);
          const last = part.at(-1);
          if (last === undefined) break;
          // A read that overtakes the watch holds its events already.
          if (read) snapshot = snapshotOf(last.kvs, last.revision);
          const derived = following(
            snapshot,
            part.flatMap(({ events }) => events),
          );
          expect(derived.map(shown)).toEqual(read ? [] : part.map(expected));
          snapshot = derived.at(-1) ?? snapshot;
          at += batch;
          expect(shown(snapshot)).toBe(expected(last));
        }
      }),
    );
  });

  it("ignores the events it holds already and follows those above it", () => {
    fc.assert(
      fc.property(history, fc.nat(), (revisions, chance) => {
        const at = chance % revisions.length;
        const start = revisions[at];
        if (start === undefined) return;
        const derived = following(
          snapshotOf(start.kvs, start.revision),
          revisions.flatMap(({ events }) => events),
        );
        expect(derived.map(shown)).toEqual(revisions.slice(at + 1).map(expected));
      }),
    );
  });

  it("is left as it was by what follows", () => {
    const before = snapshotOf([kvOf("e/1", 2n)], 2n);
    following(before, [deleteOf("e/1", 3n), putOf(kvOf("e/2", 4n))]);
    expect(shown(before)).toBe("2: e/1@2/2=");
  });

  it("among many is searched as it was, and what follows from it as it is", () => {
    const many = Array.from({ length: 20 }, (_, index) => kvOf(`e/${index}`, BigInt(index + 1)));
    const before = snapshotOf(many, 20n);
    const [middle, after] = following(before, [deleteOf("e/0", 21n), putOf(kvOf("e/new", 22n))]);
    const found = [before, middle, after].map((snapshot) =>
      ["e/0", "e/19", "e/new"].map((key) => snapshot && entryFor(snapshot, key)?.createRevision),
    );
    expect(found).toEqual([
      [1n, 20n, undefined],
      [undefined, 20n, undefined],
      [undefined, 20n, 22n],
    ]);
  });
});

describe("events of one revision", () => {
  it("are all applied before a snapshot is derived", () => {
    const before = snapshotOf([kvOf("e/1", 2n), kvOf("e/2", 3n), kvOf("e/3", 4n)], 4n);
    // A transfer to e/3: nobody sees e/2 lead.
    const derived = following(before, [deleteOf("e/1", 5n), deleteOf("e/2", 5n)]);
    expect(derived.map(shown)).toEqual(["5: e/3@4/4="]);
  });

  it("share a snapshot, those of two revisions do not", () => {
    const events = [putOf(kvOf("e/1", 5n)), putOf(kvOf("e/2", 5n)), deleteOf("e/1", 6n)];
    expect(following(snapshotOf([], 4n), events).map(shown)).toEqual(["5: e/1@5/5= e/2@5/5=", "6: e/2@5/5="]);
  });
});

describe("the leader", () => {
  it("is the live key created first, and none when there is none", () => {
    expect(leaderOf(snapshotOf([], 5n))).toBeUndefined();
    expect(leaderOf(snapshotOf([kvOf("e/1", 9n), kvOf("e/f", 3n)], 9n))?.key).toBe("e/f");
  });

  it("stays when it changes its value", () => {
    const [after] = following(snapshotOf([kvOf("e/1", 2n), kvOf("e/2", 3n)], 3n), [putOf(kvOf("e/1", 2n, 4n, "new"))]);
    expect(after && leaderOf(after)).toMatchObject({ key: "e/1", createRevision: 2n, modRevision: 4n });
  });

  it("that is deleted and comes back is behind the others", () => {
    const before = snapshotOf([kvOf("e/1", 2n), kvOf("e/2", 3n)], 3n);
    const [, after] = following(before, [deleteOf("e/1", 4n), putOf(kvOf("e/1", 5n))]);
    expect(after?.entries.map(({ key }) => key)).toEqual(["e/2", "e/1"]);
  });

  it("among keys created together is the lowest key", () => {
    expect(leaderOf(snapshotOf([kvOf("e/b", 2n), kvOf("e/a", 2n)], 2n))?.key).toBe("e/a");
  });
});

describe("an entry", () => {
  it("is found by its key, with its lease", () => {
    const snapshot = snapshotOf([kvOf("e/1", 2n), kvOf("e/2", 3n)], 3n);
    expect(entryFor(snapshot, "e/2")).toMatchObject({ key: "e/2", createRevision: 3n, leaseId: 7n });
    expect(entryFor(snapshot, "e/")).toBeUndefined();
  });
});

describe("keys that are no text", () => {
  const raw = (...bytes: number[]): Uint8Array => Buffer.from([...Buffer.from("e/"), ...bytes]);
  const rawKv = (key: Uint8Array, createRevision: bigint): KeyValue => ({ ...kvOf("", createRevision), key });

  it("are told from each other, and a deletion takes the right one", () => {
    const both = following(snapshotOf([rawKv(raw(0xff), 3n)], 3n), [putOf(rawKv(raw(0xfe), 4n))]).at(-1);
    expect(both?.entries).toHaveLength(2);
    const deletion = create(EventSchema, { type: DELETE, kv: { key: raw(0xfe), modRevision: 5n } });
    const [left] = following(both ?? snapshotOf([], 0n), [deletion]);
    expect(left?.entries.map(({ createRevision }) => createRevision)).toEqual([3n]);
  });

  it("of one revision are in the order of their bytes, as in etcd", () => {
    const emoji = "\u{1f600}";
    const { entries } = snapshotOf([kvOf(`e/${emoji}`, 3n), kvOf("e/\uffee", 3n)], 3n);
    expect(entries.map(({ key }) => key)).toEqual(["e/\uffee", `e/${emoji}`]);
  });
});

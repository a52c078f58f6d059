import { describe, expect, it } from "vitest";
import { KeyListeners } from "./key-listeners.ts";
import { deleteAt, kvOf, putAt } from "./testing/fake-election-store.ts";
import { following, type Snapshot, snapshotOf } from "./view.ts";

const QUEUE = ["e/1", "e/2", "e/3", "e/4"];

/** Listeners for each key of a queue, and who of them was told of what. */
function setUp() {
  const listeners = new KeyListeners();
  const told: string[] = [];
  const stops = new Map<string, () => void>();
  for (const key of QUEUE) {
    const listener = ({ revision }: Snapshot): void => void told.push(`${key} at ${revision}`);
    listeners.add(key, listener);
    stops.set(key, () => listeners.remove(key, listener));
  }
  let snapshot: Snapshot | undefined;
  const show = (next: Snapshot): void => {
    listeners.tell(snapshot, next);
    snapshot = next;
  };
  show(queueAt(10n));
  told.length = 0;
  const happen = (...events: ReturnType<typeof putAt>[]): void => {
    if (snapshot !== undefined) for (const next of following(snapshot, events)) show(next);
  };
  return { told, stops, show, happen };
}

function queueAt(revision: bigint): Snapshot {
  const kvs = QUEUE.map((key, index) => kvOf(key, BigInt(index + 1)));
  return snapshotOf(kvs, revision);
}

describe("those who listen for a key", () => {
  it("are told when the leader leaves: the one who left, and the one who leads", () => {
    const { told, happen } = setUp();
    happen(deleteAt(11n, "e/1"));
    expect(told.toSorted()).toEqual(["e/1 at 11", "e/2 at 11"]);
  });

  it("are told of their own key only, where the leader stays", () => {
    const { told, happen } = setUp();
    happen(deleteAt(11n, "e/3"), putAt(12n, "e/4"), putAt(13n, "e/5"));
    expect(told).toEqual(["e/3 at 11", "e/4 at 12"]);
  });

  it("are told when another comes before the leader", () => {
    const { told, happen } = setUp();
    const older = putAt(11n, "e/0");
    if (older.kv !== undefined) older.kv.createRevision = 0n;
    happen(older);
    expect(told).toEqual(["e/1 at 11"]);
  });

  it("are all told of what was read, since anything may have changed", () => {
    const { told, show } = setUp();
    show(queueAt(20n));
    expect(told).toEqual(QUEUE.map((key) => `${key} at 20`));
  });

  it("are told no more once they are taken off", () => {
    const { told, stops, happen, show } = setUp();
    stops.get("e/2")?.();
    happen(deleteAt(11n, "e/1"));
    expect(told).toEqual(["e/1 at 11"]);
    for (const stop of stops.values()) stop();
    show(queueAt(20n));
    expect(told).toEqual(["e/1 at 11"]);
  });
});

import { create } from "@bufbuild/protobuf";
import { EtcdError } from "@tenure/etcd";
import { ResponseHeaderSchema } from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";
import { deleteAt, FakeElectionStore, kvOf, putAt } from "./testing/fake-election-store.ts";
import { turn } from "./testing/turn.ts";

const TTL_MS = 9000;

describe("a view that opens", () => {
  it("watches from now on and reads at the same time", () => {
    const store = new FakeElectionStore();
    store.feed.open();
    expect([store.watches.length, store.reads.length]).toEqual([1, 1]);
    expect(store.watch.options).toEqual({ shared: true });
    expect(store.feed.snapshot).toBeUndefined();
  });

  it("leaves the read to the campaign that announced one", async () => {
    const store = new FakeElectionStore();
    store.feed.open(TTL_MS, true);
    const offer = store.feed.expectRead();
    await turn();
    await store.watch.created(5n);
    offer([kvOf("e/1", 5n)], 5n);
    await turn();
    expect(store.reads).toHaveLength(0);
    expect(store.snapshots).toEqual(["5: e/1"]);
  });

  it.each([5n, 6n])("is live with a read at revision %d when the watch stands at 5", async (revision) => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(5n);
    await store.read.answer(revision, kvOf("e/1", 3n));
    await store.watch.events(9n, putAt(9n, "e/2"));
    expect(store.reads).toHaveLength(1);
    expect(store.snapshots).toEqual([`${revision}: e/1`, "9: e/1 e/2"]);
  });

  it("is live when the read is answered before the watch stands", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.read.answer(5n, kvOf("e/1", 3n));
    await store.watch.created(5n);
    await store.watch.events(6n, deleteAt(6n, "e/1"));
    expect(store.reads).toHaveLength(1);
    expect(store.snapshots).toEqual(["5: e/1", "6:"]);
  });

  it("reads again when its read is older than the watch, and shows no event before that", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.read.answer(4n, kvOf("e/1", 3n));
    await store.watch.created(5n);
    expect(store.reads).toHaveLength(2);
    // e/1 was deleted at 5, which neither the first read nor the watch shows.
    await store.watch.events(6n, putAt(6n, "e/2"));
    expect(store.snapshots).toEqual(["4: e/1"]);
    await store.read.answer(6n, kvOf("e/2", 6n));
    expect(store.snapshots).toEqual(["4: e/1", "6: e/2"]);
  });

  it("counts an announced read once, however often it is offered", async () => {
    const store = new FakeElectionStore();
    store.feed.open(TTL_MS, true);
    const offer = store.feed.expectRead();
    offer(undefined, 4n);
    offer();
    await store.watch.created(5n);
    expect(store.reads).toHaveLength(1);
  });

  it("reads by itself when the announced read is too old, or failed", async () => {
    for (const old of [[kvOf("e/1", 3n)], undefined]) {
      const store = new FakeElectionStore();
      store.feed.open(TTL_MS, true);
      const offer = store.feed.expectRead();
      await turn();
      await store.watch.created(5n);
      expect(store.reads).toHaveLength(0);
      offer(old, 4n);
      expect(store.reads).toHaveLength(1);
      await store.read.answer(5n);
      await store.watch.events(6n, putAt(6n, "e/2"));
      expect(store.snapshots.at(-1)).toBe("6: e/2");
    }
  });

  it("applies the events that came before the read after it, those above it only", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(5n);
    await store.watch.events(6n, putAt(6n, "e/2"));
    await store.watch.events(8n, putAt(7n, "e/3"), deleteAt(8n, "e/2"));
    expect(store.snapshots).toEqual([]);
    await store.read.answer(7n, kvOf("e/2", 6n), kvOf("e/3", 7n));
    expect(store.snapshots).toEqual(["7: e/2 e/3", "8: e/3"]);
  });

  it("repeats a read that failed", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(5n);
    await store.read.fail(new EtcdError("unavailable", "lost"));
    expect(store.reads).toHaveLength(1);
    await store.resume();
    await store.read.answer(5n, kvOf("e/1", 3n));
    expect([store.reads.length, store.snapshots]).toEqual([2, ["5: e/1"]]);
  });
});

describe("a live view", () => {
  async function live(): Promise<FakeElectionStore> {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(5n);
    await store.read.answer(5n, kvOf("e/1", 3n));
    return store;
  }

  it("shows one snapshot for each revision, in order", async () => {
    const store = await live();
    await store.watch.events(8n, putAt(6n, "e/2"), putAt(6n, "e/3"), deleteAt(8n, "e/1"));
    expect(store.snapshots.slice(1)).toEqual(["6: e/1 e/2 e/3", "8: e/2 e/3"]);
  });

  it("is not moved by progress", async () => {
    const store = await live();
    await store.watch.send({ t: "progress", revision: 99n });
    expect(store.feed.snapshot?.revision).toBe(5n);
    await store.watch.events(6n, putAt(6n, "e/2"));
    expect(store.snapshots.at(-1)).toBe("6: e/1 e/2");
  });

  it("drops a read that is older than what it shows, and takes a newer one", async () => {
    const store = await live();
    await store.watch.events(7n, putAt(7n, "e/2"));
    const older = store.feed.expectRead();
    const same = store.feed.expectRead();
    const newer = store.feed.expectRead();
    older([kvOf("e/1", 3n)], 6n);
    same([kvOf("e/1", 3n)], 7n);
    expect(store.snapshots.at(-1)).toBe("7: e/1 e/2");
    newer([kvOf("e/2", 7n)], 9n);
    expect(store.snapshots.at(-1)).toBe("9: e/2");
    await store.watch.events(9n, deleteAt(8n, "e/1"), deleteAt(9n, "e/x"));
    expect(store.snapshots.at(-1)).toBe("9: e/2");
  });

  it("opens from now and reads again after a break, and shows what it missed", async () => {
    const store = await live();
    await store.watch.fail(new EtcdError("unavailable", "lost"));
    expect(store.watches).toHaveLength(1);
    await store.resume();
    expect(store.watches).toHaveLength(2);
    expect(store.watch.options).toEqual({ shared: true });
    await store.watch.created(9n);
    expect(store.reads).toHaveLength(2);
    await store.watch.events(10n, putAt(10n, "e/3"));
    expect(store.snapshots).toEqual(["5: e/1"]);
    await store.read.answer(9n, kvOf("e/2", 8n));
    expect(store.snapshots).toEqual(["5: e/1", "9: e/2", "10: e/2 e/3"]);
  });

  it("forgets the early events of a watch that broke before it was live", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(5n);
    await store.watch.events(6n, putAt(6n, "e/2"));
    await store.watch.fail(new EtcdError("compacted", "gone"));
    await store.resume();
    await store.watch.created(9n);
    // e/2 was deleted while nobody watched.
    await store.read.answer(9n);
    expect(store.snapshots).toEqual(["9:"]);
  });

  it("waits longer for each watch that fails, until one stands", async () => {
    const store = await live();
    const pauses: number[] = [];
    for (let round = 0; round < 5; round++) {
      await store.watch.fail(new EtcdError("unavailable", "lost"));
      pauses.push(...store.clock.due);
      await store.resume();
    }
    expect(pauses).toEqual([50, 100, 200, 400, 500]);
    await store.watch.created(5n);
    await store.watch.fail(new EtcdError("unavailable", "lost"));
    expect(store.clock.due).toEqual([50]);
  });
});

describe("a store that refuses", () => {
  it.each(["permission-denied", "unauthenticated", "unimplemented", "invalid-argument"] as const)(
    "the watch as %s is told to whoever looks, and asked again",
    async (code) => {
      const store = new FakeElectionStore();
      store.feed.open();
      await store.watch.fail(new EtcdError(code, "no"));
      expect(store.refusals).toEqual([code]);
      await store.resume();
      expect(store.watches).toHaveLength(2);
    },
  );

  it("the read is told too", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.read.fail(new EtcdError("permission-denied", "no"));
    expect(store.refusals).toEqual(["permission-denied"]);
  });

  it("for now only is not told", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    for (const code of ["unavailable", "deadline-exceeded", "compacted", "internal", "resource-exhausted"] as const) {
      await store.watch.fail(new EtcdError(code, "later"));
      await store.resume();
    }
    await store.read.fail(new EtcdError("unavailable", "later"));
    expect(store.refusals).toEqual([]);
    expect(store.watches).toHaveLength(6);
  });
});

describe("a view that closes", () => {
  it("ends its watch, its read and every pause, and tells nobody of it", async () => {
    const store = new FakeElectionStore();
    const close = store.feed.open();
    const [watch] = store.watches;
    await store.read.fail(new EtcdError("unavailable", "lost"));
    // The pause before the next read, and the wait for the watch.
    expect(store.clock.due).toHaveLength(2);
    close();
    await turn();
    expect(watch?.signal.aborted).toBe(true);
    expect(store.clock.due).toEqual([]);
    await turn();
    expect([store.watches.length, store.reads.length]).toEqual([1, 1]);
    expect([store.snapshots, store.refusals]).toEqual([[], []]);
  });

  it("ends with its client, even though somebody still looks", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.read.fail(new EtcdError("unavailable", "lost"));
    store.closed.abort();
    await turn();
    expect([store.watch.signal.aborted, store.clock.due]).toEqual([true, []]);
  });

  it("reads no more when its client is closed while it opens", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(5n);
    store.closed.abort();
    await turn();
    expect([store.reads.length, store.clock.due]).toEqual([1, []]);
  });

  it("shows nothing any more that arrives late", async () => {
    const store = new FakeElectionStore();
    const close = store.feed.open();
    const { watch, read } = store;
    close();
    await watch.created(5n);
    await watch.events(6n, putAt(6n, "e/2"));
    await read.answer(5n, kvOf("e/1", 3n));
    expect(store.snapshots).toEqual([]);
  });

  it("stays open while one of several users looks", async () => {
    const store = new FakeElectionStore();
    const first = store.feed.open();
    const second = store.feed.open();
    first();
    first();
    await turn();
    expect(store.watches.map(({ signal }) => signal.aborted)).toEqual([false]);
    second();
    await turn();
    expect(store.watches.map(({ signal }) => signal.aborted)).toEqual([true]);
  });

  it("starts from nothing when it is opened again", async () => {
    const store = new FakeElectionStore();
    const close = store.feed.open();
    await store.watch.created(5n);
    await store.read.answer(5n, kvOf("e/1", 3n));
    close();
    await turn();
    store.feed.open();
    expect(store.feed.snapshot).toBeUndefined();
    await store.watch.created(7n);
    await store.read.answer(7n, kvOf("e/2", 6n));
    expect([store.watches.length, store.reads.length]).toEqual([2, 2]);
    expect(store.snapshots).toEqual(["5: e/1", "7: e/2"]);
  });

  it("moves its watch when the cluster changes, even though it was opened again at once", async () => {
    const store = new FakeElectionStore();
    const close = store.feed.open();
    await turn();
    close();
    store.feed.open();
    await turn();
    const { watch } = store;
    store.lineage.answered(create(ResponseHeaderSchema, { clusterId: 1n, revision: 5n }), 0n);
    store.lineage.answered(create(ResponseHeaderSchema, { clusterId: 2n, revision: 5n }), 0n);
    expect(watch.signal.aborted).toBe(true);
  });
});

import { create } from "@bufbuild/protobuf";
import { ResponseHeaderSchema } from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";
import { FakeElectionStore, kvOf, putAt } from "./testing/fake-election-store.ts";
import { passTime } from "./testing/pass-time.ts";
import { turn } from "./testing/turn.ts";

const TTL_MS = 9000;
/** How long a watch may be silent when it was asked: a sixth of the TTL. */
const SILENCE_MS = 1500;

/** Some answer of the cluster, to any request. */
function shown(store: FakeElectionStore, revision: bigint, clusterId = 1n, atLeast = 0n): void {
  store.lineage.answered(create(ResponseHeaderSchema, { clusterId, revision }), atLeast);
}

async function liveAt(revision: bigint): Promise<FakeElectionStore> {
  const store = new FakeElectionStore();
  store.feed.open(TTL_MS);
  await store.watch.created(revision);
  await store.read.answer(revision, kvOf("e/1", 3n));
  return store;
}

describe("a watch of a member that froze (etcd#14641, #8980, #17611)", () => {
  it("is given up when it is not created in time, and its member is named as the cause", async () => {
    const store = new FakeElectionStore();
    store.feed.open(TTL_MS);
    const [frozen] = store.watches;
    await passTime(store.clock, SILENCE_MS - 1);
    expect(frozen?.signal.aborted).toBe(false);
    await passTime(store.clock, 1);
    expect(frozen?.signal.reason).toMatchObject({ name: "EtcdError", code: "deadline-exceeded" });
    await passTime(store.clock, 50);
    expect(store.watches).toHaveLength(2);
  });

  it("is given up when it does not answer, and the election is read again", async () => {
    const store = await liveAt(5n);
    const [frozen] = store.watches;
    await passTime(store.clock, 2 * SILENCE_MS);
    expect([frozen?.asked, frozen?.signal.aborted]).toEqual([1, false]);
    await passTime(store.clock, SILENCE_MS);
    expect(frozen?.signal.aborted).toBe(true);
    await passTime(store.clock, 50);
    await store.watch.created(7n);
    await store.read.answer(7n, kvOf("e/2", 6n));
    expect([store.watches.length, store.reads.length]).toEqual([2, 2]);
    expect(store.snapshots).toEqual(["5: e/1", "7: e/2"]);
  });

  it("is not asked while others that share its stream are answered", async () => {
    const store = await liveAt(5n);
    await passTime(store.clock, SILENCE_MS);
    await store.watch.send({ t: "progress", revision: 5n });
    await passTime(store.clock, 2 * SILENCE_MS - 1);
    expect(store.watch.asked).toBe(0);
    await passTime(store.clock, 1);
    expect(store.watch.asked).toBe(1);
  });

  it("is asked again while it does not answer, as a busy member loses questions", async () => {
    const store = await liveAt(5n);
    await passTime(store.clock, 2 * SILENCE_MS + SILENCE_MS / 2);
    expect(store.watch.asked).toBe(3);
    await store.watch.send({ t: "progress", revision: 5n });
    await passTime(store.clock, SILENCE_MS);
    expect([store.watch.asked, store.watches.length]).toEqual([3, 1]);
  });

  it("is asked as often as the shortest lease that depends on it is renewed", async () => {
    const store = await liveAt(5n);
    store.feed.open(3000);
    await passTime(store.clock, 2 * SILENCE_MS);
    await store.watch.send({ t: "progress", revision: 5n });
    await passTime(store.clock, 1000);
    expect(store.watch.asked).toBe(2);
  });
});

describe("a watch of a member that lags", () => {
  it("is given up when it does not reach what other answers have shown", async () => {
    const store = await liveAt(5n);
    const [lagging] = store.watches;
    shown(store, 9n);
    await passTime(store.clock, 2 * SILENCE_MS);
    await store.watch.send({ t: "progress", revision: 8n });
    await passTime(store.clock, SILENCE_MS / 4);
    expect(lagging?.asked).toBe(2);
    await store.watch.send({ t: "progress", revision: 8n });
    await passTime(store.clock, SILENCE_MS);
    expect(lagging?.signal.reason).toMatchObject({ code: "deadline-exceeded" });
  });

  it("stays when it catches up in time, by an answer or by events", async () => {
    const store = await liveAt(5n);
    const [lagging] = store.watches;
    shown(store, 9n);
    await passTime(store.clock, 2 * SILENCE_MS);
    await store.watch.send({ t: "progress", revision: 8n });
    await store.watch.events(9n, putAt(9n, "e/2"));
    await passTime(store.clock, SILENCE_MS);
    expect([lagging?.asked, lagging?.signal.aborted]).toEqual([1, false]);
  });

  it("need not know what was shown after it was asked", async () => {
    const store = await liveAt(5n);
    await passTime(store.clock, 2 * SILENCE_MS);
    shown(store, 9n);
    await store.watch.send({ t: "progress", revision: 5n });
    await passTime(store.clock, SILENCE_MS);
    expect(store.watches).toHaveLength(1);
  });

  it("takes its progress as no news of the election: only events and reads move the view", async () => {
    const store = await liveAt(5n);
    await store.watch.send({ t: "progress", revision: 100n });
    await store.watch.events(7n, putAt(7n, "e/2"));
    expect(store.snapshots).toEqual(["5: e/1", "7: e/1 e/2"]);
  });
});

describe("a watch while the process stood still", () => {
  it("is not given up at once: its answer may be here, unread", async () => {
    const store = await liveAt(5n);
    await passTime(store.clock, 2 * SILENCE_MS);
    store.clock.freeze(60_000);
    await passTime(store.clock, 0);
    await store.watch.send({ t: "progress", revision: 5n });
    await passTime(store.clock, SILENCE_MS);
    expect(store.watches).toHaveLength(1);
  });
});

describe("a cluster that changes under the view (etcd#16028)", () => {
  it.each([
    ["another cluster answers", 2n, 3n],
    ["the cluster was set back", 1n, 3n],
  ])(
    "%s: everything is watched and read anew, and what was asked before counts no more",
    async (_what, id, revision) => {
      const store = await liveAt(5n);
      shown(store, 5n);
      const old = store.feed.expectRead();
      shown(store, revision, id, 5n);
      expect(store.feed.snapshot).toBeUndefined();
      old([kvOf("e/9", 9n)], 9n);
      await turn();
      await passTime(store.clock, 50);
      await store.watch.created(3n);
      await store.read.answer(3n, kvOf("e/2", 2n));
      expect(store.snapshots).toEqual(["5: e/1", "3: e/2"]);
    },
  );
});

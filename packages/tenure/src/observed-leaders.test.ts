import { EtcdError } from "@tenure/etcd";
import { afterEach, describe, expect, it, vi } from "vitest";
import { TenureError } from "./errors.ts";
import { type LeaderChange, observeLeaders } from "./leader.ts";
import { deleteAt, FakeElectionStore, kvOf, putAt } from "./testing/fake-election-store.ts";
import { turn } from "./testing/turn.ts";
import type { ViewFeed } from "./view-feed.ts";

function changesOf(
  feed: ViewFeed,
  signal: AbortSignal,
  release: () => void = () => undefined,
): AsyncGenerator<LeaderChange, void, undefined> {
  const look = { feed, isSelf: () => false, signal, release, explained: (error: TenureError) => error };
  return observeLeaders(
    () => look,
    (change) => change,
  );
}

/** Everything an observer was shown, as `revision: leader's key`, and how its loop ended. */
class Observer {
  readonly seen: string[] = [];
  readonly stop = new AbortController();
  ended: unknown = "not ended";

  constructor(store: FakeElectionStore) {
    void this.#observe(store);
  }

  async #observe({ feed }: FakeElectionStore): Promise<void> {
    try {
      for await (const { leader, revision } of changesOf(feed, this.stop.signal)) {
        this.seen.push(`${revision}: ${leader?.key ?? "nobody"}`);
      }
      this.ended = "without an error";
    } catch (error) {
      this.ended = error;
    }
  }
}

describe("an observer", () => {
  const observers: Observer[] = [];
  afterEach(() => {
    for (const { stop } of observers.splice(0)) stop.abort();
  });

  async function observing(store: FakeElectionStore): Promise<Observer> {
    const observer = new Observer(store);
    observers.push(observer);
    await turn();
    return observer;
  }

  // Go's takes the first put of a backlog for the leader, though that key may have gone, or be behind others.
  it("that finds a backlog of events names nobody who did not lead (etcd#18163)", async () => {
    const store = new FakeElectionStore();
    const observer = await observing(store);
    await store.watch.created(5n);
    await store.watch.events(6n, putAt(6n, "e/2"));
    await store.watch.events(8n, putAt(7n, "e/3"), deleteAt(8n, "e/2"));
    expect(observer.seen).toEqual([]);
    await store.read.answer(8n, kvOf("e/3", 7n));
    await store.watch.events(9n, putAt(9n, "e/1"));
    await turn();
    expect(observer.seen).toEqual(["8: e/3"]);
  });

  it("is shown the one that leads at each revision, and not the last that came (etcd#18163)", async () => {
    const store = new FakeElectionStore();
    const observer = await observing(store);
    await store.watch.created(5n);
    await store.read.answer(5n);
    await store.watch.events(9n, putAt(6n, "e/2"), putAt(7n, "e/1"), deleteAt(8n, "e/2"), deleteAt(9n, "e/1"));
    await turn();
    expect(observer.seen).toEqual(["5: nobody", "6: e/2", "8: e/1", "9: nobody"]);
  });

  // Go's ends when its watch does, without a word; kube-vip crashed on that.
  it.each([
    new EtcdError("compacted", "compacted"),
    new EtcdError("unavailable", "lost"),
    new EtcdError("aborted", "given up"),
  ])(
    "goes on after its watch ended as $code, and is told only of what changed (etcd#7815, kube-vip#1725)",
    async (end) => {
      const store = new FakeElectionStore();
      const observer = await observing(store);
      await store.watch.created(5n);
      await store.read.answer(5n, kvOf("e/1", 3n));
      for (const revision of [6n, 7n]) {
        await store.watch.fail(end);
        await store.resume();
        await store.watch.created(revision);
        await store.read.answer(revision, kvOf("e/1", 3n));
      }
      await store.watch.events(8n, deleteAt(8n, "e/1"));
      await turn();
      expect([observer.seen, observer.ended]).toEqual([["5: e/1", "8: nobody"], "not ended"]);
    },
  );

  it("ends with an error of a closed set when the store refuses to show the election", async () => {
    const store = new FakeElectionStore();
    const observer = await observing(store);
    await store.watch.fail(new EtcdError("permission-denied", "etcdserver: permission denied"));
    await turn();
    expect(observer.ended).toBeInstanceOf(TenureError);
    expect(observer.ended).toMatchObject({ code: "permission-denied" });
  });

  it("ends without an error when its signal aborts", async () => {
    const store = new FakeElectionStore();
    const observer = await observing(store);
    observer.stop.abort();
    await turn();
    expect(observer.ended).toBe("without an error");
    expect(store.feed.idle).toBe(true);
  });

  it("that does not read for long is shown the newest state last, and holds a limited number of them", async () => {
    const store = new FakeElectionStore();
    const stop = new AbortController();
    const leaders = changesOf(store.feed, stop.signal);
    const first = leaders.next();
    await store.watch.created(5n);
    await store.read.answer(5n);
    await first;
    const states = 3000;
    for (let revision = 6n; revision < 6n + BigInt(states); revision++) {
      const change = revision % 2n === 0n ? putAt(revision, "e/1") : deleteAt(revision, "e/1");
      await store.watch.events(revision, change);
    }
    const seen: bigint[] = [];
    while (seen.length < 1024) seen.push((await leaders.next()).value?.revision ?? 0n);
    expect(seen.at(-1)).toBe(5n + BigInt(states));
    expect(seen).toEqual(seen.toSorted((a, b) => Number(a - b)));
    stop.abort();
    expect((await leaders.next()).done).toBe(true);
  });

  it("lets go of its signal when the loop ends, and closes the view, whatever ends it", async () => {
    const end = {
      return: (leaders: ReturnType<typeof changesOf>) => leaders.return(),
      throw: (leaders: ReturnType<typeof changesOf>) => leaders.throw(new Error("enough")),
      abort: (leaders: ReturnType<typeof changesOf>, stop: AbortController) => {
        stop.abort();
        return leaders.next();
      },
    };
    for (const how of ["return", "throw", "abort"] as const) {
      const store = new FakeElectionStore();
      const [stop, release] = [new AbortController(), vi.fn<() => void>()];
      const leaders = changesOf(store.feed, stop.signal, release);
      const first = leaders.next();
      await store.watch.created(5n);
      await store.read.answer(5n);
      await first;
      expect([release.mock.calls.length, store.feed.idle]).toEqual([0, false]);
      await end[how](leaders, stop).catch(() => undefined);
      expect([how, release.mock.calls.length, store.feed.idle]).toEqual([how, 1, true]);
    }
  });
});

import { EtcdError } from "@tenure/etcd";
import { describe, expect, it } from "vitest";
import { deleteAt, FakeElectionStore, kvOf, putAt } from "./testing/fake-election-store.ts";

describe("a feed that many join", () => {
  const crowd = Array.from({ length: 16 }, (_, index) => kvOf(`e/${(index + 16).toString(16)}`, BigInt(index + 1)));

  it("needs no more reads while as many are under way, and needs one as soon as they are fewer", () => {
    const store = new FakeElectionStore();
    store.feed.open();
    const [offer, ...others] = Array.from({ length: 15 }, () => store.feed.expectRead());
    expect([others.length, store.feed.readsEnough]).toEqual([14, true]);
    offer?.();
    expect(store.feed.readsEnough).toBe(false);
  });

  it("needs no more reads while its watch shows so many candidates, and needs them for fewer", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.read.answer(20n, ...crowd);
    expect(store.feed.readsEnough).toBe(false);
    await store.watch.created(20n);
    expect(store.feed.readsEnough).toBe(true);
    await store.watch.events(21n, deleteAt(21n, "e/10"));
    expect(store.feed.readsEnough).toBe(false);
  });

  it("needs reads again when its watch breaks", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(20n);
    await store.read.answer(20n, ...crowd);
    await store.watch.fail(new EtcdError("unavailable", "lost"));
    await store.resume();
    expect(store.feed.readsEnough).toBe(false);
  });

  it("knows of a key that is no candidate's as long as it is there, however it came", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(20n);
    await store.read.answer(20n, ...crowd, kvOf("e/other", 20n));
    expect(store.feed.foreign?.key).toBe("e/other");
    await store.watch.events(21n, putAt(21n, "e/abc"));
    expect(store.feed.foreign?.key).toBe("e/other");
    await store.watch.events(22n, deleteAt(22n, "e/other"));
    expect(store.feed.foreign).toBeUndefined();
    await store.watch.events(23n, putAt(23n, "e/nested/1"));
    expect(store.feed.foreign?.key).toBe("e/nested/1");
  });

  it("knows of such a key whose name is no text", async () => {
    const store = new FakeElectionStore();
    store.feed.open();
    await store.watch.created(20n);
    await store.read.answer(20n, ...crowd);
    const name = Buffer.concat([Buffer.from("e/"), Buffer.of(0xff)]);
    const kv = { ...kvOf("", 21n), key: name };
    await store.watch.events(21n, { ...putAt(21n, ""), kv });
    expect(store.feed.foreign?.leaseId).toBe(kv.lease);
  });
});

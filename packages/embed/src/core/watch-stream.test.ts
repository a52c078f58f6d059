import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { WatchCreateRequest_FilterType as FilterType, WatchRequestSchema } from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";

import { bytes, type TestWatch, TestServer } from "../testing/test-server.ts";

const all = { key: bytes("\0"), rangeEnd: bytes("\0") };

function handle(watch: TestWatch, requestUnion: MessageInitShape<typeof WatchRequestSchema>["requestUnion"]): void {
  watch.stream.handle(create(WatchRequestSchema, requestUnion === undefined ? {} : { requestUnion }));
}

function withTxn(etcd: TestServer, ...keys: string[]): void {
  const ops = keys.map((key) => ({
    request: { case: "requestPut" as const, value: { key: bytes(key) } },
  }));
  etcd.txn({ success: ops });
}

describe("a watch", () => {
  it("says at which revision it was created, and then what happens", () => {
    const etcd = new TestServer();
    etcd.put("a", "1");
    const watch = etcd.watch();
    watch.create({ key: bytes("a") });
    expect(watch.responses).toMatchObject([{ created: true, watchId: 0n, events: [], header: { revision: 101n } }]);
    etcd.put("a", "2");
    etcd.put("b", "2");
    etcd.delete("a");
    expect(watch.responses[1]?.header?.revision).toBe(102n);
    expect(watch.takeEvents()).toEqual(["PUT a=2@102", "DELETE a@104"]);
  });

  it("starts in the past with all that happened since", () => {
    const etcd = new TestServer();
    etcd.put("a", "1");
    etcd.put("a", "2");
    etcd.delete("a");
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), startRevision: 102n, prevKv: true });
    expect(watch.takeEvents()).toEqual(["PUT a=2@102 was 1", "DELETE a@103 was 2"]);
    etcd.put("a", "3");
    expect(watch.takeEvents()).toEqual(["PUT a=3@104"]);
  });

  it("starts with the first event when its revision is before the first", () => {
    const etcd = new TestServer();
    etcd.put("a", "1");
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), startRevision: 1n });
    expect(watch.takeEvents()).toEqual(["PUT a=1@101"]);
  });

  it("starts in the future and hears nothing before", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), startRevision: 102n });
    etcd.put("a", "1");
    etcd.put("a", "2");
    expect(watch.takeEvents()).toEqual(["PUT a=2@102"]);
  });

  it("is created and then canceled when its start is compacted", () => {
    const etcd = new TestServer();
    for (const value of ["1", "2", "3"]) etcd.put("a", value);
    etcd.compact(103n);
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), startRevision: 102n });
    expect(watch.responses).toMatchObject([
      { created: true, canceled: false },
      { created: false, canceled: true, compactRevision: 103n },
    ]);
    watch.create({ key: bytes("a"), startRevision: 103n });
    expect(watch.takeEvents()).toEqual(["PUT a=3@103"]);
  });

  it("gets the deletion at the compacted revision itself", () => {
    const etcd = new TestServer();
    etcd.put("a", "1");
    etcd.delete("a");
    etcd.compact(102n);
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), startRevision: 102n, prevKv: true });
    expect(watch.takeEvents()).toEqual(["DELETE a@102"]);
  });

  it("gets all events of a revision in one answer", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), rangeEnd: bytes("c") });
    withTxn(etcd, "a", "b", "c");
    expect(watch.responses).toHaveLength(2);
    expect(watch.takeEvents()).toEqual(["PUT a=@101", "PUT b=@101"]);
  });

  it("can leave out puts or deletions", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    watch.create({ ...all, filters: [FilterType.NOPUT] });
    watch.create({ ...all, filters: [FilterType.NODELETE] });
    etcd.put("a", "1");
    expect(watch.responses.slice(2).map(({ watchId }) => watchId)).toEqual([1n]);
    etcd.delete("a");
    expect(watch.responses.slice(3).map(({ watchId }) => watchId)).toEqual([0n]);
  });

  it("splits a large answer when it may come in fragments", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    const value = "x".repeat(1_000_000);
    for (const key of ["a", "b", "c"]) etcd.put(key, value);
    watch.create({ ...all, startRevision: 101n, fragment: true });
    expect(watch.responses.slice(1).map(({ fragment }) => fragment)).toEqual([true, true, false]);
    watch.create({ ...all, startRevision: 101n });
    expect(watch.responses.at(-1)?.events).toHaveLength(3);
  });
});

describe("a watch stream", () => {
  it("numbers watches itself and skips the numbers the client chose", () => {
    const watch = new TestServer().watch();
    watch.create({ ...all, watchId: 1n });
    watch.create(all);
    watch.create(all);
    expect(watch.responses.map(({ watchId }) => watchId)).toEqual([1n, 0n, 2n]);
  });

  it.each([
    ["a number that is taken", { watchId: 7n }, "mvcc: duplicate watch ID provided on the WatchStream"],
    ["an empty range", { key: bytes("b"), rangeEnd: bytes("a") }, "mvcc: watcher range is empty"],
    ["a negative revision", { startRevision: -1n }, "etcdserver: mvcc: required revision has been compacted"],
  ])("refuses %s and stays open", (_, request, cancelReason) => {
    const watch = new TestServer().watch();
    watch.create({ ...all, watchId: 7n });
    watch.create({ ...all, ...request });
    expect(watch.responses[1]).toMatchObject({
      watchId: -1n,
      created: true,
      canceled: true,
      cancelReason,
    });
    watch.create(all);
    expect(watch.responses[2]).toMatchObject({ watchId: 0n, canceled: false });
  });

  it("cancels a watch, after which nothing comes from it", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    watch.create({ key: bytes("a") });
    handle(watch, { case: "cancelRequest", value: { watchId: 0n } });
    handle(watch, { case: "cancelRequest", value: { watchId: 0n } });
    etcd.put("a", "1");
    expect(watch.responses.slice(1)).toMatchObject([{ watchId: 0n, canceled: true, created: false }]);
  });

  it("answers a progress request once for all watches, and not without any", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    handle(watch, { case: "progressRequest", value: {} });
    expect(watch.responses).toEqual([]);
    watch.create({ key: bytes("a") });
    watch.create({ key: bytes("b") });
    etcd.put("c", "1");
    handle(watch, { case: "progressRequest", value: {} });
    expect(watch.responses.slice(2)).toMatchObject([{ watchId: -1n, events: [], header: { revision: 101n } }]);
  });

  it("does not answer a progress request while a watch waits for the future", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), startRevision: 102n });
    handle(watch, { case: "progressRequest", value: {} });
    expect(watch.responses).toHaveLength(1);
  });

  it("tells idle watches their progress every ten minutes if they want that", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), progressNotify: true });
    watch.create({ key: bytes("b") });
    etcd.clock.advance(600_000);
    etcd.server.tick();
    expect(watch.responses.slice(2)).toMatchObject([{ watchId: 0n, events: [] }]);
  });

  it("hears nothing after it is closed", () => {
    const etcd = new TestServer();
    const watch = etcd.watch();
    watch.create(all);
    etcd.server.closeWatch(watch.stream);
    etcd.put("a", "1");
    expect(watch.responses).toHaveLength(1);
  });
});

describe("a watch stream whose client is slow", () => {
  it("holds events back and misses none", () => {
    const etcd = new TestServer();
    const watch = etcd.watch(3);
    watch.create({ key: bytes("a") });
    watch.create(all);
    etcd.put("a", "1");
    etcd.put("a", "2");
    etcd.put("b", "1");
    expect(watch.takeEvents()).toEqual(["PUT a=1@101"]);
    for (let i = 0; i < 10; i += 1) watch.stream.drain();
    const events = watch.takeEvents().sort();
    expect(events).toEqual(["PUT a=1@101", "PUT a=2@102", "PUT a=2@102", "PUT b=1@103"]);
    handle(watch, { case: "cancelRequest", value: { watchId: 0n } });
    etcd.put("a", "3");
    expect(watch.responses.map(({ canceled }) => canceled)).toEqual([true]);
    watch.stream.drain();
    expect(watch.takeEvents()).toEqual(["PUT a=3@104"]);
  });

  it("is told when what it would see next is compacted, and only then", () => {
    const etcd = new TestServer();
    const watch = etcd.watch(3);
    watch.create({ key: bytes("a") });
    watch.create({ key: bytes("idle") });
    for (const value of ["1", "2", "3"]) etcd.put("a", value);
    etcd.compact(103n);
    for (let i = 0; i < 10; i += 1) watch.stream.drain();
    expect(watch.responses.slice(3)).toMatchObject([{ watchId: 0n, canceled: true, compactRevision: 103n }]);
    etcd.put("idle", "1");
    watch.stream.drain();
    expect(watch.takeEvents()).toEqual(["PUT a=1@101", "PUT idle=1@104"]);
  });
});

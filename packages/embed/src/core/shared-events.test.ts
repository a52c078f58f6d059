import { WatchCreateRequest_FilterType as FilterType } from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";

import { bytes, TestServer } from "../testing/test-server.ts";
import { KeyHistory } from "./key-index.ts";
import type { Change } from "./kvstore.ts";
import { eventOf } from "./messages.ts";
import { SharedEvents } from "./shared-events.ts";

const all = { key: bytes("\0"), rangeEnd: bytes("\0") };

describe("the events of a commit", () => {
  it("are one list for all watches that want the same of it", () => {
    const etcd = new TestServer();
    etcd.put("a", "0");
    const watches = [all, all, { key: bytes("a") }, { ...all, prevKv: true }].map((request) => {
      const watch = etcd.watch();
      watch.create(request);
      return watch;
    });
    etcd.put("a", "1");
    const [first, ...others] = watches.map(({ responses }) => responses[1]?.events);
    expect(others.map((events) => events === first)).toEqual([true, true, false]);
    expect(watches.map((watch) => watch.takeEvents())).toEqual([
      ["PUT a=1@102"],
      ["PUT a=1@102"],
      ["PUT a=1@102"],
      ["PUT a=1@102 was 0"],
    ]);
  });

  it("are those that each watch wants, in order, where they want different ones", () => {
    const etcd = new TestServer();
    for (const key of ["a", "b", "c"]) etcd.put(key, "0");
    const requests = [
      all,
      { key: bytes("b") },
      { key: bytes("b"), rangeEnd: bytes("d") },
      { ...all, filters: [FilterType.NODELETE] },
      { ...all, filters: [FilterType.NOPUT] },
    ];
    const watches = requests.map((request) => {
      const watch = etcd.watch();
      watch.create(request);
      return watch;
    });
    const request = { key: bytes("b") };
    etcd.txn({
      success: [
        { request: { case: "requestPut", value: { key: bytes("c"), value: bytes("1") } } },
        { request: { case: "requestDeleteRange", value: request } },
        { request: { case: "requestPut", value: { key: bytes("a"), value: bytes("1") } } },
      ],
    });
    const [c, b, a] = ["PUT c=1@104", "DELETE b@104", "PUT a=1@104"];
    expect(watches.map((watch) => watch.takeEvents())).toEqual([[c, b, a], [b], [c, b], [c, a], [b]]);
  });

  it("are made when a list is asked for, and not for each that is shorter", () => {
    const made: Change[] = [];
    const empty = new SharedEvents((change) => {
      made.push(change);
      return eventOf(change, undefined);
    });
    const changes = Array.from({ length: 3 }, (_, index) => deletionOf(`k${index}`));
    const list = changes.reduce((shorter, change) => shorter.and(change), empty);
    expect(made).toEqual([]);
    expect(list.events.map(({ kv }) => Buffer.from(kv?.key ?? []).toString())).toEqual(["k0", "k1", "k2"]);
    expect(list.events).toBe(list.events);
    expect(made).toHaveLength(3);
    expect(empty.events).toEqual([]);
  });
});

function deletionOf(key: string): Change {
  const value = new Uint8Array(0);
  const version = { modRevision: 1, subRevision: 0, createRevision: 0, version: 0, value, lease: 0n };
  return { history: new KeyHistory(key), version };
}

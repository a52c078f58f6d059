import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { EtcdError } from "@tenure/etcd";
import { ResponseHeaderSchema } from "@tenure/etcd/rpc";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { deleteAt, FakeElectionStore, kvOf, putAt } from "./testing/fake-election-store.ts";
import { FakeLeases, PROVEN_MS, TTL_MS, unanswered } from "./testing/fake-leases.ts";
import { passTime } from "./testing/pass-time.ts";
import { turn } from "./testing/turn.ts";

const CHANNELS = [
  "tenure:session:granted",
  "tenure:session:doubted",
  "tenure:session:cleared",
  "tenure:session:ended",
  "tenure:keep-alive:sent",
  "tenure:keep-alive:answered",
  "tenure:keep-alive:silent",
  "tenure:watch:opened",
  "tenure:watch:created",
  "tenure:watch:moved",
  "tenure:watch:broken",
  "tenure:leader:changed",
  "tenure:candidates:changed",
];

/** What was published since it was taken last, in order. */
let published: [string, unknown][] = [];
const taken = (): [string, unknown][] => published.splice(0);
const onMessage = (message: unknown, name: string | symbol): void =>
  void published.push([String(name).replace("tenure:", ""), message]);

beforeEach(() => {
  published = [];
  for (const name of CHANNELS) subscribe(name, onMessage);
});
afterEach(() => {
  for (const name of CHANNELS) unsubscribe(name, onMessage);
});

describe("a session tells", () => {
  it("that it is granted, and of each keep-alive with what is left of the lease", async () => {
    const store = new FakeLeases();
    const { leaseId, ttlMs } = await store.session();
    await passTime(store.clock, TTL_MS / 3);
    expect(taken()).toEqual([
      ["session:granted", { leaseId, ttlMs }],
      ["keep-alive:sent", { leaseId }],
      ["keep-alive:answered", { leaseId, roundTripMs: 0, leftMs: PROVEN_MS - 3000 }],
    ]);
    store.onKeepAlive = unanswered;
    await passTime(store.clock, TTL_MS / 3 + 100);
    store.streams[0]?.answer(9);
    await turn();
    expect(taken()).toEqual([
      ["keep-alive:sent", { leaseId }],
      ["keep-alive:answered", { leaseId, roundTripMs: 100, leftMs: PROVEN_MS - 3100 }],
    ]);
  });

  it("that an answer is overdue, and that it is over", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const { leaseId, ttlMs } = await store.session();
    await passTime(store.clock, TTL_MS / 3 + TTL_MS / 6);
    expect(taken().slice(1)).toEqual([
      ["keep-alive:sent", { leaseId }],
      ["keep-alive:silent", { leaseId, silentMs: 1500 }],
      ["keep-alive:sent", { leaseId }],
    ]);
    await passTime(store.clock, PROVEN_MS);
    const reason = expect.stringContaining("no keep-alive was answered in time") as string;
    const ends = taken().filter(([name]) => name === "session:ended");
    expect(ends).toEqual([["session:ended", { leaseId, ttlMs, why: "expired", reason }]]);
  });

  it("that it is in doubt after a stall, and out of it", async () => {
    const store = new FakeLeases();
    const { leaseId, ttlMs } = await store.session();
    taken();
    store.clock.freeze(2000);
    await passTime(store.clock, 0);
    expect(taken()).toEqual([
      ["session:doubted", { leaseId, ttlMs, stalledMs: 2000 }],
      ["keep-alive:sent", { leaseId }],
      ["keep-alive:answered", { leaseId, roundTripMs: 0, leftMs: PROVEN_MS - 2000 }],
      ["session:cleared", { leaseId, ttlMs }],
    ]);
  });
});

describe("a view tells", () => {
  const prefix = "e/";
  const silenceMs = TTL_MS / 6;

  async function live(): Promise<FakeElectionStore> {
    const store = new FakeElectionStore();
    store.feed.open(TTL_MS);
    await store.watch.created(5n);
    await store.read.answer(5n, kvOf("e/1", 3n));
    return store;
  }

  it("of its watch, of each change of leader, and of how many stand, but of no other change", async () => {
    const store = await live();
    expect(taken()).toEqual([
      ["watch:opened", { prefix }],
      ["watch:created", { prefix, revision: 5n }],
      ["leader:changed", { prefix, key: "e/1", token: 3n, revision: 5n }],
      ["candidates:changed", { prefix, candidates: 1, revision: 5n }],
    ]);
    await store.watch.events(6n, putAt(6n, "e/2"));
    expect(taken()).toEqual([["candidates:changed", { prefix, candidates: 2, revision: 6n }]]);
    await store.watch.events(7n, deleteAt(7n, "e/1"));
    await store.watch.events(8n, deleteAt(8n, "e/2"));
    expect(taken()).toEqual([
      ["leader:changed", { prefix, key: "e/2", token: 6n, revision: 7n }],
      ["candidates:changed", { prefix, candidates: 1, revision: 7n }],
      ["leader:changed", { prefix, key: null, token: null, revision: 8n }],
      ["candidates:changed", { prefix, candidates: 0, revision: 8n }],
    ]);
  });

  it("of a watch that broke, once, and of the next one", async () => {
    const store = await live();
    taken();
    await store.watch.fail(new EtcdError("unavailable", "the connection was lost"));
    await passTime(store.clock, 50);
    expect(taken()).toEqual([
      ["watch:broken", { prefix, code: "unavailable", reason: "the connection was lost" }],
      ["watch:opened", { prefix }],
    ]);
  });

  it("of a watch that broke not that it is moved, when the cluster changes before there is the next one", async () => {
    const store = await live();
    const shown = (clusterId: bigint): void =>
      store.lineage.answered(create(ResponseHeaderSchema, { clusterId, revision: 5n }), 0n);
    shown(1n);
    await store.watch.fail(new EtcdError("unavailable", "the connection was lost"));
    taken();
    shown(2n);
    await passTime(store.clock, 50);
    expect(taken()).toEqual([["watch:opened", { prefix }]]);
  });

  it("of a watch that is moved for its silence", async () => {
    const store = await live();
    taken();
    await passTime(store.clock, 3 * silenceMs);
    await passTime(store.clock, 50);
    expect(taken()).toEqual([
      ["watch:moved", { prefix, why: "silent" }],
      ["watch:opened", { prefix }],
    ]);
  });

  it("of a watch that is moved because it lags", async () => {
    const store = await live();
    store.lineage.answered(create(ResponseHeaderSchema, { clusterId: 1n, revision: 9n }), 0n);
    taken();
    await passTime(store.clock, 2 * silenceMs);
    await store.watch.send({ t: "progress", revision: 8n });
    await passTime(store.clock, silenceMs);
    expect(taken().slice(0, 1)).toEqual([["watch:moved", { prefix, why: "lagging" }]]);
  });

  it("of a watch that is moved to another cluster", async () => {
    const store = await live();
    const shown = (clusterId: bigint): void =>
      store.lineage.answered(create(ResponseHeaderSchema, { clusterId, revision: 5n }), 0n);
    shown(1n);
    taken();
    shown(2n);
    await passTime(store.clock, 50);
    expect(taken()).toEqual([
      ["watch:moved", { prefix, why: "cluster-changed" }],
      ["watch:opened", { prefix }],
    ]);
  });
});

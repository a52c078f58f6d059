import { channel } from "node:diagnostics_channel";
import { ManualClock } from "@tenure/etcd/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StoreFacts } from "./store-facts.ts";

const LEASE = { leaseId: 0xaan, ttlMs: 10_000 };
const CANDIDATE = { prefix: "job/", key: "job/aa", token: 7n };

describe("what is heard of the store", () => {
  let clock: ManualClock;
  let facts: StoreFacts;
  const publish = (name: string, event: object): void => channel(`tenure:${name}`).publish(event);

  beforeEach(() => {
    clock = new ManualClock();
    facts = new StoreFacts(clock);
  });
  afterEach(() => facts[Symbol.dispose]());

  it("shows a candidate as long as its lease is proven", () => {
    publish("candidate:queued", CANDIDATE);
    expect(facts.standsWith("job/")).toBeUndefined();
    publish("session:granted", LEASE);
    expect(facts.standsWith("job/")).toBe(7n);
    expect(facts.standsWith("other/")).toBeUndefined();
    clock.advance(5000);
    publish("keep-alive:answered", { leaseId: LEASE.leaseId, roundTripMs: 100, leftMs: 4300 });
    // Counted from its sending: a TTL less 1 % and half a second.
    clock.advance(9299);
    expect(facts.standsWith("job/")).toBe(7n);
    clock.advance(1);
    expect(facts.standsWith("job/")).toBeUndefined();
  });

  it("shows none while its lease is in doubt, or over", () => {
    publish("session:granted", LEASE);
    publish("candidate:queued", CANDIDATE);
    publish("session:doubted", { ...LEASE, stalledMs: 900 });
    expect(facts.standsWith("job/")).toBeUndefined();
    publish("session:cleared", LEASE);
    expect(facts.standsWith("job/")).toBe(7n);
    publish("session:ended", { ...LEASE, why: "revoked", reason: "" });
    expect(facts.standsWith("job/")).toBeUndefined();
    expect([facts.newestToken("job/"), facts.newestToken("other/")]).toEqual([7n, undefined]);
    expect(facts.doubts).toBe(1);
  });

  it("measures from one answer of a lease to the next, and since the last one", () => {
    expect(facts.keepAliveAgeMs).toBe(0);
    publish("session:granted", LEASE);
    publish("session:granted", { leaseId: 0xbbn, ttlMs: 60_000 });
    clock.advance(2000);
    expect(facts.intervalSeconds.sum).toBe(0);
    publish("keep-alive:answered", { leaseId: LEASE.leaseId, roundTripMs: 100, leftMs: 4300 });
    expect([facts.intervalSeconds.sum, facts.keepAliveAgeMs]).toEqual([2, 2000]);
    publish("session:ended", { leaseId: 0xbbn, ttlMs: 60_000, why: "closed", reason: "" });
    clock.advance(300);
    expect(facts.keepAliveAgeMs).toBe(300);
  });

  it("knows how many stand in each election", () => {
    publish("candidates:changed", { prefix: "job/", candidates: 3, revision: 3n });
    publish("candidates:changed", { prefix: "job/", candidates: 2, revision: 4n });
    expect([facts.candidates("job/"), facts.candidates("other/")]).toEqual([2, 0]);
  });

  it("remembers who led before, and when it saw the change", () => {
    publish("leader:changed", { prefix: "job/", key: "job/bb", token: 3n, revision: 3n });
    clock.advance(50);
    publish("leader:changed", { prefix: "job/", key: "job/aa", token: 7n, revision: 8n });
    expect(facts.leaderSeen("job/")).toEqual({ key: "job/aa", before: "job/bb", at: clock.now() });
    expect(facts.leaderSeen("other/")).toBeUndefined();
  });

  it("counts what went wrong, and hears nothing once it is over", () => {
    const trouble = (): void => {
      publish("rpc:retried", {});
      publish("connection:failed", {});
      publish("connection:closed", { why: "lost" });
      publish("connection:closed", { why: "closed" });
      publish("watch:moved", { why: "lagging" });
      publish("watch:broken", {});
      publish("keep-alive:silent", {});
      publish("keep-alive:answered", { leaseId: 1n, roundTripMs: 3, leftMs: 6000 });
    };
    trouble();
    const counted = (): unknown => [
      [...facts.errors.values()],
      [...facts.watchResyncs.values()],
      facts.keepAlivesOverdue,
      facts.keepAliveSeconds.sum,
      facts.leftSeconds.sum,
      facts.lastAnswerAt,
    ];
    const once = [[1, 1, 1], [0, 1, 0, 1], 1, 0.003, 6, clock.date().getTime()];
    expect(counted()).toEqual(once);
    facts[Symbol.dispose]();
    trouble();
    expect(counted()).toEqual(once);
  });
});

import { EtcdError } from "@tenure/etcd";
import { describe, expect, it } from "vitest";
import type { ClockReport } from "./clock-watch.ts";
import { expectedFailover, keepAliveMarginMs, type LeaseReport } from "./failover.ts";
import type { Measurements } from "./measure.ts";
import { Samples } from "./samples.ts";
import { checkClocks, checkLatency, checkLease } from "./timing-checks.ts";
import type { Verdict } from "./verdict.ts";

const asker = { user: "billing", prefix: "/billing/tenure-doctor/" };
const clocks: ClockReport = { eventLoopLagMs: spread(1, 2), wallClockJumpMs: 3, suspendedMs: 0 };

function spread(p99Ms: number, maxMs = p99Ms): NonNullable<ReturnType<Samples["spread"]>> {
  return { count: 100, failed: 0, p50Ms: 1, p99Ms, maxMs };
}

function samples(durationMs: number, error?: EtcdError): Samples {
  const made = new Samples();
  made.add(durationMs);
  if (error !== undefined) made.fail(error);
  return made;
}

function refused(): Samples {
  const made = new Samples();
  made.fail(new EtcdError("permission-denied", "etcdserver: permission denied"));
  return made;
}

function measured(reads: Samples, commits: Samples = samples(1)): Measurements {
  const lease = { id: 1n, ttlMs: 10_000 };
  const writes = { lease, leaseError: undefined, keepAlives: samples(1), commits, events: samples(1) };
  return { clocks, reads, writes };
}

function lease(ttlSeconds: number, roundTripMs: number, askedTtlSeconds = ttlSeconds): LeaseReport {
  const provenForMs = expectedFailover(ttlSeconds * 1000, null).cutOffStopsMs;
  const marginMs = keepAliveMarginMs(ttlSeconds * 1000, roundTripMs);
  return { askedTtlSeconds, ttlSeconds, keepAliveMs: spread(roundTripMs), provenForMs, marginMs };
}

const found = (verdicts: readonly Verdict[]): (readonly [string, string])[] =>
  verdicts.filter(({ verdict }) => verdict !== "ok").map(({ verdict, check }) => [verdict, check] as const);

describe("the checks of latency", () => {
  it("find nothing in a fast store, written to or not", () => {
    expect(found(checkLatency(measured(samples(1)), asker))).toEqual([]);
    expect(found(checkLatency({ clocks, reads: samples(1), writes: undefined }, asker))).toEqual([]);
  });

  it("find a slow disk", () => {
    expect(found(checkLatency(measured(samples(1), samples(300)), asker))).toEqual([["warning", "commits"]]);
  });

  it("find what failed now and then", () => {
    const reads = samples(1, new EtcdError("unavailable", "away"));
    expect(checkLatency(measured(reads), asker)[0]).toMatchObject({
      verdict: "warning",
      finding: "1 of 2 failed: away",
    });
  });

  it("find a missing permission, and say who lacks which", () => {
    const [verdict] = checkLatency(measured(refused()), asker);
    expect(verdict).toMatchObject({
      verdict: "problem",
      check: "reads",
      finding: 'user "billing" may not read keys under "/billing/tenure-doctor/"',
    });
    expect(verdict?.advice).toContain('grant-permission ROLE readwrite --prefix "/billing/tenure-doctor/"');
  });

  it("find that no lease is granted", () => {
    const leaseError = new EtcdError("resource-exhausted", "etcdserver: mvcc: database space exceeded");
    const none = new Samples();
    const writes = { lease: undefined, leaseError, keepAlives: none, commits: none, events: none };
    expect(found(checkLatency({ clocks, reads: samples(1), writes }, asker))).toEqual([["problem", "lease"]]);
  });
});

describe("the checks of a TTL", () => {
  it("find nothing where an election of etcd fits in", () => {
    expect(found(checkLease(lease(10, 5)))).toEqual([]);
  });

  it("find a TTL that etcd raised, and one that is short", () => {
    expect(found(checkLease(lease(2, 5, 1)))).toEqual([
      ["warning", "TTL"],
      ["warning", "margin"],
    ]);
    expect(checkLease(lease(2, 5)).at(-1)?.advice).toContain("4 s");
  });

  it("find a TTL for which the store is too slow", () => {
    expect(found(checkLease(lease(2, 900)))).toEqual([["problem", "margin"]]);
  });
});

describe("the checks of clocks", () => {
  it.each<[string, Partial<ClockReport>, (readonly [string, string])[]]>([
    ["nothing", {}, []],
    ["a busy event loop", { eventLoopLagMs: spread(150) }, [["warning", "event loop"]]],
    ["a stall that a lease would not survive", { eventLoopLagMs: spread(1, 501) }, [["warning", "event loop"]]],
    ["a suspend", { suspendedMs: 3000 }, [["warning", "clocks"]]],
    ["a wall clock that went back", { wallClockJumpMs: -500 }, [["warning", "clocks"]]],
  ])("find %s", (_, changed, expected) => {
    expect(found(checkClocks({ ...clocks, ...changed }, 10_000))).toEqual(expected);
  });
});

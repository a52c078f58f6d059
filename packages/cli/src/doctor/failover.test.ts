import { describe, expect, it } from "vitest";
import { expectedFailover, keepAliveMarginMs, ttlForMargin } from "./failover.ts";

const commit = { count: 100, failed: 0, p50Ms: 1.5, p99Ms: 4, maxMs: 9 };

describe("the failover to expect", () => {
  it("follows from the TTL and what a commit takes", () => {
    expect(expectedFailover(10_000, commit)).toEqual({
      plannedMs: { p50: 1.5, p99: 4 },
      crashMs: 10_504,
      etcdLeaderChangeMs: 12_000,
      cutOffStopsMs: 9400,
      formulas: {
        planned: "c = 0.002, p99 0.004",
        crash: "T + 0.5 + c = 10 + 0.5 + 0.004 = 10.504",
        etcdLeaderChange: "T + E = 10 + 2 = 12",
        cutOffStops: "T * 0.99 - max(0.5, T * 0.02) = 9.4",
      },
    });
  });

  it("says so where no commit was measured", () => {
    const { plannedMs, crashMs, formulas } = expectedFailover(5000, null);
    expect([plannedMs, crashMs]).toEqual([null, 5500]);
    expect(formulas.planned).toContain("not measured");
    expect(formulas.crash).toContain("not measured");
  });
});

describe("the margin of a keep-alive", () => {
  it("is what a third of the TTL and the answer leave of the lease", () => {
    expect(keepAliveMarginMs(6000, 100)).toBeCloseTo(6000 * 0.99 - 500 - 2000 - 100, 3);
    expect(keepAliveMarginMs(60_000, 0)).toBeCloseTo(60_000 * 0.99 - 1200 - 20_000, 3);
    expect(keepAliveMarginMs(1000, 400)).toBeLessThan(0);
  });

  it("asks for the shortest TTL that leaves enough", () => {
    const ttl = ttlForMargin(2000, 50);
    expect(keepAliveMarginMs(ttl * 1000, 50)).toBeGreaterThanOrEqual(2000);
    expect(keepAliveMarginMs((ttl - 1) * 1000, 50)).toBeLessThan(2000);
  });
});

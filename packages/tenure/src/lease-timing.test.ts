import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_TTL_MS, keepAliveIntervalMs, keepAliveTimeoutMs, provenUntil, ttlSeconds } from "./lease-timing.ts";

describe("a lease", () => {
  it.each([
    // The margin is half a second up to a TTL of 25 s, then 2 % of the TTL.
    [0, 1000, 490],
    [0, 2000, 1480],
    [0, 10_000, 9400],
    [1_000_000, 10_000, 1_009_400],
    [0, 25_000, 24_250],
    [0, 50_000, 48_500],
    [0, 100_000, 97_000],
  ])("whose request left at %d with a TTL of %d ms is proven until %d", (sentAt, ttlMs, until) => {
    expect(provenUntil(sentAt, ttlMs)).toBeCloseTo(until, 6);
  });

  it("is never proven as long as etcd keeps it, even by a clock that is 1 % slow", () => {
    fc.assert(
      fc.property(fc.nat(1e9), fc.integer({ min: 1, max: 9_000_000 }), (sentAt, seconds) => {
        const ttlMs = seconds * 1000;
        const provenMs = provenUntil(sentAt, ttlMs) - sentAt;
        expect(provenMs).toBeGreaterThan(0);
        expect(provenMs * 1.01).toBeLessThan(ttlMs - 450);
      }),
    );
  });

  it("has time for two streams that fall silent before it can no longer be proven", () => {
    for (const ttlMs of [5000, DEFAULT_TTL_MS, 60_000]) {
      const afterTwo = keepAliveIntervalMs(ttlMs) + 2 * keepAliveTimeoutMs(ttlMs);
      expect(afterTwo).toBeLessThan(provenUntil(0, ttlMs));
    }
  });

  it("is renewed at a third of its TTL, and an answer may take a sixth", () => {
    expect(keepAliveIntervalMs(9000)).toBe(3000);
    expect(keepAliveTimeoutMs(9000)).toBe(1500);
  });
});

describe("a TTL", () => {
  it("is a number of whole seconds within etcd's limits", () => {
    expect(ttlSeconds(1000)).toBe(1n);
    expect(ttlSeconds(DEFAULT_TTL_MS)).toBe(10n);
    expect(ttlSeconds(9_000_000_000_000)).toBe(9_000_000_000n);
  });

  it.each([0, -1000, 1, 999, 1500, 1000.5, 0.1, 9_000_000_001_000, Number.NaN, Number.POSITIVE_INFINITY, -0])(
    "of %d ms is refused by name",
    (ttlMs) => {
      expect(() => ttlSeconds(ttlMs)).toThrow(
        expect.objectContaining({
          code: "invalid-argument",
          message: `ttlMs is ${ttlMs} but must be a multiple of 1000 from 1000 to 9000000000000`,
        }),
      );
    },
  );
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backoffMs } from "./backoff.ts";
import type { Random } from "./random.ts";

const BOUNDS = { firstMs: 50, maxMs: 500 };

function always(fraction: number): Random {
  return { fraction: () => fraction, bits: () => 0n };
}

describe("the pause between attempts", () => {
  it("doubles up to its limit", () => {
    const pauses = [0, 1, 2, 3, 4, 5, 1000].map((attempt) => backoffMs(attempt, BOUNDS, always(0)));
    expect(pauses).toEqual([25, 50, 100, 200, 250, 250, 250]);
  });

  it("lies between half of its ceiling and the ceiling, by chance", () => {
    const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    const bounds = fc.record({ firstMs: fc.integer({ min: 1, max: 10_000 }), maxMs: fc.integer({ min: 1, max: 1e6 }) });
    fc.assert(
      fc.property(fc.nat(5000), bounds, fraction, (attempt, given, chance) => {
        const ceiling = Math.min(given.maxMs, given.firstMs * 2 ** attempt);
        const pauseMs = backoffMs(attempt, given, always(chance));
        expect(pauseMs).toBeCloseTo(ceiling * (0.5 + chance / 2), 6);
        expect(pauseMs).toBeGreaterThanOrEqual(ceiling / 2);
        expect(pauseMs).toBeLessThanOrEqual(ceiling);
      }),
    );
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Random, seededRandom, systemRandom } from "./random.ts";

function draw(random: Random): unknown[] {
  return Array.from({ length: 20 }, (_, index) => [random.fraction(), random.bits(index * 7 + 1)]).flat();
}

describe("seeded chance", () => {
  it("repeats itself for the same seed", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        expect(draw(seededRandom(seed))).toEqual(draw(seededRandom(seed)));
      }),
    );
  });

  it("differs for another seed", () => {
    expect(draw(seededRandom(1))).not.toEqual(draw(seededRandom(2)));
  });

  it("does not stand still", () => {
    const random = seededRandom(7);
    expect(new Set(Array.from({ length: 1000 }, () => random.fraction())).size).toBeGreaterThan(990);
  });
});

describe.each([
  ["seeded", seededRandom(42)],
  ["of the system", systemRandom],
])("chance %s", (_name, random) => {
  it("gives fractions from 0 up to, not including, 1, over the whole width", () => {
    const drawn = Array.from({ length: 2000 }, () => random.fraction());
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...drawn)).toBeLessThan(1);
    expect(Math.min(...drawn)).toBeLessThan(0.05);
    expect(Math.max(...drawn)).toBeGreaterThan(0.95);
  });

  it("gives no more bits than were asked for, and uses them all", () => {
    for (const count of [1, 7, 8, 31, 32, 33, 39, 63, 64, 65]) {
      let seen = 0n;
      for (let round = 0; round < 200; round++) {
        const bits = random.bits(count);
        expect(bits).toBe(BigInt.asUintN(count, bits));
        seen |= bits;
      }
      expect(seen).toBe((1n << BigInt(count)) - 1n);
    }
  });
});

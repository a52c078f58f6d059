import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { KeyOrder } from "./key-order.ts";

const key = fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 3 });

describe("KeyOrder", () => {
  it("selects what a sorted list has, whatever came in which order", () => {
    const range = fc.tuple(key, fc.option(key, { nil: undefined }));
    fc.assert(
      fc.property(fc.uniqueArray(key, { maxLength: 2_000, size: "max" }), fc.array(range), (keys, ranges) => {
        const order = orderOf(keys);
        const sorted = keys.toSorted();
        for (const [start, end] of [["", undefined] as const, ...ranges]) {
          const wanted = sorted.filter((each) => each >= start && (end === undefined || each < end));
          expect(order.select(start, end).map((entry) => entry.key)).toEqual(wanted);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("takes many that come in order, from either side", () => {
    const names = Array.from({ length: 5_000 }, (_, index) => String(index).padStart(5, "0"));
    for (const keys of [names, names.toReversed()]) {
      expect(keysOf(orderOf(keys))).toEqual(names);
    }
  });

  it("forgets what is not retained, whole blocks included, and goes on", () => {
    const names = Array.from({ length: 3_000 }, (_, index) => String(index).padStart(5, "0"));
    const order = orderOf(names);
    order.retain((entry) => entry.key >= "02500");
    expect(keysOf(order)).toEqual(names.slice(2_500));
    order.add({ key: "00001" });
    order.retain((entry) => entry.key === "00001");
    expect(keysOf(order)).toEqual(["00001"]);
    order.retain(() => false);
    order.add({ key: "x" });
    expect(keysOf(order)).toEqual(["x"]);
  });
});

function orderOf(keys: readonly string[]): KeyOrder<{ readonly key: string }> {
  const order = new KeyOrder<{ readonly key: string }>();
  for (const each of keys) order.add({ key: each });
  return order;
}

function keysOf(order: KeyOrder<{ readonly key: string }>): string[] {
  return order.select("", undefined).map((entry) => entry.key);
}

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { keptBytes } from "./kept-bytes.ts";

describe("keptBytes", () => {
  it("copies, and no copy touches another", () => {
    const values = fc.array(fc.uint8Array({ maxLength: 1_500, size: "max" }), { maxLength: 50 });
    fc.assert(
      fc.property(values, (list) => {
        const originals = list.map((each) => Uint8Array.from(each));
        const kept = list.map(keptBytes);
        for (const each of list) each.fill(255);
        expect(kept).toEqual(originals);
      }),
      { numRuns: 50 },
    );
  });

  it("holds little more than what it keeps", () => {
    const large = new Uint8Array(1024 * 1024);
    for (const length of [0, 1, 64, 65, 1_024, 1_025]) {
      expect(keptBytes(large.subarray(0, length)).buffer.byteLength).toBeLessThanOrEqual(4_096);
    }
  });
});

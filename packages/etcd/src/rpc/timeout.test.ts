import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatGrpcTimeout, parseGrpcTimeout } from "./timeout.ts";

describe("grpc-timeout", () => {
  it.each([
    [5000, "5000m"],
    [0, "0m"],
    [-3, "0m"],
    [0.2, "1m"],
    [99_999_999, "99999999m"],
    [100_000_000, "100000S"],
    [100_000_001, "100001S"],
    [Number.MAX_SAFE_INTEGER, "99999999S"],
    [Number.POSITIVE_INFINITY, "99999999S"],
  ])("of %d ms is %s", (timeoutMs, header) => {
    expect(formatGrpcTimeout(timeoutMs)).toBe(header);
  });

  it.each([
    ["2H", 7_200_000],
    ["3M", 180_000],
    ["4S", 4000],
    ["5m", 5],
    ["6000u", 6],
    ["7000000n", 7],
  ])("%s is %d ms", (header, timeoutMs) => {
    expect(parseGrpcTimeout(header)).toBeCloseTo(timeoutMs, 9);
  });

  it.each([undefined, "", "5", "m", "5x", "5 m", "-5m", "5.5m", "123456789m", "5mm", " 5m"])(
    "is not understood as %j",
    (header) => {
      expect(parseGrpcTimeout(header)).toBeUndefined();
    },
  );

  it("never shortens a timeout, and never has more than eight digits", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 99_999_999_000, noNaN: true }), (timeoutMs) => {
        const header = formatGrpcTimeout(timeoutMs);
        expect(header).toMatch(/^\d{1,8}[mS]$/);
        const read = parseGrpcTimeout(header) ?? Number.NaN;
        expect(read).toBeGreaterThanOrEqual(timeoutMs);
        expect(read - timeoutMs).toBeLessThanOrEqual(timeoutMs <= 99_999_999 ? 1 : 1001);
      }),
    );
  });
});

import fc from "fast-check";
import { provenUntil } from "tenure";
import { describe, expect, it } from "vitest";
import { CommandError } from "../exit-codes.ts";
import { explained, timings, type Timings } from "./timings.ts";

/** The times, where they are not refused. */
function attempted(ttlMs: number, stopTimeoutMs: number | undefined): Timings {
  try {
    return timings(ttlMs, stopTimeoutMs);
  } catch (error) {
    fc.pre(!(error instanceof CommandError && error.exitCode === 78));
    throw error;
  }
}

describe("the times of a supervisor", () => {
  it("are these for a TTL of 10 s", () => {
    expect(timings(10_000)).toEqual({
      ttlMs: 10_000,
      provenMs: 9400,
      renewalMs: 5000,
      stopTimeoutMs: 1950,
      killMarginMs: 500,
      stopAtMs: 2450,
    });
  });

  it("give the program half of what the TTL allows to stop in, and no more than 10 s", () => {
    expect(timings(30_000).stopTimeoutMs).toBe(6800);
    expect(timings(120_000).stopTimeoutMs).toBe(10_000);
  });

  it("are refused where the program could not be dead in time, with the numbers", () => {
    expect(() => timings(10_000, 3901)).toThrow(
      "5 s renewal + 3.901 s stop timeout + 0.5 s kill margin must be below the 9.4 s for which one keep-alive " +
        "proves a TTL of 10 s: raise --ttl or lower --stop-timeout",
    );
    expect(() => timings(2000)).toThrow("1 s renewal + 0.5 s kill margin must be below the 1.48 s");
    expect(timings(10_000, 3900).stopTimeoutMs).toBe(3900);
  });

  it("let a program end before its lease can, and live through one late keep-alive, whatever is asked for", () => {
    const ttl = fc.integer({ min: 1, max: 100_000 }).map((seconds) => seconds * 1000);
    const stop = fc.option(fc.integer({ min: 1, max: 50_000 }), { nil: undefined });
    fc.assert(
      fc.property(ttl, stop, (ttlMs, stopTimeoutMs) => {
        const times = attempted(ttlMs, stopTimeoutMs);
        const { stopAtMs, killMarginMs, stopTimeoutMs: stopMs } = times;
        expect(stopMs).toBeGreaterThanOrEqual(0);
        expect(stopAtMs).toBe(stopMs + killMarginMs);
        expect(provenUntil(0, ttlMs) - stopAtMs).toBeGreaterThanOrEqual(ttlMs / 2 - 0.001);
      }),
    );
  });

  it("are explained in words", () => {
    expect(explained(timings(10_000, 2000)).map(([name, value]) => `${name}: ${value}`)).toEqual([
      "TTL: 10 s",
      "keep-alive every: 3.333 s",
      "proven for: 9.4 s",
      "stop timeout: 2 s",
      "kill margin: 0.5 s",
      "stop signal after: 6.9 s",
      "SIGKILL after: 8.9 s",
      "etcd may be away: 3.567 s",
      "slack: 1.9 s",
    ]);
  });
});

import { EtcdError } from "@tenure/etcd";
import { ManualClock } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";
import { sample, Samples } from "./samples.ts";

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

describe("the spread of samples", () => {
  it("is unknown without any", () => {
    expect(new Samples().spread()).toBeNull();
  });

  it("has the middle, the 99th of a hundred and the largest", () => {
    const samples = new Samples();
    for (let ms = 100; ms >= 1; ms--) samples.add(ms);
    expect(samples.spread()).toEqual({ count: 100, failed: 0, p50Ms: 50, p99Ms: 99, maxMs: 100 });
  });

  it("of one sample is that one", () => {
    const samples = new Samples();
    samples.add(1.23456);
    expect(samples.spread()).toEqual({ count: 1, failed: 0, p50Ms: 1.235, p99Ms: 1.235, maxMs: 1.235 });
  });
});

describe("sampling", () => {
  it("measures all but the first, until the signal", async () => {
    const clock = new ManualClock();
    const over = new AbortController();
    const takesMs = [500, 3, 4];
    const sampling = sample(
      () => {
        const ms = takesMs.shift();
        if (ms === undefined) over.abort();
        else clock.freeze(ms);
        return over.signal.aborted ? Promise.reject(new Error("stopped")) : Promise.resolve();
      },
      { clock, pauseMs: 20, signal: over.signal },
    );
    for (let times = 0; times < 3; times++) {
      await settle();
      clock.advance(20);
    }
    expect((await sampling).spread()).toEqual({ count: 2, failed: 0, p50Ms: 3, p99Ms: 4, maxMs: 4 });
  });

  it("goes on after a failure that passes, and ends at one that stays", async () => {
    const clock = new ManualClock();
    const failures = [new EtcdError("unavailable", "away"), new EtcdError("permission-denied", "no")];
    const { signal } = new AbortController();
    const sampling = sample(() => Promise.reject(failures.shift() ?? new Error("asked once more")), {
      clock,
      pauseMs: 20,
      signal,
    });
    await settle();
    clock.advance(20);
    const samples = await sampling;
    expect([samples.failed, samples.error?.message]).toEqual([2, "no"]);
  });

  it("counts what was overdue when the time was up, and nothing else that was under way", async () => {
    for (const [waitedMs, failed] of [
      [999, 0],
      [1000, 1],
    ] as const) {
      const clock = new ManualClock();
      const over = new AbortController();
      const sampling = sample(
        () => new Promise((_, reject) => over.signal.addEventListener("abort", () => reject(new Error("aborted")))),
        { clock, pauseMs: 20, signal: over.signal },
      );
      clock.freeze(waitedMs);
      over.abort();
      expect((await sampling).failed).toBe(failed);
    }
  });
});

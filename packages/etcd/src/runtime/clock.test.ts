import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "./clock.ts";

const LONGEST_TIMER_MS = 2 ** 31 - 1;

describe("the clock of this machine", () => {
  it("never goes back", () => {
    let before = systemClock.now();
    for (let round = 0; round < 5000; round++) {
      const now = systemClock.now();
      expect(now).toBeGreaterThanOrEqual(before);
      before = now;
    }
  });

  it("shows the date of the wall clock", () => {
    const before = Date.now();
    const shown = systemClock.date().getTime();
    expect(shown).toBeGreaterThanOrEqual(before);
    expect(shown).toBeLessThanOrEqual(Date.now());
  });

  it("calls back after the time asked for, not before", async () => {
    const start = systemClock.now();
    await new Promise<void>((resolve) => systemClock.after(30, resolve));
    // A timer of Node may be early by the fraction of a millisecond it rounds.
    expect(systemClock.now() - start).toBeGreaterThan(28);
  });
});

describe("a timer", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "hrtime"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("fires once", () => {
    const fired = vi.fn<() => void>();
    systemClock.after(100, fired);
    vi.advanceTimersByTime(99);
    expect(fired).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(fired).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(10_000);
    expect(fired).toHaveBeenCalledTimes(1);
  });

  it("fires soon when its time is over already", () => {
    const fired = vi.fn<() => void>();
    systemClock.after(-5, fired);
    expect(fired).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(fired).toHaveBeenCalledTimes(1);
  });

  it("does not fire after it was cancelled", () => {
    const fired = vi.fn<() => void>();
    const cancel = systemClock.after(100, fired);
    cancel();
    cancel();
    vi.advanceTimersByTime(1000);
    expect(fired).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("longer than Node can set does not fire at once, but when its time has come", () => {
    const delayMs = 3 * LONGEST_TIMER_MS;
    const fired = vi.fn<() => void>();
    systemClock.after(delayMs, fired);
    vi.advanceTimersByTime(delayMs - 1000);
    expect(fired).not.toHaveBeenCalled();
    // The uptime of the machine goes on by itself, which may bring it forward by a few milliseconds.
    vi.advanceTimersByTime(1010);
    expect(fired).toHaveBeenCalledTimes(1);
  });

  it("longer than Node can set is cancelled in its second part too", () => {
    const fired = vi.fn<() => void>();
    const cancel = systemClock.after(3 * LONGEST_TIMER_MS, fired);
    vi.advanceTimersByTime(1.5 * LONGEST_TIMER_MS);
    cancel();
    vi.advanceTimersByTime(3 * LONGEST_TIMER_MS);
    expect(fired).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });
});

import type { Clock, Random } from "@tenure/etcd/runtime";
import { describe, expect, it, vi } from "vitest";
import { pause, Retry, settledWithin } from "./wait.ts";

/** Time that passes only when it is told to. */
class ManualClock implements Clock {
  readonly timers = new Set<{ readonly dueAt: number; readonly callback: () => void }>();
  #nowMs = 0;
  now(): number {
    return this.#nowMs;
  }
  date(): Date {
    return new Date(this.#nowMs);
  }
  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueAt: this.#nowMs + delayMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }
  advance(byMs: number): void {
    this.#nowMs += byMs;
    for (const timer of this.timers) {
      if (timer.dueAt <= this.#nowMs && this.timers.delete(timer)) timer.callback();
    }
  }
  /** Milliseconds until each timer that is set. */
  get due(): number[] {
    return [...this.timers].map(({ dueAt }) => dueAt - this.#nowMs);
  }
}

const highest: Random = { fraction: () => 1, bits: () => 0n };

/** Lets everything that is ready run. */
async function turn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}

function watched(promise: Promise<unknown>): { readonly done: () => boolean } {
  let done = false;
  void promise.finally(() => (done = true));
  return { done: () => done };
}

describe("a pause", () => {
  it("ends when its time is over, not before", async () => {
    const clock = new ManualClock();
    const { done } = watched(pause(clock, 100));
    clock.advance(99);
    await turn();
    expect(done()).toBe(false);
    clock.advance(1);
    await turn();
    expect(done()).toBe(true);
  });

  it("ends at once when its signal aborts, without an error, and leaves no timer and no listener", async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const removed = vi.spyOn(controller.signal, "removeEventListener");
    const paused = pause(clock, 100, controller.signal);
    controller.abort(new Error("enough"));
    await paused;
    expect(clock.timers.size).toBe(0);
    expect(removed).toHaveBeenCalledWith("abort", expect.any(Function));
  });

  it("takes its listener off when its time is over", async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const added = vi.spyOn(controller.signal, "addEventListener");
    const removed = vi.spyOn(controller.signal, "removeEventListener");
    const paused = pause(clock, 100, controller.signal);
    clock.advance(100);
    await paused;
    expect(removed.mock.calls).toEqual(added.mock.calls);
  });

  it("does not begin when its signal has aborted before", async () => {
    const clock = new ManualClock();
    await pause(clock, 100, AbortSignal.abort());
    expect(clock.timers.size).toBe(0);
  });
});

describe("waiting for something within a limit", () => {
  it("ends when it settles, and leaves no timer", async () => {
    const clock = new ManualClock();
    for (const settles of [() => Promise.resolve(1), () => Promise.reject(new Error("broken"))]) {
      await settledWithin(clock, settles(), 100);
      await turn();
      expect(clock.timers.size).toBe(0);
    }
  });

  it("ends when the time is over, and not before", async () => {
    const clock = new ManualClock();
    const { done } = watched(settledWithin(clock, new Promise(() => undefined), 100));
    clock.advance(99);
    await turn();
    expect(done()).toBe(false);
    clock.advance(1);
    await turn();
    expect(done()).toBe(true);
  });

  it("hears nothing of an error that comes too late", async () => {
    const clock = new ManualClock();
    let fail: (error: Error) => void = () => undefined;
    const late = new Promise<void>((_resolve, reject) => (fail = reject));
    const waited = settledWithin(clock, late, 100);
    clock.advance(100);
    await waited;
    fail(new Error("too late"));
    await turn();
    await expect(late).rejects.toThrow("too late");
  });
});

describe("repeated attempts", () => {
  /** Lengths of the next pauses. */
  async function pauses(clock: ManualClock, retry: Retry, count: number): Promise<number[]> {
    const lengths: number[] = [];
    for (let round = 0; round < count; round++) {
      const paused = retry.pause();
      lengths.push(...clock.due);
      clock.advance(10_000);
      await paused;
    }
    return lengths;
  }

  it("are further and further apart, up to a limit", async () => {
    const clock = new ManualClock();
    const retry = new Retry(clock, highest, { firstMs: 50, maxMs: 500 });
    expect(await pauses(clock, retry, 7)).toEqual([50, 100, 200, 400, 500, 500, 500]);
  });

  it("are close together again after a success", async () => {
    const clock = new ManualClock();
    const retry = new Retry(clock, highest, { firstMs: 50, maxMs: 500 });
    await pauses(clock, retry, 5);
    retry.reset();
    expect(await pauses(clock, retry, 2)).toEqual([50, 100]);
  });

  it("do not wait for an aborted signal, but count the attempt", async () => {
    const clock = new ManualClock();
    const retry = new Retry(clock, highest, { firstMs: 50, maxMs: 500 });
    await retry.pause(AbortSignal.abort());
    expect(clock.timers.size).toBe(0);
    expect(await pauses(clock, retry, 1)).toEqual([100]);
  });
});

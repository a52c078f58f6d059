import { ManualClock, type Random } from "@tenure/etcd/runtime";
import { describe, expect, it, vi } from "vitest";
import { turn } from "./testing/turn.ts";
import { pause, Retry, settledWithin } from "./wait.ts";

const highest: Random = { fraction: () => 1, bits: () => 0n };

/** Lets time pass by the millisecond until a promise settles; returns when it did. */
async function endOf(promise: Promise<unknown>, clock: ManualClock): Promise<number> {
  let settled = false;
  void promise.finally(() => (settled = true));
  for (;;) {
    await turn();
    if (settled) return clock.now();
    if (clock.now() > 1000) throw new Error("it did not settle");
    clock.advance(1);
  }
}

describe("a pause", () => {
  it("ends when its time is over, not before", async () => {
    const clock = new ManualClock();
    expect(await endOf(pause(clock, 100), clock)).toBe(100);
  });

  it("ends at once when its signal aborts, without an error, and leaves no timer and no listener", async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const removed = vi.spyOn(controller.signal, "removeEventListener");
    const paused = pause(clock, 100, controller.signal);
    controller.abort(new Error("enough"));
    await paused;
    expect(clock.due).toEqual([]);
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
    expect(clock.due).toEqual([]);
  });
});

describe("waiting for something within a limit", () => {
  it("ends when it settles, and leaves no timer", async () => {
    const clock = new ManualClock();
    for (const settles of [() => Promise.resolve(1), () => Promise.reject(new Error("broken"))]) {
      await settledWithin(clock, settles(), 100);
      await turn();
      expect(clock.due).toEqual([]);
    }
  });

  it("ends when the time is over, and not before", async () => {
    const clock = new ManualClock();
    expect(await endOf(settledWithin(clock, new Promise(() => undefined), 100), clock)).toBe(100);
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
    expect(clock.due).toEqual([]);
    expect(await pauses(clock, retry, 1)).toEqual([100]);
  });
});

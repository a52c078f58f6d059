import { getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { LazyAbortController, offAbort, onAbort } from "./abort.ts";

describe("those who listen for an abort", () => {
  it("are all told once, in the order in which they came, by one listener of the signal", () => {
    const controller = new AbortController();
    const told: number[] = [];
    for (const who of [1, 2, 3]) onAbort(controller.signal, () => told.push(who));
    expect([told, getEventListeners(controller.signal, "abort").length]).toEqual([[], 1]);
    controller.abort();
    controller.abort();
    expect([told, getEventListeners(controller.signal, "abort").length]).toEqual([[1, 2, 3], 0]);
  });

  it("are not told once they are taken off, by another one of them too, and leave nothing behind", () => {
    const controller = new AbortController();
    const { signal } = controller;
    const [left, taken] = [vi.fn<() => void>(), vi.fn<() => void>()];
    onAbort(signal, left);
    onAbort(signal, () => offAbort(signal, taken));
    onAbort(signal, taken);
    offAbort(signal, left);
    controller.abort();
    expect([left, taken].map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
    const other = new AbortController().signal;
    onAbort(other, left);
    offAbort(other, left);
    offAbort(other, left);
    expect(getEventListeners(other, "abort")).toEqual([]);
  });

  it("are not told of one that was before them", () => {
    const listener = vi.fn<() => void>();
    onAbort(AbortSignal.abort(), listener);
    expect(listener).not.toHaveBeenCalled();
  });

  it("are told whatever another one throws, which is nobody's to catch", () => {
    const later = vi.spyOn(process, "nextTick").mockImplementation(() => undefined);
    const controller = new AbortController();
    const told = vi.fn<() => void>();
    onAbort(controller.signal, () => {
      throw new Error("of one");
    });
    onAbort(controller.signal, told);
    try {
      controller.abort();
      expect(told).toHaveBeenCalledTimes(1);
      expect(later).toHaveBeenCalledTimes(1);
      expect(() => later.mock.calls[0]?.[0]()).toThrow("of one");
    } finally {
      later.mockRestore();
    }
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  it("are not told when they come while others are told", () => {
    const controller = new AbortController();
    const late = vi.fn<() => void>();
    onAbort(controller.signal, () => onAbort(controller.signal, late));
    controller.abort();
    expect(late).not.toHaveBeenCalled();
  });
});

describe("a controller whose signal is made when it is asked for", () => {
  it("has the signal that it had before, which fires with the first reason", () => {
    const controller = new LazyAbortController();
    const { signal } = controller;
    expect([controller.aborted, signal.aborted]).toEqual([false, false]);
    controller.abort("first");
    controller.abort("second");
    expect([controller.aborted, controller.signal === signal, signal.reason]).toEqual([true, true, "first"]);
  });

  it("has a signal that has fired when it is asked for too late", () => {
    const controller = new LazyAbortController();
    controller.abort("first");
    controller.abort("second");
    expect([controller.signal.aborted, controller.signal.reason]).toEqual([true, "first"]);
  });
});

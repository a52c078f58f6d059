import { getEventListeners } from "node:events";
import { ManualClock } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";
import { pause } from "./pause.ts";

describe("a pause", () => {
  it("ends when its time is over, and leaves nothing behind on a signal that outlives it", async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const over = pause(1000, signal, clock);
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    clock.advance(1000);
    await over;
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  it("ends when the signal fires", async () => {
    const stopping = new AbortController();
    const over = pause(1000, stopping.signal, new ManualClock());
    stopping.abort();
    await expect(over).resolves.toBeUndefined();
  });

  it("is none when the signal has fired", async () => {
    await expect(pause(1000, AbortSignal.abort(), new ManualClock())).resolves.toBeUndefined();
  });
});

import { ManualClock } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";
import { Health } from "./health.ts";

const times = { intervalMs: 1000, timeoutMs: 500, rise: 2, fall: 3 };

/** A node whose checks come to these: "ok", or what is wrong; the last one for ever. */
function node(...outcomes: readonly string[]) {
  const clock = new ManualClock();
  const notes: string[] = [];
  let asked = 0;
  const check = (): Promise<string | undefined> => {
    const outcome = outcomes[Math.min(asked++, outcomes.length - 1)];
    return Promise.resolve(outcome === "ok" ? undefined : outcome);
  };
  const health = new Health({ check, times, log: { note: (text) => notes.push(text) }, clock });
  health.start();
  const pass = async (checks: number): Promise<void> => {
    for (let each = 0; each < checks; each++) {
      await new Promise(setImmediate);
      clock.advance(times.intervalMs);
    }
    await new Promise(setImmediate);
  };
  return { health, notes, pass, asked: () => asked };
}

describe("Health", () => {
  it("is not fit before enough checks in a row have succeeded", async () => {
    const { health, pass } = node("ok", "bad", "ok", "ok");
    await pass(2);
    expect([health.healthy, health.why]).toEqual([false, "bad"]);
    await pass(1);
    expect(health.healthy).toBe(true);
    await health.stop();
  });

  it("stays fit until enough checks in a row have failed, and says so once", async () => {
    const { health, notes, pass } = node("ok", "ok", "a", "b", "ok", "c", "d", "e", "f");
    await pass(6);
    expect(health.healthy).toBe(true);
    await pass(2);
    expect(health.healthy).toBe(false);
    expect(notes).toEqual(["healthy", "unhealthy: e"]);
    await health.stop();
  });

  it("says why it is not fit from the start, once", async () => {
    const { health, notes, pass } = node("wrong");
    await pass(5);
    expect(notes).toEqual(["not healthy yet: wrong"]);
    await health.stop();
  });

  it("wakes who waits for a change, or whose signal fires", async () => {
    const { health, pass } = node("ok", "ok", "bad");
    const signal = new AbortController().signal;
    const fit = health.becomes(true, signal).then(() => health.healthy);
    await pass(1);
    expect(await fit).toBe(true);
    const unfit = health.becomes(false, signal).then(() => health.healthy);
    await pass(3);
    expect(await unfit).toBe(false);
    await health.becomes(true, AbortSignal.abort());
    const stop = new AbortController();
    const stopped = health.becomes(true, stop.signal);
    stop.abort();
    await stopped;
    await health.stop();
  });

  it("asks no more once it is stopped", async () => {
    const { health, pass, asked } = node("ok");
    await pass(3);
    await health.stop();
    const before = asked();
    await pass(3);
    expect(asked()).toBe(before);
  });
});

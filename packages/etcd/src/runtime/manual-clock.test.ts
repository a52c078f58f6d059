import { describe, expect, it } from "vitest";
import { ManualClock } from "./manual-clock.ts";

/** Sets timers that write down when they were called. */
function timed(clock: ManualClock, ...delaysMs: number[]): string[] {
  const log: string[] = [];
  for (const delayMs of delaysMs) clock.after(delayMs, () => log.push(`${delayMs} at ${clock.now()}`));
  return log;
}

describe("a clock for tests", () => {
  it("stands still by itself, and its date moves along with its time", () => {
    const clock = new ManualClock();
    const [now, date] = [clock.now(), clock.date()];
    expect(clock.now()).toBe(now);
    clock.advance(1500);
    clock.freeze(500);
    expect(clock.now() - now).toBe(2000);
    expect(clock.date().getTime() - date.getTime()).toBe(2000);
  });

  it("calls what falls due, each once and at its own time, in order", () => {
    const clock = new ManualClock();
    const log = timed(clock, 30, 10, 20, 31);
    clock.advance(30);
    expect(log).toEqual(["10 at 10", "20 at 20", "30 at 30"]);
    expect([clock.now(), clock.due]).toEqual([30, [1]]);
  });

  it("keeps the order in which timers for the same time were set", () => {
    const clock = new ManualClock();
    const log: string[] = [];
    for (const name of ["a", "b", "c"]) clock.after(10, () => log.push(name));
    clock.advance(10);
    expect(log).toEqual(["a", "b", "c"]);
  });

  it("calls a timer that was set on the way, if it falls due in time", () => {
    const clock = new ManualClock();
    const log: number[] = [];
    const again = (): void => {
      log.push(clock.now());
      clock.after(10, again);
    };
    clock.after(10, again);
    clock.advance(35);
    expect(log).toEqual([10, 20, 30]);
  });

  it("does not call a timer that was cancelled, even on the way", () => {
    const clock = new ManualClock();
    const log = timed(clock, 10);
    const cancel = clock.after(20, () => log.push("cancelled"));
    clock.after(15, cancel);
    clock.advance(100);
    expect([log, clock.due]).toEqual([["10 at 10"], []]);
  });

  it("calls nothing while it is frozen, and what is late as soon as it goes on", () => {
    const clock = new ManualClock();
    const log = timed(clock, 10, 50);
    clock.freeze(40);
    expect([log, clock.due]).toEqual([[], [-30, 10]]);
    clock.advance(0);
    expect([log, clock.now()]).toEqual([["10 at 40"], 40]);
  });

  it("never goes back, even when a callback lets time pass", () => {
    const clock = new ManualClock();
    clock.after(10, () => clock.advance(100));
    clock.advance(20);
    expect(clock.now()).toBe(110);
  });
});

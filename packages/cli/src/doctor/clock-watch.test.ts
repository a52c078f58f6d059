import { ManualClock } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";
import { ClockWatch } from "./clock-watch.ts";

/** A clock whose wall clock can be set, and that can be suspended. */
class AdjustableClock extends ManualClock {
  wallAheadMs = 0;
  suspendedMs = 0;
  override now(): number {
    return super.now() + this.suspendedMs;
  }
  override date(): Date {
    return new Date(super.date().getTime() + this.wallAheadMs + this.suspendedMs);
  }
}

describe("the watch over clocks", () => {
  it("sees nothing where nothing happens", () => {
    const clock = new AdjustableClock();
    const watch = new ClockWatch(clock);
    clock.advance(1000);
    const { eventLoopLagMs, wallClockJumpMs, suspendedMs } = watch.stop();
    expect(eventLoopLagMs).toMatchObject({ count: 50, maxMs: 0 });
    expect([wallClockJumpMs, suspendedMs]).toEqual([0, 0]);
  });

  it("sees the largest jump of the wall clock, either way", () => {
    const clock = new AdjustableClock();
    const watch = new ClockWatch(clock);
    clock.advance(100);
    clock.wallAheadMs = 300;
    clock.advance(100);
    clock.wallAheadMs = -3000;
    clock.advance(100);
    expect(watch.stop()).toMatchObject({ wallClockJumpMs: -3300, suspendedMs: 0 });
  });

  it("takes a suspend for what it is, and not for a jump", () => {
    const clock = new AdjustableClock();
    const watch = new ClockWatch(clock);
    clock.advance(100);
    clock.suspendedMs = 60_000;
    clock.advance(100);
    expect(watch.stop()).toMatchObject({ wallClockJumpMs: 0, suspendedMs: 60_000 });
  });

  it("sees by how much timers were late", () => {
    const clock = new AdjustableClock();
    const watch = new ClockWatch(clock);
    clock.advance(100);
    clock.freeze(720);
    clock.advance(100);
    expect(watch.stop()).toMatchObject({ wallClockJumpMs: 0, eventLoopLagMs: { maxMs: 700 } });
  });

  it("ends when it is stopped", () => {
    const clock = new AdjustableClock();
    new ClockWatch(clock).stop();
    expect(clock.due).toEqual([]);
  });
});

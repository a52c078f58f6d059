import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "./clock.ts";

/** What the machine's two clocks show, in milliseconds; the tests move them. */
const machine = vi.hoisted(() => ({ uptimeMs: 1_000_000 }));
vi.mock("./uptime.ts", () => ({ openUptime: () => () => machine.uptimeMs }));

/** Runs on by so much, suspended for a part of it: the monotonic clock stands still in a suspend. */
function pass(runningMs: number, suspendedMs = 0): void {
  monotonicMs += runningMs;
  machine.uptimeMs += runningMs + suspendedMs;
}

let monotonicMs = performance.now();

describe("elapsed time", () => {
  beforeEach(() => {
    vi.spyOn(performance, "now").mockImplementation(() => monotonicMs);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("is the monotonic clock's while the machine runs", () => {
    const [before, monotonicBefore] = [systemClock.now(), systemClock.monotonic()];
    pass(1234);
    expect(systemClock.now() - before).toBeCloseTo(1234, 0);
    expect(systemClock.monotonic() - monotonicBefore).toBeCloseTo(1234, 0);
  });

  it("counts a suspend, which only the uptime shows: a lease does not wait for its holder to wake", () => {
    const [before, monotonicBefore] = [systemClock.now(), systemClock.monotonic()];
    pass(100, 8000);
    expect(systemClock.now() - before).toBeCloseTo(8100, 0);
    pass(50, 30);
    expect(systemClock.now() - before).toBeCloseTo(8180, 0);
    expect(systemClock.monotonic() - monotonicBefore).toBeCloseTo(150, 0);
  });

  it("counts it even when nobody looked before or during it, and only once", () => {
    const before = systemClock.now();
    pass(0, 5000);
    for (let looks = 0; looks < 3; looks++) expect(systemClock.now() - before).toBeCloseTo(5000, 0);
  });

  it("takes no step of the uptime for a suspend: it comes in hundredths of a second", () => {
    const before = systemClock.now();
    machine.uptimeMs += 10;
    expect(systemClock.now() - before).toBeCloseTo(0, 0);
    machine.uptimeMs -= 10;
  });

  it("is one reading for all who look together, and a new one for who looks after them", () => {
    const before = systemClock.now();
    const readings: number[] = [];
    systemClock.atOneReading(() => {
      readings.push(systemClock.now());
      pass(10, 7000);
      systemClock.atOneReading(() => readings.push(systemClock.now()));
      readings.push(systemClock.now());
    });
    for (const reading of readings) expect(reading).toBe(before);
    expect(systemClock.now() - before).toBeCloseTo(7010, 0);
  });

  it("is read anew after a look that failed", () => {
    const before = systemClock.now();
    const fail = (): void => {
      throw new Error("a fault");
    };
    expect(() => systemClock.atOneReading(fail)).toThrow("a fault");
    pass(0, 3000);
    expect(systemClock.now() - before).toBeCloseTo(3000, 0);
  });

  it("does not go back with an uptime that does, as where it comes from the wall clock", () => {
    pass(0, 5000);
    const before = systemClock.now();
    machine.uptimeMs -= 86_400_000;
    expect(systemClock.now()).toBe(before);
    pass(700);
    expect(systemClock.now() - before).toBeCloseTo(700, 0);
  });
});

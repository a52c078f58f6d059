import { ManualClock } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";
import { Beat } from "./beat.ts";

/** A clock that says how often it was read, besides the readings that are shared. */
class CountingClock extends ManualClock {
  readings = 0;
  #shared = false;

  override now(): number {
    if (!this.#shared) this.readings++;
    return super.now();
  }

  override atOneReading(work: () => void): void {
    this.readings++;
    this.#shared = true;
    work();
    this.#shared = false;
  }
}

/** Looks at the clock every so many milliseconds, and writes down when. */
function looking(
  beat: Beat,
  clock: ManualClock,
  everyMs: number,
): { readonly at: number[]; readonly look: () => void } {
  const at: number[] = [];
  const look = (): void => {
    at.push(clock.now());
    beat.within(everyMs, look);
  };
  look();
  return { at, look };
}

/** The longest time between two looks. */
function longestGap(at: readonly number[]): number {
  return Math.max(...at.slice(1).map((each, index) => each - (at[index] ?? 0)));
}

describe("a beat", () => {
  it("has all look together, and nobody later than they asked for", () => {
    const clock = new ManualClock();
    const beat = new Beat(clock);
    const lookers = [];
    for (const everyMs of [830, 500, 1000]) {
      lookers.push({ everyMs, ...looking(beat, clock, everyMs) });
      clock.advance(70);
    }
    clock.advance(10_000);
    for (const { everyMs, at } of lookers) expect(longestGap(at)).toBeLessThanOrEqual(everyMs);
    const [first, ...others] = lookers.map(({ at }) => at.slice(-10));
    for (const other of others) expect(other).toEqual(first);
  });

  it("sets one timer, and reads the clock once, however many look", () => {
    const clock = new CountingClock();
    const beat = new Beat(clock);
    for (let count = 0; count < 200; count++) looking(beat, clock, 800);
    expect(clock.due).toEqual([800]);
    clock.readings = 0;
    clock.advance(8000);
    expect(clock.due).toEqual([800]);
    expect(clock.readings).toBe(10);
  });

  it("comes sooner for who cannot wait, and whoever asks again counts with the newest wish", () => {
    const clock = new ManualClock();
    const beat = new Beat(clock);
    const { at } = looking(beat, clock, 1000);
    const late: number[] = [];
    const look = (): void => void late.push(clock.now());
    beat.within(900, look);
    beat.within(30, look);
    clock.advance(30);
    expect([late, at]).toEqual([[30], [0, 30]]);
    beat.within(10, look);
    beat.within(5000, look);
    clock.advance(999);
    expect(late).toEqual([30, 40]);
  });

  it("does not call who has cancelled, not even within the same beat, and then needs no timer", () => {
    const clock = new ManualClock();
    const beat = new Beat(clock);
    const second = (): void => expect.unreachable();
    const first = (): void => beat.cancel(second);
    beat.within(100, first);
    beat.within(100, second);
    clock.advance(100);
    expect(clock.due).toEqual([]);
    beat.within(50, second);
    beat.cancel(second);
    expect(clock.due).toEqual([]);
  });

  it("looks at once after a freeze, and goes on", () => {
    const clock = new ManualClock();
    const beat = new Beat(clock);
    const { at } = looking(beat, clock, 800);
    clock.freeze(60_000);
    clock.advance(0);
    expect(at).toEqual([0, 60_000]);
    clock.advance(800);
    expect(at).toEqual([0, 60_000, 60_800]);
  });

  it("goes on with the others when a look fails", () => {
    const clock = new ManualClock();
    const beat = new Beat(clock);
    beat.within(100, () => {
      throw new Error("a fault");
    });
    const { at } = looking(beat, clock, 100);
    expect(() => clock.advance(100)).toThrow("a fault");
    clock.advance(100);
    expect(at.at(-1)).toBeGreaterThanOrEqual(100);
  });
});

import type { SharedReadingClock } from "./clock.ts";

interface Timer {
  readonly dueAt: number;
  readonly callback: () => void;
}

/** What {@link ManualClock.date} starts from. */
const FIRST_DATE_MS = Date.UTC(2026, 0, 1);

/**
 * A clock for tests, where {@link systemClock} stands otherwise: time passes when the test says so.
 *
 * `now()` starts at 0, `date()` at the first moment of 2026 (UTC), and both move together.
 */
export class ManualClock implements SharedReadingClock {
  readonly #timers = new Set<Timer>();
  #nowMs = 0;

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  /** No time passes by itself, so that each reading is the same anyway. */
  atOneReading(work: () => void): void {
    work();
  }

  date(): Date {
    return new Date(FIRST_DATE_MS + this.#nowMs);
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueAt: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Milliseconds until each timer that is set, the next one first; less than 0 for one that is late. */
  get due(): readonly number[] {
    return [...this.#timers].map(({ dueAt }) => dueAt - this.#nowMs).toSorted((a, b) => a - b);
  }

  /**
   * Lets time pass and calls what falls due on the way, in order, each at its own time; timers that are set meanwhile
   * are among them. Promises are not waited for: what they lead to happens after this returned.
   */
  advance(byMs: number): void {
    const until = this.#nowMs + byMs;
    for (;;) {
      const timer = this.#next();
      if (timer === undefined || timer.dueAt > until) break;
      this.#timers.delete(timer);
      this.#nowMs = Math.max(this.#nowMs, timer.dueAt);
      timer.callback();
    }
    this.#nowMs = Math.max(this.#nowMs, until);
  }

  /** Lets time pass without a call, as when the process is suspended: what fell due meanwhile is late. */
  freeze(byMs: number): void {
    this.#nowMs += byMs;
  }

  /** The timer that falls due first; among equals the one that was set first. */
  #next(): Timer | undefined {
    return [...this.#timers].toSorted((a, b) => a.dueAt - b.dueAt)[0];
  }
}

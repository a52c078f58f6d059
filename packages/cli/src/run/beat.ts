import { type SharedReadingClock, systemClock } from "@tenure/etcd/runtime";

/**
 * One timer for all who look at the clock again and again, as the watches of an agent's terms do: waking a process up
 * costs more than looking, so whoever looks has all others look too.
 *
 * Everybody says until when the next look must be, and nobody is called later than by a timer of their own: the timer
 * is the one due first, and calls all. Who is called sooner than need be finds nothing, and says anew until when the
 * next look must be. All looks of one beat share one reading of the clock, since none of them waits for anything: what
 * that means for a suspend is said at {@link SharedReadingClock.atOneReading}. Between two beats, and so after each
 * stall or suspend, the clock is read anew.
 */
export class Beat {
  readonly #clock: SharedReadingClock;
  /** Until when each must look, by the monotonic clock, as timers have it. */
  readonly #dueAt = new Map<() => void, number>();
  /** When the timer fires; Infinity without one. */
  #nextAt = Infinity;
  #cancelTimer: () => void = () => undefined;

  constructor(clock: SharedReadingClock = systemClock) {
    this.#clock = clock;
  }

  /** Calls `look` once, in so many milliseconds or sooner; a look that was asked for before does not count any more. */
  within(delayMs: number, look: () => void): void {
    const dueAt = this.#clock.monotonic() + Math.max(0, delayMs);
    this.#dueAt.set(look, dueAt);
    if (dueAt < this.#nextAt) this.#arm(dueAt);
  }

  /** Does not call `look` any more. The timer may fire once in vain, but keeps the process alive no longer. */
  cancel(look: () => void): void {
    if (this.#dueAt.delete(look) && this.#dueAt.size === 0) this.#disarm();
  }

  #arm(at: number): void {
    this.#disarm();
    this.#nextAt = at;
    this.#cancelTimer = this.#clock.after(at - this.#clock.monotonic(), () => this.#beat());
  }

  #disarm(): void {
    this.#cancelTimer();
    this.#nextAt = Infinity;
  }

  #beat(): void {
    // The timer is set when all have looked.
    this.#nextAt = -Infinity;
    try {
      this.#clock.atOneReading(() => {
        // A copy: those who look ask for the next look meanwhile.
        for (const look of Array.from(this.#dueAt.keys())) if (this.#dueAt.delete(look)) look();
      });
    } finally {
      this.#nextAt = Infinity;
      if (this.#dueAt.size > 0) this.#arm(Math.min(...this.#dueAt.values()));
    }
  }
}

/** The beat of this process. */
export const processBeat: Beat = new Beat();

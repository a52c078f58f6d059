import { openUptime } from "./uptime.ts";

/** Where all time comes from. Tests and the simulation bring their own. */
export interface Clock {
  /**
   * Milliseconds since an arbitrary origin, time spent suspended included. Never goes back, and is not moved by changes
   * of the wall clock.
   */
  now(): number;
  /** The same without the time spent suspended, and cheap: for the deadlines of single calls. */
  monotonic(): number;
  /** Wall-clock time: for people to read, never for decisions. */
  date(): Date;
  /** Calls `callback` once, `delayMs` from now, and returns a function that cancels the call. */
  after(delayMs: number, callback: () => void): () => void;
}

/** A clock that can be asked many times at the price of once. */
export interface SharedReadingClock extends Clock {
  /**
   * Runs `work`, which must be short and cannot wait: all that it, and whatever it calls, learns from {@link Clock.now}
   * is the one reading taken at its start.
   *
   * For those who look at many deadlines one after the other. A reading costs a look into the system's files, some
   * microseconds. A suspend in the middle of `work` is as if it had come right after: nothing in between may rely on
   * having noticed it, and the next look, outside of `work`, does.
   */
  atOneReading(work: () => void): void;
}

/** setTimeout fires at once when it is given more than this. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Uptime comes in steps of 10 ms, so a smaller difference is no suspend. */
const UPTIME_STEP_MS = 20;

/**
 * The clock of this machine.
 *
 * The monotonic clock stands still while a machine is suspended, the uptime clock does not, so the time that passed is
 * the larger of the two. On Linux uptime is CLOCK_BOOTTIME. On macOS Node derives it from the wall clock: setting that
 * forward looks like a suspend there, which can end a lease early but never late.
 */
class SystemClock implements SharedReadingClock {
  readonly #startedHrtimeMs = monotonicMs();
  readonly #uptimeMs = openUptime();
  readonly #startedUptimeMs = this.#uptimeMs();
  #suspendedMs = 0;
  #sharedReading: number | undefined;

  now(): number {
    return this.#sharedReading ?? this.#read();
  }

  atOneReading(work: () => void): void {
    // Within another one its reading counts.
    if (this.#sharedReading !== undefined) return work();
    this.#sharedReading = this.#read();
    try {
      work();
    } finally {
      this.#sharedReading = undefined;
    }
  }

  monotonic(): number {
    return monotonicMs() - this.#startedHrtimeMs;
  }

  date(): Date {
    return new Date();
  }

  after(delayMs: number, callback: () => void): () => void {
    if (delayMs <= MAX_TIMER_MS) {
      const timer = setTimeout(callback, Math.max(0, delayMs));
      return () => clearTimeout(timer);
    }
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      if (leftMs <= MAX_TIMER_MS) timer = setTimeout(callback, leftMs);
      else timer = setTimeout(() => arm(leftMs - MAX_TIMER_MS), MAX_TIMER_MS);
    };
    arm(delayMs);
    return () => clearTimeout(timer);
  }

  #read(): number {
    const running = this.monotonic();
    const missing = this.#uptimeMs() - this.#startedUptimeMs - running - this.#suspendedMs;
    if (missing > UPTIME_STEP_MS) this.#suspendedMs += missing;
    return running + this.#suspendedMs;
  }
}

/** CLOCK_MONOTONIC, as `performance.now()` reads it. */
function monotonicMs(): number {
  return performance.now();
}

/** The clock of this machine. */
export const systemClock: SharedReadingClock = new SystemClock();

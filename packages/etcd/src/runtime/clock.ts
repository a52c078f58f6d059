import { uptime } from "node:os";

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
class SystemClock implements Clock {
  readonly #startedHrtimeMs = monotonicMs();
  readonly #startedUptimeMs = uptime() * 1000;
  #suspendedMs = 0;

  now(): number {
    const running = this.monotonic();
    const missing = uptime() * 1000 - this.#startedUptimeMs - running - this.#suspendedMs;
    if (missing > UPTIME_STEP_MS) this.#suspendedMs += missing;
    return running + this.#suspendedMs;
  }

  monotonic(): number {
    return monotonicMs() - this.#startedHrtimeMs;
  }

  date(): Date {
    return new Date();
  }

  after(delayMs: number, callback: () => void): () => void {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      if (leftMs <= MAX_TIMER_MS) timer = setTimeout(callback, leftMs);
      else timer = setTimeout(() => arm(leftMs - MAX_TIMER_MS), MAX_TIMER_MS);
    };
    arm(Math.max(0, delayMs));
    return () => clearTimeout(timer);
  }
}

/** CLOCK_MONOTONIC, as `performance.now()` reads it. */
function monotonicMs(): number {
  return performance.now();
}

/** The clock of this machine. */
export const systemClock: Clock = new SystemClock();

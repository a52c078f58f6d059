import { type Backoff, backoffMs, type Clock, offAbort, onAbort, type Random } from "@tenure/etcd/runtime";

/** Waits, or less long when the signal aborts: the caller looks at the signal. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const finish = (): void => {
      cancelTimer();
      if (signal !== undefined) offAbort(signal, finish);
      resolve();
    };
    const cancelTimer = clock.after(delayMs, finish);
    if (signal !== undefined) onAbort(signal, finish);
  });
}

/** Waits until `done` settles or the time is over, whichever comes first. Never throws. */
export function settledWithin(clock: Clock, done: Promise<unknown>, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      cancelTimer();
      resolve();
    };
    const cancelTimer = clock.after(limitMs, resolve);
    done.then(finish, finish);
  });
}

/** Growing pauses between the attempts of one thing. */
export class Retry {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #bounds: Backoff;
  #attempt = 0;

  constructor(clock: Clock, random: Random, bounds: Backoff) {
    this.#clock = clock;
    this.#random = random;
    this.#bounds = bounds;
  }

  /** To be called after a success: the next pause is a short one again. */
  reset(): void {
    this.#attempt = 0;
  }

  pause(signal?: AbortSignal): Promise<void> {
    return pause(this.#clock, this.nextMs(), signal);
  }

  /** How long the next pause is, for who waits in another way. */
  nextMs(): number {
    return backoffMs(this.#attempt++, this.#bounds, this.#random);
  }
}

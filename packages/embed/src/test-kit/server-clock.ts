import type { Clock } from "@tenure/etcd/runtime";

/** The clock of a server that can stand still: time passes, but nothing of the server happens meanwhile. */
export class ServerClock implements Clock {
  readonly #clock: Clock;
  #late: (() => void)[] | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  date(): Date {
    return this.#clock.date();
  }

  after(delayMs: number, callback: () => void): () => void {
    let isCancelled = false;
    const run = (): void => {
      if (!isCancelled) callback();
    };
    const cancel = this.#clock.after(delayMs, () => {
      if (this.#late === undefined) run();
      else this.#late.push(run);
    });
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  freeze(): void {
    this.#late ??= [];
  }

  /** Calls what fell due meanwhile. */
  thaw(): void {
    const late = this.#late ?? [];
    this.#late = undefined;
    for (const callback of late) callback();
  }
}

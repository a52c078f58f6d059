/** Something that is to happen. */
export interface Scheduled {
  readonly at: number;
  readonly order: number;
  /** Undefined once it has happened or was cancelled. */
  run: (() => void) | undefined;
}

/**
 * Owns time and order: one queue of events by time, then by when they were scheduled.
 *
 * Between two events everything that the first one set off in promises has come to rest.
 */
export class Scheduler {
  readonly #heap: Scheduled[] = [];
  #order = 0;
  #now = 0;
  #ran = 0;
  #promisesMove = false;

  /** Real milliseconds since the start: what no process can read. */
  get now(): number {
    return this.#now;
  }

  /** Events that have happened. */
  get ran(): number {
    return this.#ran;
  }

  at(time: number, run: () => void): Scheduled {
    const scheduled = { at: Math.max(time, this.#now), order: this.#order++, run };
    this.#push(scheduled);
    return scheduled;
  }

  after(delayMs: number, run: () => void): Scheduled {
    return this.at(this.#now + delayMs, run);
  }

  /** To be called by an event that runs code with promises: the next event waits until they rest. */
  promisesMove(): void {
    this.#promisesMove = true;
  }

  /** Lets time pass up to `until`. Calls `afterEach` after each event and stops when that returns true. */
  async pass(until: number, afterEach: () => boolean): Promise<void> {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.at > until) break;
      this.#pop();
      const { run } = next;
      if (run === undefined) continue;
      next.run = undefined;
      this.#now = next.at;
      this.#ran++;
      run();
      if (this.#promisesMove) await this.rest();
      if (afterEach()) return;
    }
    this.#now = Math.max(this.#now, until);
  }

  /** Waits until no promise has anything left to do. */
  async rest(): Promise<void> {
    this.#promisesMove = false;
    await new Promise((resolve) => setImmediate(resolve));
  }

  #push(scheduled: Scheduled): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(scheduled);
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(scheduled, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = scheduled;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const [a, b] = [heap[left], heap[left + 1]];
      if (a === undefined) break;
      const [child, below] = b !== undefined && isBefore(b, a) ? [b, left + 1] : [a, left];
      if (!isBefore(child, last)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = last;
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Cancels what has not happened yet. */
export function cancel(scheduled: Scheduled | undefined): void {
  if (scheduled !== undefined) scheduled.run = undefined;
}

import type { EtcdError } from "./errors.ts";

/** How a queue speaks to what fills it. */
export interface QueueLimits {
  /** The reader is behind: stop sending. */
  readonly onFull?: () => void;
  readonly onDrained?: () => void;
  /** The reader left before the end. */
  readonly onAbandoned?: () => void;
}

const HIGH_WATER = 256;

/** Messages from a callback to one `for await` loop, in order. */
export class MessageQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #limits: QueueLimits;
  readonly #items: T[] = [];
  #wake: (() => void) | undefined;
  #end: { readonly error: EtcdError | undefined } | undefined;
  #full = false;

  constructor(limits: QueueLimits = {}) {
    this.#limits = limits;
  }

  push(item: T): void {
    if (this.#end !== undefined) return;
    this.#items.push(item);
    if (this.#items.length >= HIGH_WATER && !this.#full) {
      this.#full = true;
      this.#limits.onFull?.();
    }
    this.#wake?.();
  }

  /** What is queued is still read; then the loop ends, or throws `error`. */
  end(error?: EtcdError): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#drained();
        return { done: false, value: item };
      }
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return { done: true, value: undefined };
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (this.#end === undefined) {
      this.#end = { error: undefined };
      this.#limits.onAbandoned?.();
    }
    this.#items.length = 0;
    this.#wake?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #drained(): void {
    if (!this.#full || this.#items.length > HIGH_WATER / 2) return;
    this.#full = false;
    this.#limits.onDrained?.();
  }
}

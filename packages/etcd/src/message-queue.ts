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
/** Messages of a watch may be large, and a slow reader shall not hold hundreds of those either. */
const HIGH_WATER_BYTES = 8 * 1024 * 1024;

/** Messages from a callback to one `for await` loop, in order. */
export class MessageQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #limits: QueueLimits;
  readonly #items: { readonly item: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #wake: (() => void) | undefined;
  #end: { readonly error: EtcdError | undefined } | undefined;
  #full = false;

  constructor(limits: QueueLimits = {}) {
    this.#limits = limits;
  }

  /** @param bytes what the item weighs, where that matters */
  push(item: T, bytes: number = 0): void {
    if (this.#end !== undefined) return;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    if ((this.#items.length >= HIGH_WATER || this.#bytes >= HIGH_WATER_BYTES) && !this.#full) {
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
      const next = this.#items.shift();
      if (next !== undefined) {
        this.#bytes -= next.bytes;
        this.#drained();
        return { done: false, value: next.item };
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
    this.#bytes = 0;
    this.#wake?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #drained(): void {
    if (!this.#full || this.#items.length > HIGH_WATER / 2 || this.#bytes > HIGH_WATER_BYTES / 2) return;
    this.#full = false;
    this.#limits.onDrained?.();
  }
}

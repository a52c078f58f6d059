import type { EtcdError } from "./errors.ts";

/** How a queue speaks to what fills it. */
export interface QueueLimits {
  /** The reader is behind: stop sending. */
  readonly onFull?: () => void;
  readonly onDrained?: () => void;
  /** The reader left before the end. */
  readonly onAbandoned?: () => void;
}

const NO_LIMITS: QueueLimits = {};
const HIGH_WATER = 256;
/** Messages of a watch may be large, and a slow reader shall not hold hundreds of those either. */
const HIGH_WATER_BYTES = 8 * 1024 * 1024;

/** Who asked for the next item before it was there. */
interface Waiting<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: EtcdError) => void;
  /** Who asked after that. */
  behind: Waiting<T> | undefined;
}

/** Messages from a callback to one `for await` loop, in order. */
export class MessageQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #limits: QueueLimits;
  readonly #items: { readonly item: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #waiting: Waiting<T> | undefined;
  #end: { readonly error: EtcdError | undefined } | undefined;
  #full = false;

  constructor(limits: QueueLimits = NO_LIMITS) {
    this.#limits = limits;
  }

  /** @param bytes what the item weighs, where that matters */
  push(item: T, bytes: number = 0): void {
    if (this.#end !== undefined) return;
    const waiting = this.#taken();
    if (waiting !== undefined) return waiting.resolve({ done: false, value: item });
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    if ((this.#items.length >= HIGH_WATER || this.#bytes >= HIGH_WATER_BYTES) && !this.#full) {
      this.#full = true;
      this.#limits.onFull?.();
    }
  }

  /** What is queued is still read; then the loop ends, or throws `error`. */
  end(error?: EtcdError): void {
    this.#end ??= { error };
    this.#settle();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const next = this.#items.shift();
    if (next === undefined) {
      return new Promise((resolve, reject) => {
        this.#wait({ resolve, reject, behind: undefined });
        this.#settle();
      });
    }
    this.#bytes -= next.bytes;
    this.#drained();
    return Promise.resolve({ done: false, value: next.item });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (this.#end === undefined) {
      this.#end = { error: undefined };
      this.#limits.onAbandoned?.();
    }
    this.#items.length = 0;
    this.#bytes = 0;
    this.#settle();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** One waits at a time, but for a reader who lost patience with its first question and asks again. */
  #wait(asker: Waiting<T>): void {
    let last = this.#waiting;
    if (last === undefined) {
      this.#waiting = asker;
      return;
    }
    while (last.behind !== undefined) last = last.behind;
    last.behind = asker;
  }

  /** Tells who waits of the end, if that has come. */
  #settle(): void {
    if (this.#end === undefined) return;
    const { error } = this.#end;
    for (let waiting = this.#taken(); waiting !== undefined; waiting = this.#taken()) {
      if (error === undefined) waiting.resolve({ done: true, value: undefined });
      else waiting.reject(error);
    }
  }

  #taken(): Waiting<T> | undefined {
    const waiting = this.#waiting;
    this.#waiting = waiting?.behind;
    return waiting;
  }

  #drained(): void {
    if (!this.#full || this.#items.length > HIGH_WATER / 2 || this.#bytes > HIGH_WATER_BYTES / 2) return;
    this.#full = false;
    this.#limits.onDrained?.();
  }
}

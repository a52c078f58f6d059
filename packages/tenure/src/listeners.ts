type Listener<T> = (value: T) => void;

/** Functions to be called when something happens, in the order they were added. */
export class Listeners<T> {
  /** Most have one or none, of whom there may be thousands: each set would take 300 bytes. */
  #listeners: Listener<T> | Set<Listener<T>> | undefined;

  /** Returns a function that takes the listener off again. */
  add(listener: Listener<T>): () => void {
    if (this.#listeners === undefined) this.#listeners = listener;
    else if (this.#listeners instanceof Set) this.#listeners.add(listener);
    else this.#listeners = new Set([this.#listeners, listener]);
    return () => this.remove(listener);
  }

  /** Takes a listener off again. */
  remove(listener: Listener<T>): void {
    if (this.#listeners === listener) this.#listeners = undefined;
    else if (this.#listeners instanceof Set) this.#listeners.delete(listener);
  }

  /** Whether nobody listens. */
  get idle(): boolean {
    return this.#listeners === undefined || (this.#listeners instanceof Set && this.#listeners.size === 0);
  }

  emit(value: T): void {
    const listeners = this.#listeners;
    if (listeners === undefined) return;
    if (!(listeners instanceof Set)) return listeners(value);
    // A copy: a listener may take itself or others off, and those are not called any more.
    for (const listener of Array.from(listeners)) {
      if (listeners.has(listener)) listener(value);
    }
  }
}

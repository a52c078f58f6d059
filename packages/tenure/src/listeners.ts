/** Functions to be called when something happens, in the order they were added. */
export class Listeners<T> {
  readonly #listeners = new Set<(value: T) => void>();

  /** Returns a function that takes the listener off again. */
  add(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether nobody listens. */
  get idle(): boolean {
    return this.#listeners.size === 0;
  }

  emit(value: T): void {
    // A copy: a listener may take itself or others off, and those are not called any more.
    for (const listener of Array.from(this.#listeners)) {
      if (this.#listeners.has(listener)) listener(value);
    }
  }
}

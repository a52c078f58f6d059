/** Something that is so or is not, to be waited for. */
export class Condition {
  readonly #waiting = new Set<() => void>();
  #holds: boolean;

  constructor(holds: boolean) {
    this.#holds = holds;
  }

  get holds(): boolean {
    return this.#holds;
  }

  /** Tells whoever waits. */
  set(holds: boolean): void {
    this.#holds = holds;
    for (const look of this.#waiting) look();
  }

  /** Resolves when it is so, or is not, as asked; or when the signal fires. */
  becomes(holds: boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#holds !== holds && !signal.aborted) return;
        this.#waiting.delete(look);
        signal.removeEventListener("abort", look);
        resolve();
      };
      this.#waiting.add(look);
      signal.addEventListener("abort", look);
      look();
    });
  }
}

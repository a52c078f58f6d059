/** Lets the owner of a stream tell the transport what it thinks of it. */
export class StreamControl {
  #onSuspect: () => void = () => undefined;

  /** The stream does not answer as it should: calls that start now go elsewhere. It stays open, and may yet answer. */
  suspect(): void {
    this.#onSuspect();
  }

  /** For the transport: what to do about a stream that is suspect. */
  attach(onSuspect: () => void): void {
    this.#onSuspect = onSuspect;
  }
}

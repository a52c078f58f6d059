import { abortedError, EtcdError } from "./errors.ts";
import type { Clock } from "./runtime/clock.ts";

/** The end of a call that comes from our side: its deadline, or its caller's signal. */
export class CallScope {
  readonly #signal: AbortSignal | undefined;
  readonly #cancelTimer: (() => void) | undefined;
  #listener: ((error: EtcdError) => void) | undefined;

  /** @param deadline by the clock; undefined for none */
  constructor(clock: Clock, signal: AbortSignal | undefined, deadline: number | undefined) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort);
    if (deadline === undefined) return;
    this.#cancelTimer = clock.after(deadline - clock.monotonic(), () => {
      this.#listener?.(new EtcdError("deadline-exceeded", "no answer in time"));
    });
  }

  /** Sets who is told, at once if the signal has fired already. */
  onEnd(listener: (error: EtcdError) => void): void {
    this.#listener = listener;
    if (this.#signal?.aborted === true) this.#onAbort();
  }

  close(): void {
    this.#listener = undefined;
    this.#cancelTimer?.();
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }

  /** Awaits what comes before the request: when it takes too long, nothing was sent. */
  static async before<T>(
    work: Promise<T>,
    clock: Clock,
    signal: AbortSignal | undefined,
    deadline: number | undefined,
  ): Promise<T> {
    const scope = new CallScope(clock, signal, deadline);
    try {
      return await new Promise<T>((resolve, reject) => {
        scope.onEnd((error) => {
          reject(new EtcdError(error.code, error.message, { cause: error, mayHaveApplied: false }));
        });
        work.then(resolve, reject);
      });
    } finally {
      scope.close();
    }
  }

  readonly #onAbort = (): void => {
    if (this.#signal === undefined) return;
    const reason: unknown = this.#signal.reason;
    this.#listener?.(reason instanceof EtcdError ? reason : abortedError(this.#signal));
  };
}

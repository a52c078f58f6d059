import type { Orders } from "../run/signals.ts";

/** What one service of an agent is told: to stop, as if by SIGTERM, and not to wait. */
export class ServiceOrders implements Orders {
  readonly #first = new AbortController();
  readonly #second = new AbortController();
  readonly stop: AbortSignal = this.#first.signal;
  readonly hurry: AbortSignal = this.#second.signal;
  readonly exitCode: number = 0;
  readonly why: string = "told to stop";
  passOn: (name: NodeJS.Signals) => void = () => undefined;

  get name(): NodeJS.Signals | undefined {
    return this.stop.aborted ? "SIGTERM" : undefined;
  }

  /** Stops the service. */
  end(): void {
    this.#first.abort();
  }

  /** Stops it at once. */
  endNow(): void {
    this.#first.abort();
    this.#second.abort();
  }
}

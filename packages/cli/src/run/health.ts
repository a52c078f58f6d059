import { type Clock, systemClock } from "@tenure/etcd/runtime";
import { Condition } from "./condition.ts";
import type { HealthCheck } from "./health-check.ts";
import type { Notes } from "./log.ts";
import { pause } from "./pause.ts";

/** How often is looked, and how much counts. */
export interface HealthTimes {
  readonly intervalMs: number;
  /** A check that takes longer has failed. */
  readonly timeoutMs: number;
  /** So many successes in a row make a node healthy. */
  readonly rise: number;
  /** So many failures in a row make it unhealthy. */
  readonly fall: number;
}

/** What a {@link Health} is made from. */
export interface HealthOptions {
  readonly check: HealthCheck;
  readonly times: HealthTimes;
  readonly log: Notes;
  readonly clock?: Clock;
}

/**
 * Whether this node is fit to lead, by a check that is made again and again; unfit until it has succeeded.
 *
 * A program that works is not declared unfit by one late answer, nor one that flaps fit by one that came in time: as in
 * HAProxy, from which the words `rise` and `fall` are.
 */
export class Health {
  readonly #check: HealthCheck;
  readonly #times: HealthTimes;
  readonly #log: Notes;
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  readonly #healthy = new Condition(false);
  #running: Promise<void> = Promise.resolve();
  /** Whether the first result is in, and was told if it was a failure. */
  #told = false;
  /** Results in a row that speak against the present state. */
  #against = 0;
  #why = "its health is not known yet";

  constructor({ check, times, log, clock = systemClock }: HealthOptions) {
    this.#check = check;
    this.#times = times;
    this.#log = log;
    this.#clock = clock;
  }

  get healthy(): boolean {
    return this.#healthy.holds;
  }

  /** What the last check that failed said. */
  get why(): string {
    return this.#why;
  }

  /** Begins to look. */
  start(): void {
    this.#running = this.#look();
  }

  /** Resolves when no check runs any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Resolves when the node is healthy, or is not, as asked; or when the signal fires. */
  becomes(healthy: boolean, signal: AbortSignal): Promise<void> {
    return this.#healthy.becomes(healthy, signal);
  }

  async #look(): Promise<void> {
    const { signal } = this.#stopping;
    const { intervalMs, timeoutMs } = this.#times;
    while (!signal.aborted) {
      const startedAt = this.#clock.now();
      const failure = await this.#check(timeoutMs, signal).catch((error: unknown) => String(error));
      if (signal.aborted) return;
      this.#found(failure);
      await pause(Math.max(0, intervalMs - (this.#clock.now() - startedAt)), signal, this.#clock);
    }
  }

  #found(failure: string | undefined): void {
    if (failure !== undefined) this.#why = failure;
    // Whoever waits for a first success wants to know for what.
    if (failure !== undefined && !this.#told) this.#log.note(`not healthy yet: ${failure}`);
    this.#told = true;
    this.#against = (failure === undefined) === this.healthy ? 0 : this.#against + 1;
    if (this.#against < (this.healthy ? this.#times.fall : this.#times.rise)) return;
    this.#against = 0;
    const healthy = !this.healthy;
    this.#log.note(healthy ? "healthy" : `unhealthy: ${this.#why}`);
    this.#healthy.set(healthy);
  }
}

import { EtcdError } from "@tenure/etcd";
import type { Clock } from "@tenure/etcd/runtime";
import { pause } from "./wait.ts";

/** Milliseconds after which an answer is overdue. */
const OVERDUE_MS = 1000;

/** How long something took, over many times. */
export interface Spread {
  readonly count: number;
  /** How many times it failed; these are in none of the figures. */
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Durations that were measured, and what failed. */
export class Samples {
  readonly #durationsMs: number[] = [];
  #failed = 0;
  #error: EtcdError | undefined;

  add(durationMs: number): void {
    this.#durationsMs.push(durationMs);
  }

  fail(error: EtcdError): void {
    this.#failed++;
    this.#error = error;
  }

  /** Why it failed last. */
  get error(): EtcdError | undefined {
    return this.#error;
  }

  get failed(): number {
    return this.#failed;
  }

  /** Null when nothing was measured. */
  spread(): Spread | null {
    const sorted = this.#durationsMs.toSorted((a, b) => a - b);
    if (sorted.length === 0) return null;
    return {
      count: sorted.length,
      failed: this.#failed,
      p50Ms: rank(sorted, 0.5),
      p99Ms: rank(sorted, 0.99),
      maxMs: rank(sorted, 1),
    };
  }
}

/** The smallest value that is not below a share of them. */
function rank(sorted: readonly number[], share: number): number {
  return rounded(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0);
}

/** Milliseconds to the microsecond. */
export function rounded(durationMs: number): number {
  return Math.round(durationMs * 1000) / 1000;
}

/** What to measure, and for how long. */
export interface Sampling {
  readonly clock: Clock;
  /** Milliseconds from the end of one to the start of the next. */
  readonly pauseMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * Does something again and again until the signal aborts, one at a time, and measures how long it takes. The first
 * time, which pays for the connection, does not count. Ends early when it fails for a reason that stays.
 */
export async function sample(action: () => Promise<unknown>, { clock, pauseMs, signal }: Sampling): Promise<Samples> {
  const samples = new Samples();
  let first = true;
  while (!signal.aborted) {
    const startedAt = clock.monotonic();
    try {
      await action();
      if (!first) samples.add(clock.monotonic() - startedAt);
      first = false;
    } catch (thrown) {
      const error = EtcdError.from(thrown);
      if (signal.aborted) {
        // What was under way when the time was up says nothing, unless its answer was overdue.
        const waitedMs = Math.round(clock.monotonic() - startedAt);
        if (waitedMs >= OVERDUE_MS) samples.fail(new EtcdError("deadline-exceeded", `no answer in ${waitedMs} ms`));
        break;
      }
      samples.fail(error);
      if (!passes(error)) break;
    }
    await pause(clock, pauseMs, signal);
  }
  return samples;
}

/** Whether another try may succeed. */
function passes({ code }: EtcdError): boolean {
  return code === "unavailable" || code === "deadline-exceeded";
}

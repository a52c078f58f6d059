import type { Random } from "./random.ts";

/** Bounds of a growing, jittered pause between attempts. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * The pause before attempt number `attempt` (0 is the first repetition): doubled each time up to `maxMs`, then
 * multiplied by a random factor between 0.5 and 1, so that many clients do not come back in step.
 */
export function backoffMs(attempt: number, bounds: Backoff, random: Random): number {
  const ceiling = Math.min(bounds.maxMs, bounds.firstMs * 2 ** Math.min(attempt, 30));
  return ceiling * (0.5 + random.fraction() / 2);
}

/**
 * Time and chance, injected wherever they are needed.
 *
 * @module
 */
export { LazyAbortController, offAbort, onAbort } from "./abort.ts";
export { type Clock, type SharedReadingClock, systemClock } from "./clock.ts";
export { ManualClock } from "./manual-clock.ts";
export { type Random, seededRandom, systemRandom } from "./random.ts";
export { backoffMs, type Backoff } from "./backoff.ts";

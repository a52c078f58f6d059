import { TenureError } from "./errors.ts";

/** How far the clock rates of this machine and of etcd's leader may differ: 1 %. */
const RATE_ERROR = 0.01;
/** What is kept back for everything else: the larger of half a second and 2 % of the TTL. */
const MIN_MARGIN_MS = 500;
const MARGIN_SHARE = 0.02;

const MAX_TTL_MS = 9_000_000_000_000;

/** Milliseconds of TTL where the caller names none. */
export const DEFAULT_TTL_MS = 10_000;

/**
 * Until when a lease is proven by one answered grant or keep-alive.
 *
 * etcd counts the TTL from the moment it handled the request, which is not before we sent it. Counting from the answer,
 * as etcd's Go client does, lets two nodes lead at once while the connection is cut.
 *
 * @param sentAt the clock's reading before the request left
 * @param ttlMs the TTL the server granted
 */
export function provenUntil(sentAt: number, ttlMs: number): number {
  return sentAt + ttlMs * (1 - RATE_ERROR) - marginMs(ttlMs);
}

/** Milliseconds kept back from a lease; also how long a process may stand still before its lease is in doubt. */
export function marginMs(ttlMs: number): number {
  return Math.max(MIN_MARGIN_MS, ttlMs * MARGIN_SHARE);
}

/** Milliseconds between two looks at the clock that show whether the process stood still in between. */
export function beatIntervalMs(ttlMs: number): number {
  return marginMs(ttlMs) / 2;
}

/** Milliseconds from one keep-alive to the next. */
export function keepAliveIntervalMs(ttlMs: number): number {
  return ttlMs / 3;
}

/** Milliseconds an answer to a keep-alive may take before it is asked for on another stream as well. */
export function keepAliveTimeoutMs(ttlMs: number): number {
  return ttlMs / 6;
}

/** Milliseconds from one new stream to the next while an answer to a keep-alive is overdue. */
export function hedgeIntervalMs(ttlMs: number): number {
  return ttlMs / 12;
}

/** Whole seconds of a TTL. Throws `invalid-argument` for one that etcd cannot keep. */
export function ttlSeconds(ttlMs: number): bigint {
  if (!Number.isInteger(ttlMs / 1000) || ttlMs < 1000 || ttlMs > MAX_TTL_MS) {
    throw new TenureError(
      "invalid-argument",
      `ttlMs is ${ttlMs} but must be a multiple of 1000 from 1000 to ${MAX_TTL_MS}`,
    );
  }
  return BigInt(ttlMs / 1000);
}

import type { Clock } from "./runtime/clock.ts";

/** A lifetime that is shorter says more about the clocks of the two machines than about the token. */
const MIN_LIFE_MS = 1000;
/** A token is fresh for so long: what it is not permitted to do then, its user is not. */
const FRESH_MS = 5000;

/**
 * A token that etcd has given us, and what is known of its life.
 *
 * A JSON web token says when it expires, by the wall clock of etcd's member. Where that differs from ours the token is
 * renewed too early, or too late and refused: either costs time, and nothing else. Of other tokens nothing is known.
 */
export class AuthToken {
  readonly text: string;
  readonly #heldAt: number;
  readonly #expiresAt: number;
  #renewAt: number;

  constructor(text: string, clock: Clock) {
    this.text = text;
    this.#heldAt = clock.monotonic();
    const lifeMs = (expiryOf(text) ?? Number.POSITIVE_INFINITY) - clock.date().getTime();
    const known = lifeMs >= MIN_LIFE_MS;
    this.#expiresAt = known ? this.#heldAt + lifeMs : Number.POSITIVE_INFINITY;
    this.#renewAt = known ? this.#heldAt + lifeMs / 2 : Number.POSITIVE_INFINITY;
  }

  /** Whether it was got just now. Times are the clock's monotonic ones. */
  fresh(now: number): boolean {
    return now - this.#heldAt < FRESH_MS;
  }

  /** Whether it is time for another one. */
  due(now: number): boolean {
    return now >= this.#renewAt;
  }

  /** Whether etcd will certainly refuse it. */
  expired(now: number): boolean {
    return now >= this.#expiresAt;
  }

  /** Lives on to its end: no other one is to be had. */
  keep(): void {
    this.#renewAt = this.#expiresAt;
  }
}

/** When a JSON web token expires, in milliseconds of the wall clock; undefined for anything else. */
function expiryOf(text: string): number | undefined {
  const [, payload, signature] = text.split(".");
  if (payload === undefined || signature === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString());
    const exp = typeof claims === "object" && claims !== null && "exp" in claims ? claims.exp : undefined;
    return typeof exp === "number" ? exp * 1000 : undefined;
  } catch {
    // A simple token may hold dots as well.
    return undefined;
  }
}

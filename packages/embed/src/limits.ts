/** How much of a server its clients may take. What is beyond is refused; nobody else notices. */
export interface EmbedLimits {
  /** Connections at one time. More are closed as they come. Default: 20,000. */
  readonly maxConnections?: number | undefined;
  /** Calls at one time on one connection; clients wait with more. Default: 100,000. */
  readonly maxCallsPerConnection?: number | undefined;
  /** Watches of one stream. Default: 100,000. */
  readonly maxWatchesPerStream?: number | undefined;
  /** Watches of all streams together. Default: 1,000,000. */
  readonly maxWatches?: number | undefined;
  /**
   * Milliseconds after which a connection on which nothing happens is asked for a sign of life, and within which that
   * must come. Default: 60,000.
   */
  readonly maxIdleMs?: number | undefined;
}

/** All limits of a server. */
export type Limits = { readonly [K in keyof EmbedLimits]-?: number };

const DEFAULT_LIMITS: Limits = {
  maxConnections: 20_000,
  maxCallsPerConnection: 100_000,
  maxWatchesPerStream: 100_000,
  maxWatches: 1_000_000,
  maxIdleMs: 60_000,
};

/** The limits that were given, and the defaults of the others. Throws RangeError for what is no limit. */
export function limitsOf(given: EmbedLimits): Limits {
  const limits = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof EmbedLimits)[]) {
    const value = given[name] ?? DEFAULT_LIMITS[name];
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} must be 1 or more, not ${value}`);
    Object.assign(limits, { [name]: value });
  }
  return limits;
}

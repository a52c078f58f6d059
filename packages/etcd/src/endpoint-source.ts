/**
 * Finds endpoints beside those that were given, or in their place, and keeps the ranking up to date with them.
 *
 * It does so in the wake of calls and never by a timer: a client that is not used asks nobody anything.
 */
export interface EndpointSource {
  /**
   * What a call has to wait for before there is an endpoint at all; undefined when there is nothing to wait for.
   * Rejects with the reason when there is none.
   */
  pending(): Promise<void> | undefined;
  /** A call was answered just now. */
  answered(): void;
  /** Every endpoint there is has failed since it was last of use. */
  exhausted(): void;
  /** Ends what is under way. */
  close(): void;
}

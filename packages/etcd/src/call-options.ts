/** Every call takes these last. */
export interface CallOptions {
  /** Ends the call with code `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the call ends with code `deadline-exceeded`. Default 5000. */
  readonly timeoutMs?: number | undefined;
}

/** What `until` waits for, and how long. */
export interface UntilOptions {
  /** The limit, 10 s by default. */
  readonly timeoutMs?: number;
  /** What is awaited, for the error: "a leader". */
  readonly what: string;
  /** How often the condition is tried, 20 ms by default. */
  readonly intervalMs?: number;
}

/** Tries a condition until it gives a value that is neither false nor undefined nor null, and returns that value. */
export async function until<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 10_000, what, intervalMs = 20 }: UntilOptions,
): Promise<Exclude<T, false | undefined | null>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await within(condition(), deadline);
      if (value !== false && value !== undefined && value !== null) {
        return value as Exclude<T, false | undefined | null>;
      }
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) {
      throw new Error(`no ${what} within ${timeoutMs} ms${last instanceof Error ? `: ${last.message}` : ""}`, {
        cause: last,
      });
    }
    await pause(intervalMs);
  }
}

/** Lets time pass. For a wait with a purpose there is `until`. */
export function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, durationMs));
}

/** Waits for a promise, but not for ever: a clear error after `timeoutMs`. */
export async function settled<T>(promise: Promise<T>, { timeoutMs = 10_000, what }: UntilOptions): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  try {
    return await within(promise, deadline);
  } catch (error) {
    if (error instanceof Late) throw new Error(`no ${what} within ${timeoutMs} ms`, { cause: error });
    throw error;
  }
}

class Late extends Error {}

// A condition that hangs must not outlive the deadline.
async function within<T>(value: T | Promise<T>, deadline: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Late("it hangs")), Math.max(1, deadline - performance.now()));
  });
  try {
    return await Promise.race([value, late]);
  } finally {
    clearTimeout(timer);
  }
}

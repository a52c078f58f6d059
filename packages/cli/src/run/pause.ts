import { type Clock, systemClock } from "@tenure/etcd/runtime";

/** Resolves after so many milliseconds, or when the signal fires, and leaves nothing behind on the signal. */
export function pause(durationMs: number, signal: AbortSignal, clock: Clock = systemClock): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.after(durationMs, done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

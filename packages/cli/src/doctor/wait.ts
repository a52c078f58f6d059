import type { Clock } from "@tenure/etcd/runtime";

/** Waits, or less long when the signal aborts. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = (): void => {
      cancelTimer();
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const cancelTimer = clock.after(delayMs, finish);
    signal.addEventListener("abort", finish);
  });
}

/** Waits until work settles, the time is over or the signal aborts, whichever comes first. Never throws. */
export async function settledWithin(
  clock: Clock,
  work: Promise<unknown>,
  limitMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const settled = work.then(
    () => over.abort(),
    () => over.abort(),
  );
  const ending = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
  await Promise.race([settled, pause(clock, limitMs, ending)]);
}

import { type Clock, systemClock } from "../../packages/etcd/src/runtime/clock.ts";

/** The machine's clock, and how many of its timers are neither due nor cancelled. */
export function countingClock(): { readonly clock: Clock; readonly pending: () => number } {
  const timers = new Set<object>();
  const clock: Clock = {
    now: () => systemClock.now(),
    date: () => systemClock.date(),
    monotonic: () => systemClock.monotonic(),
    after: (delayMs, action) => {
      const timer = {};
      timers.add(timer);
      const cancel = systemClock.after(delayMs, () => {
        timers.delete(timer);
        action();
      });
      return () => {
        timers.delete(timer);
        cancel();
      };
    },
  };
  return { clock, pending: () => timers.size };
}

import type { ManualClock } from "@tenure/etcd/runtime";
import { turn } from "./turn.ts";

/** Lets time pass from one timer to the next, and everything run that each of them leads to. */
export async function passTime(clock: ManualClock, byMs: number): Promise<void> {
  const until = clock.now() + byMs;
  for (;;) {
    await turn();
    const [nextMs] = clock.due;
    if (nextMs === undefined || clock.now() + nextMs > until) break;
    clock.advance(Math.max(0, nextMs));
  }
  clock.advance(Math.max(0, until - clock.now()));
  await turn();
}

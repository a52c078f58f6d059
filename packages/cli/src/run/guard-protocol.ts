import { uptime } from "node:os";
import { systemClock } from "@tenure/etcd/runtime";
import type { TreeMark } from "./census.ts";

/** What a supervisor tells its guard besides its leases. */
export type RunMessage =
  /** A tree of a service, to be killed; known by its id, its group is told once there is one. */
  | { readonly t: "tree"; readonly owner: string; readonly tree: TreeMark }
  | { readonly t: "gone"; readonly id: string }
  /** Until when the trees of some services may live; null when they hold no term. */
  | { readonly t: "deadline"; readonly owners: readonly string[]; readonly at: Moment | null };

/** From the guard to its supervisor. */
export type GuardReport =
  /** A service's deadline has passed: it kills the service's trees. */
  { readonly t: "fired"; readonly owner: string };

/**
 * A moment that all processes of a machine understand, on both of its clocks: the first stops in a suspend, and on
 * macOS the second follows the wall clock. A moment has come when one of them says so.
 */
export interface Moment {
  readonly monotonicMs: number;
  readonly uptimeMs: number;
}

/** The moment at which the clock of this process shows `at`. */
export function momentAt(at: number): Moment {
  const [monotonic, uptimeMs] = [monotonicMs(), uptime() * 1000];
  // Our clock is read last, so that a suspend in between makes the moment an earlier one, never a later one.
  const durationMs = at - systemClock.now();
  return { monotonicMs: monotonic + durationMs, uptimeMs: uptimeMs + durationMs };
}

/** Milliseconds until a moment; not above 0 when it has come. */
export function untilMoment({ monotonicMs: monotonic, uptimeMs }: Moment): number {
  return Math.min(monotonic - monotonicMs(), uptimeMs - uptime() * 1000);
}

/** Unlike `performance.now()` this counts from the same origin in all processes. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

import { uptime } from "node:os";
import type { EtcdClientOptions } from "@tenure/etcd";
import type { TreeMark } from "./census.ts";

/** From the supervisor to its guard: a JSON object a line. */
export type GuardMessage =
  /** How to reach the store. It may hold a password, so it comes this way and no other. */
  | { readonly t: "store"; readonly connect: Pick<EtcdClientOptions, "endpoints" | "tls" | "auth"> }
  /** The lease to revoke, in hex, and its TTL. */
  | { readonly t: "lease"; readonly id: string; readonly ttlMs: number }
  /** A tree to kill; known by its id, its group is told once there is one. */
  | { readonly t: "tree"; readonly tree: TreeMark }
  | { readonly t: "gone"; readonly id: string }
  /** Until when the trees may live; null when no term is held. */
  | { readonly t: "deadline"; readonly at: Moment | null }
  /** The supervisor ends by itself and has left nothing behind. */
  | { readonly t: "done" };

/** From the guard to its supervisor. */
export type GuardReport =
  /** The deadline has passed: it kills the trees. */
  { readonly t: "fired" };

/**
 * A moment that all processes of a machine understand, on both of its clocks: the first stops in a suspend, and on
 * macOS the second follows the wall clock. A moment has come when one of them says so.
 */
export interface Moment {
  readonly monotonicMs: number;
  readonly uptimeMs: number;
}

/** The moment that is so many milliseconds away. */
export function momentIn(durationMs: number): Moment {
  return { monotonicMs: monotonicMs() + durationMs, uptimeMs: uptime() * 1000 + durationMs };
}

/** Milliseconds until a moment; not above 0 when it has come. */
export function untilMoment({ monotonicMs: monotonic, uptimeMs }: Moment): number {
  return Math.min(monotonic - monotonicMs(), uptimeMs - uptime() * 1000);
}

/** Unlike `performance.now()` this counts from the same origin in all processes. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

import { keepAliveIntervalMs, provenUntil } from "tenure";
import { rounded, type Spread } from "./samples.ts";

/** How long a failover is to take, by the figures that were measured. Each value is an upper bound. */
export interface FailoverReport {
  /** A leader that resigns, or is told to stop; null when no write was measured. */
  readonly plannedMs: { readonly p50: number; readonly p99: number } | null;
  /** A leader that crashes. */
  readonly crashMs: number;
  /** What each change of etcd's own leader meanwhile adds to that. */
  readonly etcdLeaderChangeMs: number;
  /** A leader that is cut off from etcd has stopped by then. */
  readonly cutOffStopsMs: number;
  /** The formulas with their numbers, in seconds. */
  readonly formulas: {
    readonly planned: string;
    readonly crash: string;
    readonly etcdLeaderChange: string;
    readonly cutOffStops: string;
  };
}

/** How a lease of the TTL fares. */
export interface LeaseReport {
  readonly askedTtlSeconds: number;
  /** What etcd granted. */
  readonly ttlSeconds: number;
  readonly keepAliveMs: Spread | null;
  /** How long a lease is proven for, from the sending of a keep-alive on. */
  readonly provenForMs: number;
  /** What is left of that when the next keep-alive is answered, by the slowest answer; null when none was measured. */
  readonly marginMs: number | null;
}

/** etcd looks for leases that have run out twice a second. */
const EXPIRY_CHECK_MS = 500;
/** How long etcd may take to elect a leader of its own, where its election timeout is the default of 1 s. */
export const ETCD_ELECTION_MS = 2000;

/** How long failovers take with a TTL, where `c` is what a commit and its event in a watch take. */
export function expectedFailover(ttlMs: number, c: Spread | null): FailoverReport {
  const commitMs = c?.p99Ms ?? 0;
  const crashMs = ttlMs + EXPIRY_CHECK_MS + commitMs;
  const changeMs = ttlMs + ETCD_ELECTION_MS;
  const cutOffMs = provenUntil(0, ttlMs);
  const t = seconds(ttlMs);
  return {
    plannedMs: c === null ? null : { p50: c.p50Ms, p99: c.p99Ms },
    crashMs: rounded(crashMs),
    etcdLeaderChangeMs: changeMs,
    cutOffStopsMs: rounded(cutOffMs),
    formulas: {
      planned: c === null ? "c, which was not measured" : `c = ${seconds(c.p50Ms)}, p99 ${seconds(c.p99Ms)}`,
      crash:
        c === null
          ? `T + 0.5 + c = ${t} + 0.5 + c = ${seconds(crashMs)} and c, which was not measured`
          : `T + 0.5 + c = ${t} + 0.5 + ${seconds(commitMs)} = ${seconds(crashMs)}`,
      etcdLeaderChange: `T + E = ${t} + ${seconds(ETCD_ELECTION_MS)} = ${seconds(changeMs)}`,
      cutOffStops: `T * 0.99 - max(0.5, T * 0.02) = ${seconds(cutOffMs)}`,
    },
  };
}

/** What is left of a lease's proof when the next keep-alive is answered after so long. */
export function keepAliveMarginMs(ttlMs: number, roundTripMs: number): number {
  return rounded(provenUntil(0, ttlMs) - keepAliveIntervalMs(ttlMs) - roundTripMs);
}

/** The shortest TTL in whole seconds that leaves a margin. */
export function ttlForMargin(wantedMs: number, roundTripMs: number): number {
  let ttlSeconds = 1;
  while (keepAliveMarginMs(ttlSeconds * 1000, roundTripMs) < wantedMs) ttlSeconds++;
  return ttlSeconds;
}

/** Seconds to the millisecond. */
export function seconds(durationMs: number): string {
  return String(Number((durationMs / 1000).toFixed(3)));
}

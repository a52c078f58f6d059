import { keepAliveIntervalMs, marginMs, provenUntil } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";

/** The times a supervisor lives by, all derived from the TTL and the time the program gets to stop in. */
export interface Timings {
  readonly ttlMs: number;
  /** For how long one answered keep-alive proves the lease, counted from its sending. */
  readonly provenMs: number;
  /** From one keep-alive to the next, and how long the next may stay unanswered before it is asked for again. */
  readonly renewalMs: number;
  /** From the stop signal to SIGKILL. */
  readonly stopTimeoutMs: number;
  /** Kept back for SIGKILL to do its work. */
  readonly killMarginMs: number;
  /** When so much of the lease is left, the program is told to stop. */
  readonly stopAtMs: number;
}

const KILL_MARGIN_MS = 500;
const MAX_DEFAULT_STOP_MS = 10_000;

/**
 * Derives the times. A program that is told to stop, and killed if it does not, must be dead before the lease can
 * expire, and one late keep-alive must not be reason enough to tell it.
 *
 * @param stopTimeoutMs default: half of the longest that the TTL allows, at most 10 s
 * @throws CommandError 78 with the inequality that does not hold
 */
export function timings(ttlMs: number, stopTimeoutMs?: number): Timings {
  const provenMs = provenUntil(0, ttlMs);
  const renewalMs = keepAliveIntervalMs(ttlMs) * 1.5;
  const longestMs = provenMs - renewalMs - KILL_MARGIN_MS;
  const stopMs = stopTimeoutMs ?? Math.min(MAX_DEFAULT_STOP_MS, Math.floor(longestMs / 2));
  if (stopMs > longestMs || longestMs <= 0) {
    const chosen = stopTimeoutMs !== undefined;
    const needed = chosen ? ` + ${seconds(stopMs)} stop timeout` : "";
    const advice = chosen ? "raise --ttl or lower --stop-timeout" : "raise --ttl";
    throw new CommandError(
      ExitCode.configuration,
      `the program could not be stopped before a lost lease ends: ${seconds(renewalMs)} renewal${needed} + ` +
        `${seconds(KILL_MARGIN_MS)} kill margin must be below the ${seconds(provenMs)} for which one keep-alive ` +
        `proves a TTL of ${seconds(ttlMs)}: ${advice}`,
    );
  }
  const stopAtMs = stopMs + KILL_MARGIN_MS;
  return { ttlMs, provenMs, renewalMs, stopTimeoutMs: stopMs, killMarginMs: KILL_MARGIN_MS, stopAtMs };
}

/** The times in words, for `--explain`. */
export function explained(each: Timings): string[][] {
  const slackMs = each.provenMs - each.stopAtMs - each.renewalMs;
  const outageMs = each.provenMs - each.stopAtMs - keepAliveIntervalMs(each.ttlMs);
  return [
    ["TTL", seconds(each.ttlMs), "--ttl; others take over from a dead machine within it and half a second"],
    ["keep-alive every", seconds(keepAliveIntervalMs(each.ttlMs)), "a third of the TTL"],
    [
      "proven for",
      seconds(each.provenMs),
      `the TTL - 1 % - ${seconds(marginMs(each.ttlMs))}, from a keep-alive's sending`,
    ],
    ["stop timeout", seconds(each.stopTimeoutMs), "--stop-timeout; from the stop signal to SIGKILL"],
    ["kill margin", seconds(each.killMarginMs), "kept back for SIGKILL to do its work"],
    ["stop signal after", seconds(each.provenMs - each.stopAtMs), "without an answered keep-alive"],
    ["SIGKILL after", seconds(each.provenMs - each.killMarginMs), "without an answered keep-alive"],
    ["etcd may be away", seconds(outageMs), "at least, before the program is stopped for it"],
    ["slack", seconds(slackMs), "proven - stop timeout - kill margin - 1.5 keep-alives; must not be below 0"],
  ];
}

/** Milliseconds as people read them. */
function seconds(durationMs: number): string {
  return `${Number((durationMs / 1000).toFixed(3))} s`;
}

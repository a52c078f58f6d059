import type { EtcdError } from "@tenure/etcd";
import { marginMs } from "tenure";
import type { ClockReport } from "./clock-watch.ts";
import { ETCD_ELECTION_MS, type LeaseReport, seconds, ttlForMargin } from "./failover.ts";
import type { Measurements } from "./measure.ts";
import type { Samples } from "./samples.ts";
import { ok, problem, type Verdict, warning } from "./verdict.ts";

/** From here on a disk or a network is slow. */
const SLOW_MS = 100;
/** Wall clocks of one fleet that differ by more make logs hard to read. */
const CLOCK_JUMP_MS = 100;
/** Leases are not meant to be so short that timers of a busy process matter. */
const LAG_MS = 100;

/** Who asks, and where, for advice. */
export interface Asker {
  readonly user: string | undefined;
  readonly prefix: string;
}

/** Whether the store answers as a whole, and how fast. */
export function checkLatency({ reads, writes }: Measurements, asker: Asker): Verdict[] {
  const verdicts = checkSamples("reads", "read", reads, asker);
  if (writes === undefined) return verdicts;
  if (writes.leaseError !== undefined) return [...verdicts, failed("lease", "grant a lease", writes.leaseError, asker)];
  return [
    ...verdicts,
    ...checkSamples("commits", "write", writes.commits, asker),
    ...checkSamples("watch", "watch", writes.events, asker),
    ...checkSamples("keep-alives", "renew a lease of", writes.keepAlives, asker),
  ];
}

function checkSamples(check: string, verb: string, samples: Samples, asker: Asker): Verdict[] {
  const spread = samples.spread();
  const { error } = samples;
  if (error !== undefined && (spread === null || isRefusal(error))) return [failed(check, verb, error, asker)];
  if (spread === null) {
    const advice = "run it longer with --duration; if it stays, look at etcd";
    return [warning(check, "nothing was answered in the time there was", advice)];
  }
  if (error !== undefined) {
    const finding = `${spread.failed} of ${spread.failed + spread.count} failed: ${error.message}`;
    return [warning(check, finding, "look at the network, and at etcd's logs")];
  }
  const figures = `p50 ${spread.p50Ms} ms, p99 ${spread.p99Ms} ms`;
  if (spread.p99Ms <= SLOW_MS) return [ok(check, figures)];
  return [warning(check, figures, "look at the disks of etcd and the network in between, or take a longer TTL")];
}

/** What could not be done at all. */
function failed(check: string, verb: string, error: EtcdError, { user, prefix }: Asker): Verdict {
  if (error.code === "unauthenticated") {
    return problem(check, error.message, "give --user and --password-file as etcd knows them");
  }
  if (error.code !== "permission-denied") {
    return problem(check, `cannot ${verb}: ${error.message}`, "look at etcd's health and logs");
  }
  const who = user === undefined ? "this client" : `user "${user}"`;
  const grant = `etcdctl role grant-permission ROLE readwrite --prefix "${prefix}"`;
  return problem(
    check,
    `${who} may not ${verb} keys under "${prefix}"`,
    `choose a --namespace of its own, or: ${grant}`,
  );
}

/** Whether it is for want of a right. */
export function isRefusal(error: EtcdError | undefined): boolean {
  return error?.code === "permission-denied" || error?.code === "unauthenticated";
}

/** Whether the TTL suits the store. */
export function checkLease({ askedTtlSeconds, ttlSeconds, keepAliveMs, marginMs: leftMs }: LeaseReport): Verdict[] {
  const verdicts: Verdict[] = [];
  if (ttlSeconds !== askedTtlSeconds) {
    const finding = `etcd raised the TTL from ${askedTtlSeconds} s to its minimum of ${ttlSeconds} s`;
    verdicts.push(warning("TTL", finding, `reckon with a TTL of ${ttlSeconds} s`));
  }
  if (leftMs === null || keepAliveMs === null) return verdicts;
  const margin = `a keep-alive is answered ${seconds(leftMs)} s before the lease is over`;
  const ttl = ttlForMargin(ETCD_ELECTION_MS, keepAliveMs.maxMs);
  if (leftMs <= 0) {
    verdicts.push(
      problem("margin", "keep-alives are answered too late for this TTL", `take a TTL of ${ttl} s or more`),
    );
  } else if (leftMs < ETCD_ELECTION_MS) {
    const finding = `${margin}: an election of etcd's own leader (up to ${seconds(ETCD_ELECTION_MS)} s) may end a term`;
    verdicts.push(warning("margin", finding, `take a TTL of ${ttl} s or more, or accept it`));
  } else verdicts.push(ok("margin", margin));
  return verdicts;
}

/** How this process and its clocks fared, measured with the margin of the TTL. */
export function checkClocks(clocks: ClockReport, ttlMs: number): Verdict[] {
  const { eventLoopLagMs: lag, suspendedMs, wallClockJumpMs } = clocks;
  const verdicts: Verdict[] = [];
  const allowedMs = marginMs(ttlMs);
  if (lag !== null && lag.maxMs > allowedMs) {
    const finding = `this process stood still for ${lag.maxMs} ms, more than the ${allowedMs} ms that a lease allows`;
    verdicts.push(warning("event loop", finding, "give this machine more room; a leader here would doubt its lease"));
  } else if (lag !== null && lag.p99Ms > LAG_MS) {
    verdicts.push(warning("event loop", `timers are ${lag.p99Ms} ms late (p99)`, "give this machine more room"));
  } else if (lag !== null) verdicts.push(ok("event loop", `p99 ${lag.p99Ms} ms, max ${lag.maxMs} ms late`));
  if (suspendedMs > 0) {
    const finding = `this machine was suspended for ${suspendedMs} ms`;
    verdicts.push(warning("clocks", finding, "let no machine sleep that is to lead"));
  }
  if (Math.abs(wallClockJumpMs) > CLOCK_JUMP_MS) {
    const finding = `the wall clock jumped by ${wallClockJumpMs} ms`;
    verdicts.push(
      warning("clocks", finding, "elections do not mind, but logs will; let NTP slew the clock, not step it"),
    );
  } else if (suspendedMs === 0) verdicts.push(ok("clocks", "no jump of the wall clock, no suspend"));
  return verdicts;
}

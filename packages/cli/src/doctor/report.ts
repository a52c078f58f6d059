import type { ClockReport } from "./clock-watch.ts";
import { ETCD_ELECTION_MS, type FailoverReport, type LeaseReport, seconds } from "./failover.ts";
import type { MemberReport } from "./members.ts";
import { table } from "../output.ts";
import type { Spread } from "./samples.ts";
import type { Verdict } from "./verdict.ts";

/** All that `tenure doctor` found; its JSON. */
export interface DoctorReport {
  /** Where it read and wrote. */
  readonly prefix: string;
  readonly readOnly: boolean;
  readonly members: readonly MemberReport[];
  /** Of the cluster as a whole, by whichever member answers; null for what was not measured. */
  readonly latency: {
    readonly readMs: Spread | null;
    readonly commitMs: Spread | null;
    /** From the sending of a put to its event in a watch. */
    readonly eventMs: Spread | null;
  };
  /** Null when no lease was granted. */
  readonly lease: LeaseReport | null;
  readonly process: ClockReport | null;
  readonly failover: FailoverReport;
  readonly verdicts: readonly Verdict[];
}

/** The report for people. */
export function reportText({ members, latency, lease, process, failover, verdicts }: DoctorReport): string {
  const figures = [
    ["linearizable read", latency.readMs],
    ["commit", latency.commitMs],
    ["commit and its event in a watch", latency.eventMs],
    ["keep-alive", lease?.keepAliveMs ?? null],
    ["lag of this process's event loop", process?.eventLoopLagMs ?? null],
  ] as const;
  const measured = figures.flatMap(([name, spread]) => (spread === null ? [] : [[name, ...spreadCells(spread)]]));
  const ttl = lease === null ? "" : ` of ${lease.ttlSeconds} s`;
  return [
    table([["MEMBER", "VERSION", "ROLE", "RAFT TERM", "SIZE", "ROUND TRIP p50", "p99"], ...members.map(memberCells)]),
    ...(measured.length === 0 ? [] : ["", table([["MEASURED", "TIMES", "p50", "p99", "max"], ...measured])]),
    "",
    `Failover to expect with a TTL${ttl} (T: TTL; c: a commit and its event; E: an election of etcd's own leader,`,
    `up to ${seconds(ETCD_ELECTION_MS)} s by default), in seconds:`,
    table([
      ["  planned", failover.formulas.planned],
      ["  crash, at most", failover.formulas.crash],
      ["  each change of etcd's leader meanwhile, more", failover.formulas.etcdLeaderChange],
      ["  a leader cut off from etcd stops after, at most", failover.formulas.cutOffStops],
    ]),
    ...(lease?.marginMs === undefined || lease.marginMs === null ? [] : ["", marginText(lease, lease.marginMs)]),
    "",
    table(verdicts.flatMap(verdictRows)),
  ].join("\n");
}

function marginText({ provenForMs, ttlSeconds }: LeaseReport, marginMs: number): string {
  const proven = `T * 0.99 - max(0.5, T * 0.02) = ${seconds(provenForMs)}`;
  const left = `less T / 3 = ${seconds((ttlSeconds * 1000) / 3)} and the slowest answer, ${seconds(marginMs)} are left`;
  return `Keep-alive margin, in seconds: a lease is proven for ${proven};\n${left} when a keep-alive is answered.`;
}

function memberCells(member: MemberReport): string[] {
  const { endpoint, version, embedded, role, raftTerm, dbSizeBytes, roundTripMs } = member;
  const spread = roundTripMs === null ? [] : [`${roundTripMs.p50Ms} ms`, `${roundTripMs.p99Ms} ms`];
  const shown = embedded ? "embedded" : (version ?? (member.reachable ? "not told" : "unreachable"));
  return [endpoint, shown, role ?? "", raftTerm ?? "", dbSizeBytes === null ? "" : sizeText(dbSizeBytes), ...spread];
}

function spreadCells({ count, p50Ms, p99Ms, maxMs }: Spread): string[] {
  return [String(count), `${p50Ms} ms`, `${p99Ms} ms`, `${maxMs} ms`];
}

function sizeText(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${Math.round(bytes / 1e6)} MB`;
}

function verdictRows({ verdict, check, finding, details, advice }: Verdict): string[][] {
  const rows = [[verdict, check, advice === null ? finding : `${finding}: ${advice}`]];
  return [...rows, ...details.map((detail) => ["", "", `- ${detail}`])];
}

import { EtcdClient } from "@tenure/etcd";
import { type ConnectOptions, provenUntil } from "tenure";
import { ExitCode } from "../exit-codes.ts";
import { checkMembers } from "./cluster-checks.ts";
import { expectedFailover, keepAliveMarginMs, type LeaseReport } from "./failover.ts";
import { measure, type Measurements, type WriteMeasurements } from "./measure.ts";
import { Member } from "./members.ts";
import type { DoctorReport } from "./report.ts";
import { checkClocks, checkLatency, checkLease, isRefusal } from "./timing-checks.ts";

/** What to examine. */
export interface Examination {
  readonly connect: ConnectOptions;
  readonly ttlMs: number;
  readonly durationMs: number;
  readonly timeoutMs: number;
  readonly readOnly: boolean;
  readonly signal: AbortSignal;
}

/** What was found, and the exit code that says so. */
export interface Finding {
  readonly report: DoctorReport;
  readonly exitCode: number;
}

/** The name of an election that nobody holds. */
const NAME = "tenure-doctor/";

/** Examines a store: each member by itself, then the cluster as a whole. */
export async function examine(examination: Examination): Promise<Finding> {
  const { namespace = "", ...options } = examination.connect;
  const prefix = `${namespace}${NAME}`;
  const members = (options.endpoints ?? []).map((endpoint) => new Member(endpoint, options));
  try {
    const { timeoutMs, signal } = examination;
    await Promise.all(members.map((member) => member.ask(timeoutMs, signal)));
    const reached = members.filter(({ reachable }) => reachable);
    const refused = members.some(({ refusal }) => refusal === "unauthenticated");
    let measured: Measurements | undefined;
    if (reached.length > 0 && !refused && !signal.aborted) {
      // What does not answer is told as such; the figures are to be those of the rest.
      await using etcd = new EtcdClient({ ...options, endpoints: reached.map(({ endpoint }) => endpoint) });
      measured = await measure(etcd, { ...examination, prefix }, (sampling) =>
        Promise.all(reached.map((member) => member.measure(prefix, timeoutMs, sampling))),
      );
    }
    return findingOf(examination, prefix, members, measured);
  } finally {
    await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
  }
}

function findingOf(
  { ttlMs, readOnly, connect }: Examination,
  prefix: string,
  members: readonly Member[],
  measured: Measurements | undefined,
): Finding {
  const reports = members.map((member) => member.report());
  const writes = measured?.writes;
  const lease = leaseReport(ttlMs, writes);
  const grantedMs = (lease?.ttlSeconds ?? 0) * 1000 || ttlMs;
  const eventMs = writes?.events.spread() ?? null;
  const verdicts = [
    ...checkMembers(reports),
    ...(measured === undefined ? [] : checkLatency(measured, { user: connect.auth?.user, prefix })),
    ...(lease === null ? [] : checkLease(lease)),
    ...(measured === undefined ? [] : checkClocks(measured.clocks, grantedMs)),
  ];
  const report: DoctorReport = {
    prefix,
    readOnly,
    members: reports,
    latency: { readMs: measured?.reads.spread() ?? null, commitMs: writes?.commits.spread() ?? null, eventMs },
    lease,
    process: measured?.clocks ?? null,
    failover: expectedFailover(grantedMs, eventMs),
    verdicts,
  };
  return { report, exitCode: exitCodeOf(report, members, measured) };
}

function leaseReport(askedTtlMs: number, writes: WriteMeasurements | undefined): LeaseReport | null {
  if (writes?.lease === undefined) return null;
  const { ttlMs } = writes.lease;
  const keepAliveMs = writes.keepAlives.spread();
  return {
    askedTtlSeconds: askedTtlMs / 1000,
    ttlSeconds: ttlMs / 1000,
    keepAliveMs,
    provenForMs: provenUntil(0, ttlMs),
    marginMs: keepAliveMs === null ? null : keepAliveMarginMs(ttlMs, keepAliveMs.maxMs),
  };
}

/** What keeps the doctor from its work goes before what it found. */
function exitCodeOf(
  { verdicts }: DoctorReport,
  members: readonly Member[],
  measured: Measurements | undefined,
): number {
  if (members.some(({ refusal }) => refusal === "unauthenticated")) return ExitCode.permission;
  if (measured === undefined) return ExitCode.unreachable;
  const { reads, writes } = measured;
  const errors = [
    reads.error,
    writes?.leaseError,
    writes?.commits.error,
    writes?.events.error,
    writes?.keepAlives.error,
  ];
  if (errors.some(isRefusal)) return ExitCode.permission;
  if (reads.spread() === null) return ExitCode.unreachable;
  return verdicts.some(({ verdict }) => verdict === "problem") ? ExitCode.configuration : ExitCode.ok;
}

import { printJson, printLine, table } from "../output.ts";

/** The ways in which the demo ends a leader, in turn. */
export const KINDS = ["resign", "sigterm", "sigkill"] as const;
export type Kind = (typeof KINDS)[number];

/** One failover that was measured. */
export interface Failover {
  readonly election: string;
  readonly kind: Kind;
  readonly from: string;
  readonly to: string;
  /** The fencing token of the new leader. */
  readonly token: string;
  /** From the resign call, or the signal, to the next process reporting that it was elected. */
  readonly failoverMs: number;
}

/** What the demo is run on. */
export interface Setting {
  readonly election: string;
  readonly store: string;
  readonly nodes: readonly string[];
  readonly ttlMs: number;
}

/** A node as the picture shows it. */
export interface NodeView {
  readonly name: string;
  readonly pid: number | undefined;
  readonly role: "leader" | "next" | "standby" | "starting" | "ended";
  readonly token: string | undefined;
  readonly unit: number;
  readonly units: number;
}

/** Where the demo's story goes. */
export interface Report {
  begin(setting: Setting): void;
  /** A node's role changed, or time went by. */
  update(nodes: readonly NodeView[]): void;
  /** Something worth a line. */
  tell(text: string): void;
  failover(failover: Failover): void;
  end(failovers: readonly Failover[]): void;
}

/** What was measured for one way of ending a leader. */
export interface KindSummary {
  readonly count: number;
  readonly medianMs: number;
  readonly maxMs: number;
}

/** Count, median and maximum for each kind that occurred. */
function summarize(failovers: readonly Failover[]): Partial<Record<Kind, KindSummary>> {
  const summary: Partial<Record<Kind, KindSummary>> = {};
  for (const kind of KINDS) {
    const times = failovers.filter((each) => each.kind === kind).map((each) => each.failoverMs);
    if (times.length === 0) continue;
    const sorted = times.toSorted((a, b) => a - b);
    const medianMs = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
    summary[kind] = { count: times.length, medianMs, maxMs: sorted.at(-1) ?? 0 };
  }
  return summary;
}

/** How each way of ending a leader is called, and what its failover waits for. */
export const KIND_TEXTS: Readonly<Record<Kind, { readonly name: string; readonly waitsFor: string }>> = {
  resign: { name: "resigned", waitsFor: "one commit and one event" },
  sigterm: { name: "SIGTERM", waitsFor: "the same: the process resigns before it ends" },
  sigkill: { name: "SIGKILL", waitsFor: "the lease to run out: nobody could resign" },
};

/** The table of what was measured, ready to print. */
export function summaryTable(failovers: readonly Failover[]): string {
  const summary = summarize(failovers);
  const rows = KINDS.flatMap((kind) => {
    const row = summary[kind];
    const { name, waitsFor } = KIND_TEXTS[kind];
    return row === undefined
      ? []
      : [[name, String(row.count), `${row.medianMs.toFixed(1)} ms`, `${row.maxMs.toFixed(1)} ms`, waitsFor]];
  });
  return table([["ENDED BY", "TIMES", "MEDIAN", "WORST", "FAILOVER WAITS FOR"], ...rows]);
}

/** One JSON line for each failover, then the summary. */
export function jsonReport(): Report {
  let setting: Setting | undefined;
  return {
    begin: (given) => (setting = given),
    update: () => undefined,
    tell: () => undefined,
    failover: printJson,
    end: (failovers) =>
      printJson({
        summary: {
          election: setting?.election,
          store: setting?.store,
          nodes: setting?.nodes.length,
          ttlSeconds: (setting?.ttlMs ?? 0) / 1000,
          failovers: failovers.length,
          kinds: summarize(failovers),
        },
      }),
  };
}

/** Plain lines, for a pipe or a log. */
export function lineReport(): Report {
  return {
    begin: ({ election, store, nodes, ttlMs }) =>
      printLine(`${nodes.length} processes stand for "${election}" on ${store}; TTL ${ttlMs / 1000} s`),
    update: () => undefined,
    tell: printLine,
    failover: ({ kind, from, to, failoverMs, token }) =>
      printLine(`${from} ${KIND_TEXTS[kind].name}: ${to} leads after ${failoverMs.toFixed(1)} ms, token ${token}`),
    end: (failovers) => {
      if (failovers.length > 0) printLine(`\n${summaryTable(failovers)}`);
    },
  };
}

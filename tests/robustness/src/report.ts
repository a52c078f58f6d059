import { staleRevocations } from "./checker.ts";
import type { Life } from "./flatness.ts";
import type { Outcome, Runner } from "./runner.ts";

/** What is known of one kind of fault. */
export interface KindReport {
  readonly runs: number;
  /** Of those that happened alone and have a certain outcome: how often it was that. */
  readonly asExpected: number;
  readonly withExpectation: number;
  readonly kept: number;
  readonly lost: number;
  readonly failoverMs: { readonly p50: number; readonly p99: number; readonly max: number } | undefined;
  readonly violations: number;
}

/** What a run found. */
export interface Report {
  readonly seed: number;
  readonly minutes: number;
  readonly worlds: number;
  readonly contestant: string;
  readonly etcd: string;
  readonly faults: number;
  readonly kinds: Readonly<Record<string, KindReport>>;
  readonly terms: number;
  readonly overlaps: number;
  readonly writes: number;
  /** Writes of an old token that a fence had to refuse, because the program did not look at its term. */
  readonly staleWrites: number;
  readonly guardedWrites: { readonly accepted: number; readonly refused: number; readonly unanswered: number };
  /** Terms that etcd itself ended after one of its members had been stopped; see README.md. */
  readonly staleRevocations: number;
  /** What the processes that lived for some minutes had in use at rest. */
  readonly processes: readonly Life[];
  readonly violations: number;
  readonly violationList: readonly { readonly kind: string; readonly rule: string; readonly text: string }[];
}

/** Adds up what the runners found. */
export function reportOf(
  runners: readonly Runner[],
  about: Pick<Report, "seed" | "minutes" | "contestant" | "etcd">,
): Report {
  const outcomes = runners.flatMap((runner) => runner.outcomes);
  const rest = runners
    .flatMap((runner) => runner.atTheEnd())
    .map((violation) => ({ kind: "at the end", ...violation }));
  const violationList = [
    ...outcomes.flatMap(({ kind, violations }) => violations.map((violation) => ({ kind, ...violation }))),
    ...rest,
  ];
  const histories = runners.map(({ world }) => world.history);
  const names = [...new Set(outcomes.map(({ kind }) => kind))].toSorted();
  const kinds = names.map((name) => [name, kindReport(outcomes.filter(({ kind }) => kind === name))] as const);
  const sum = (of: (history: (typeof histories)[number]) => number) =>
    histories.reduce((all, each) => all + of(each), 0);
  return {
    ...about,
    worlds: runners.length,
    faults: outcomes.length,
    kinds: Object.fromEntries(kinds),
    terms: sum(({ terms }) => terms.length),
    overlaps: violationList.filter(({ rule }) => rule === "overlap").length,
    writes: sum(({ fence }) => fence.writes),
    staleWrites: sum(({ fence }) => fence.stale),
    guardedWrites: {
      accepted: sum(({ guarded }) => guarded.accepted),
      refused: sum(({ guarded }) => guarded.refused),
      unanswered: sum(({ guarded }) => guarded.unanswered),
    },
    staleRevocations: runners.reduce(
      (all, { world }) => all + staleRevocations(world.history, world.witness).length,
      0,
    ),
    processes: runners.flatMap((runner) => runner.lives()),
    violations: violationList.length,
    violationList,
  };
}

/** The report as a table for people. */
export function tableOf({ kinds, faults, terms, writes, staleWrites, violations, contestant, etcd }: Report): string {
  const head = ["fault", "runs", "as expected", "kept", "lost", "p50 ms", "p99 ms", "max ms", "violations"];
  const rows = Object.entries(kinds).map(([name, kind]) => {
    const { p50, p99, max } = kind.failoverMs ?? { p50: "", p99: "", max: "" };
    const expected = `${kind.asExpected} of ${kind.withExpectation}`;
    return [name, kind.runs, expected, kind.kept, kind.lost, p50, p99, max, kind.violations].map(String);
  });
  const widths = head.map((title, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0), 0));
  const lines = [head, ...rows].map((row) =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  "),
  );
  const total =
    `${contestant} on etcd ${etcd}: ${faults} faults of ${rows.length} kinds, ${terms} terms, ${writes} writes ` +
    `(${staleWrites} stale ones for a fence), ${violations} violations`;
  return [...lines, total].join("\n");
}

function kindReport(outcomes: readonly Outcome[]): KindReport {
  const certain = outcomes.filter(({ expected }) => expected !== "either");
  const failovers = outcomes.flatMap(({ failoverMs }) => failoverMs ?? []).toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(failovers[Math.ceil(share * failovers.length) - 1] ?? 0);
  return {
    runs: outcomes.length,
    asExpected: certain.filter(({ expected, kept }) => kept === (expected === "kept")).length,
    withExpectation: certain.length,
    kept: outcomes.filter(({ kept }) => kept).length,
    lost: outcomes.filter(({ kept }) => !kept).length,
    failoverMs: failovers.length === 0 ? undefined : { p50: at(0.5), p99: at(0.99), max: at(1) },
    violations: outcomes.reduce((sum, { violations }) => sum + violations.length, 0),
  };
}

import type { Row } from "./rows.ts";

/** What a number of Tenure's has to be at most, and what it is. */
export interface LimitResult {
  readonly what: string;
  readonly atMost: number;
  /** What both are counted in; "x" where it is compared with something. */
  readonly unit: string;
  readonly measured: number;
  readonly met: boolean;
}

interface Limit {
  readonly what: string;
  readonly atMost: number;
  readonly unit: string;
  /** Undefined where not all that it takes was measured. */
  readonly measured: (rows: readonly Row[]) => number | undefined;
}

const far = 20;
const many = 1_000;
const campaign = "campaign, session ready";
const fromNothing = "connect, session, campaign";
const across = "resign until elected, across processes, standby";
const inside = "resign until elected, in one process, standby";
const elections = `${many} elections in one process`;

const limits: readonly Limit[] = [
  roundTrips(campaign, 1.15),
  against("go", campaign, 0.6, far),
  against("etcd3", campaign, 0.5, far),
  roundTrips(`${across} long there`, 1.15),
  against("go", `${across} long there`, 0.6, far),
  against("etcd3", `${across} long there`, 0.5, far),
  against("go", fromNothing, 0.75, far),
  against("etcd3", fromNothing, 0.5, far),
  against("go", campaign, 1.15),
  against("etcd3", campaign, 0.35),
  against("go", `${across} long there`, 1.1),
  against("go", `${inside} long there`, 1.1),
  against("go", `${across} just there`, 0.05),
  against("go", `${inside} just there`, 0.05),
  against("go", "campaign until observed", 1.1),
  against("go", `${many} candidates in one process: a hand-over`, 0.5),
  {
    what: `${many} candidates in 10 processes: a hand-over, compared with 2 candidates in 2 processes`,
    atMost: 1.5,
    unit: "x",
    measured: (rows) =>
      quotient(
        p50Of(rows, "tenure", `${many} candidates in 10 processes: a hand-over`),
        p50Of(rows, "tenure", "2 candidates in 2 processes: a hand-over"),
      ),
  },
  against("go", `${elections}: win all`, 1),
  itself(`${elections}: leases`, 1, "leases"),
  itself(`${elections}: streams`, 3, "streams"),
  against("etcd3", `${elections}: memory`, 0.6),
  itself(`${elections}: CPU while nothing happens`, 1, "%"),
  against("grpc-js", "import", 2),
  against("node -e 0", "the command `tenure leader`", 2.5),
  itself("memory of a process that stands by", 75, "MB"),
];

/** The limits of which everything was measured. */
export function limitsOf(rows: readonly Row[]): LimitResult[] {
  return limits.flatMap(({ what, atMost, unit, measured }) => {
    const value = measured(rows);
    if (value === undefined) return [];
    return [{ what, atMost, unit, measured: Number(value.toPrecision(3)), met: value <= atMost }];
  });
}

/** The same as a table in Markdown. */
export function limitsTable(results: readonly LimitResult[]): string {
  const lines = results.map(({ what, atMost, unit, measured, met }) => {
    const limit = unit === "x" ? `${atMost}x` : `${atMost} ${unit}`;
    return `| ${what} | ${limit} | ${measured} | ${met ? "met" : "**missed**"} |`;
  });
  return ["| Tenure's | at most | measured | |", "|---|---:|---:|---|", ...lines].join("\n");
}

function against(peer: string, question: string, atMost: number, rttMs = 0): Limit {
  return {
    what: `${question}${rttMs > 0 ? `, +${rttMs} ms` : ""}, compared with ${peer}`,
    atMost,
    unit: "x",
    measured: (rows) => quotient(p50Of(rows, "tenure", question, rttMs), p50Of(rows, peer, question, rttMs)),
  };
}

/** Of what the link is said to add: what it adds on a busy machine would flatter. */
function roundTrips(question: string, atMost: number): Limit {
  return {
    what: `${question}, in round trips of ${far} ms`,
    atMost,
    unit: "round trips",
    measured: (rows) => quotient(p50Of(rows, "tenure", question, far), far),
  };
}

function itself(question: string, atMost: number, unit: string): Limit {
  return { what: question, atMost, unit, measured: (rows) => p50Of(rows, "tenure", question) };
}

function p50Of(rows: readonly Row[], peer: string, question: string, rttMs = 0): number | undefined {
  return rows.find((row) => row.peer === peer && row.question === question && row.rttMs === rttMs)?.p50;
}

function quotient(value: number | undefined, divisor: number | undefined): number | undefined {
  return value === undefined || divisor === undefined ? undefined : value / divisor;
}

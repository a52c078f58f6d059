import { topologies } from "./topologies.ts";

/** One line of the result. Durations are milliseconds. */
export interface Row {
  /** Added round trip between sites. */
  readonly rttMs: number;
  readonly topology: string;
  readonly question: string;
  /** Which of several answers to the question, in the order in which it names them. */
  readonly part?: string;
  /** Where what is measured happens. */
  readonly where: string;
  readonly n: number;
  readonly medianMs: number;
  /** Nine of ten are not worse. */
  readonly p90Ms: number;
  /** The longest, or the least where little is bad. */
  readonly worstMs: number;
  /** How many round trips between sites it takes by the formula, where that is what it takes. */
  readonly expectedRoundTrips?: number;
  /** In how many of `n` cases a leadership was kept, where that is the question. */
  readonly kept?: number;
}

/** Where a row belongs, and what it is about. */
export type RowHead = Omit<Row, "n" | "medianMs" | "p90Ms" | "worstMs">;

/** Condenses measurements to a row. */
export function rowOf(head: RowHead, values: readonly number[], worst: "long" | "short" = "long"): Row {
  const sorted = values.toSorted((a, b) => (worst === "long" ? a - b : b - a));
  const at = (share: number): number => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    if (value === undefined) throw new Error(`nothing was measured: ${head.question}, ${head.where}`);
    return Number(value.toFixed(1));
  };
  return { ...head, n: sorted.length, medianMs: at(0.5), p90Ms: at(0.9), worstMs: at(1) };
}

/** The rows as tables in Markdown: one for each topology, a column for each round trip between sites. */
export function tablesOf(rows: readonly Row[]): string {
  const rtts = [...new Set(rows.map(({ rttMs }) => rttMs))];
  const names = [...new Set(rows.map(({ topology }) => topology))];
  return names.map((name) => tableOf(name, rtts, rows)).join("\n\n");
}

function tableOf(name: string, rtts: readonly number[], rows: readonly Row[]): string {
  const own = rows.filter(({ topology }) => topology === name);
  const lines = new Map<string, Row[]>();
  for (const row of own) {
    const title = `${row.question} | ${row.where} | ${row.expectedRoundTrips ?? "–"}`;
    lines.set(title, [...(lines.get(title) ?? []), row]);
  }
  const columns = rtts.filter((rttMs) => own.some((row) => row.rttMs === rttMs));
  const says = topologies.find((topology) => topology.name === name)?.says ?? "";
  const head = `| ${name}: ${says} | where | round trips | ${columns.map((rttMs) => `+${rttMs} ms`).join(" | ")} |`;
  const rule = `|---|---|---|${columns.map(() => "---|").join("")}`;
  const body = [...lines].map(([title, found]) => {
    const cells = columns.map((rttMs) =>
      found
        .filter((row) => row.rttMs === rttMs)
        .map(cellOf)
        .join(" · "),
    );
    return `| ${title} | ${cells.join(" | ")} |`;
  });
  return [head, rule, ...body].join("\n");
}

function cellOf({ medianMs, p90Ms, n, kept }: Row): string {
  return `${shown(medianMs)} / ${shown(p90Ms)} (${kept === undefined ? n : `${kept} of ${n}`})`;
}

function shown(durationMs: number): string {
  return durationMs >= 100 ? durationMs.toFixed(0) : durationMs.toFixed(1);
}

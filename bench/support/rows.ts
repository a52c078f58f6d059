/** One line of the result. */
export interface Row {
  readonly question: string;
  readonly peer: string;
  /** Added round trip to etcd. */
  readonly rttMs: number;
  /** What `p50` and `p95` are counted in. */
  readonly unit: Unit;
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  /** `p50` compared with that of Go's client with the same round trip; null where Go has none, or 0. */
  readonly ratio: number | null;
}

export type Unit = "ms" | "MB" | "%" | "B/s" | "kB" | "requests" | "streams" | "leases";

/** Whom the others are compared with. */
const reference = "go";

interface Series {
  readonly question: string;
  readonly peer: string;
  readonly rttMs: number;
  readonly unit: Unit;
  readonly values: number[];
}

/** All that was measured so far. */
export class Measurements {
  readonly #series = new Map<string, Series>();

  add(question: string, peer: string, rttMs: number, unit: Unit, values: readonly number[]): void {
    const id = JSON.stringify([question, peer, rttMs]);
    const series = this.#series.get(id) ?? { question, peer, rttMs, unit, values: [] };
    series.values.push(...values);
    this.#series.set(id, series);
  }

  get rows(): Row[] {
    const all = [...this.#series.values()].filter(({ values }) => values.length > 0);
    return all.map(({ question, peer, rttMs, unit, values }) => {
      const other = all.find((each) => each.question === question && each.rttMs === rttMs && each.peer === reference);
      const p50 = quantile(values, 0.5);
      const reference50 = other === undefined ? 0 : quantile(other.values, 0.5);
      const ratio = reference50 === 0 ? null : rounded(p50 / reference50);
      const p95 = quantile(values, 0.95);
      return { question, peer, rttMs, unit, count: values.length, p50: rounded(p50), p95: rounded(p95), ratio };
    });
  }
}

/** The least value that this share of all is not above. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

function rounded(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : value;
}

/** The rows as a table in Markdown: a line for each question and distance, a column for each peer. */
export function tableOf(rows: readonly Row[]): string {
  const peers = [...new Set(rows.map(({ peer }) => peer))];
  const lines = new Map<string, Row[]>();
  for (const row of rows) {
    const title = `${row.question} | ${row.rttMs > 0 ? `+${row.rttMs} ms` : ""} | ${row.unit}`;
    lines.set(title, [...(lines.get(title) ?? []), row]);
  }
  const head = `| question | link | unit | ${peers.join(" | ")} |`;
  const rule = `|---|---|---|${peers.map(() => "---:|").join("")}`;
  const body = [...lines].map(([title, found]) => {
    const cells = peers.map((peer) => cellOf(found.find((row) => row.peer === peer)));
    return `| ${title} | ${cells.join(" | ")} |`;
  });
  return [head, rule, ...body].join("\n");
}

function cellOf(row: Row | undefined): string {
  if (row === undefined) return "";
  const ratio = row.ratio === null || row.peer === reference ? "" : ` (${row.ratio.toFixed(2)}x)`;
  return `${shown(row.p50)} / ${shown(row.p95)}${ratio}`;
}

function shown(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

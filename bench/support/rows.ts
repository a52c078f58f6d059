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
  /** `p50` compared with the reference's at the same distance; null where there is none, or it is 0. */
  readonly ratio: number | null;
  /** Where it stands on the chart of what grows with a number. */
  readonly growth?: Growth;
}

export type Unit = "ms" | "µs" | "MB" | "%" | "B/s" | "kB" | "requests" | "messages" | "streams" | "leases" | "calls/s";

/** A point of a curve: what something costs with so many elections, candidates or observers. */
export interface Growth {
  readonly cost: string;
  readonly size: number;
}

/** Whom the others are compared with: the first of these that has the same question. */
const references = ["go", "grpc-js", "node -e 0"];

/** Of what and of whom values are. */
export interface Subject {
  readonly question: string;
  readonly peer: string;
  readonly rttMs: number;
  readonly unit: Unit;
  readonly growth?: Growth | undefined;
}

interface Series extends Subject {
  readonly values: number[];
}

/** All that was measured so far. */
export class Measurements {
  readonly #series = new Map<string, Series>();

  add(subject: Subject, values: readonly number[]): void {
    const id = JSON.stringify([subject.question, subject.peer, subject.rttMs]);
    const series = this.#series.get(id) ?? { ...subject, values: [] };
    series.values.push(...values);
    this.#series.set(id, series);
  }

  get rows(): Row[] {
    const all = [...this.#series.values()].filter(({ values }) => values.length > 0);
    return all.map((series) => rowOf(series, all));
  }
}

function rowOf({ question, peer, rttMs, unit, growth, values }: Series, all: readonly Series[]): Row {
  const same = all.filter((each) => each.question === question && each.rttMs === rttMs);
  const reference = references.map((name) => same.find((each) => each.peer === name)).find((each) => each);
  const p50 = quantile(values, 0.5);
  const p95 = quantile(values, 0.95);
  const reference50 = reference === undefined ? 0 : quantile(reference.values, 0.5);
  const ratio = reference50 === 0 ? null : rounded(p50 / reference50);
  const found = { question, peer, rttMs, unit, count: values.length, p50: rounded(p50), p95: rounded(p95), ratio };
  return growth === undefined ? found : { ...found, growth };
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
  const ratio = row.ratio === null || references.includes(row.peer) ? "" : ` (${row.ratio.toFixed(2)}x)`;
  return `${shown(row.p50)} / ${shown(row.p95)}${ratio}`;
}

function shown(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

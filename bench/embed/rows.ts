import type { Measure, Unit } from "./protocol.ts";

/** One line of the result. */
export interface Row {
  readonly question: string;
  readonly what: string;
  readonly peer: string;
  readonly unit: Unit;
  readonly count: number;
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** `median` compared with etcd's; null where etcd has none. */
  readonly ratio: number | null;
}

interface Series extends Pick<Row, "question" | "what" | "peer" | "unit"> {
  readonly values: number[];
}

/** All that was measured so far. */
export class Measurements {
  readonly #series = new Map<string, Series>();

  add(question: string, peer: string, measures: readonly Measure[]): void {
    for (const { what, unit, value } of measures) {
      const id = JSON.stringify([question, what, peer]);
      const series = this.#series.get(id) ?? { question, what, peer, unit, values: [] };
      series.values.push(value);
      this.#series.set(id, series);
    }
  }

  get rows(): Row[] {
    const all = [...this.#series.values()];
    return all.map(({ question, what, peer, unit, values }) => {
      const same = all.filter((each) => each.question === question && each.what === what);
      const etcd = same.find((each) => each.peer.startsWith("etcd"));
      const median = medianOf(values);
      const ratio = etcd === undefined ? null : rounded(median / medianOf(etcd.values));
      const [least, most] = [rounded(Math.min(...values)), rounded(Math.max(...values))];
      return { question, what, peer, unit, count: values.length, median: rounded(median), least, most, ratio };
    });
  }
}

/** The rows as tables in Markdown: one for each question, a column for each peer. */
export function tablesOf(rows: readonly Row[]): string {
  const questions = [...new Set(rows.map(({ question }) => question))];
  return questions.map((name) => tableOf(rows.filter(({ question }) => question === name))).join("\n\n");
}

function tableOf(rows: readonly Row[]): string {
  const peers = [...new Set(rows.map(({ peer }) => peer))];
  const lines = [...new Set(rows.map(({ what }) => what))];
  const head = `| ${rows[0]?.question ?? ""} | unit | ${peers.join(" | ")} |`;
  const rule = `|---|---|${peers.map(() => "---:|").join("")}`;
  const body = lines.map((what) => {
    const own = rows.filter((row) => row.what === what);
    const cells = peers.map((peer) => cellOf(own.find((row) => row.peer === peer)));
    return `| ${what} | ${own[0]?.unit ?? ""} | ${cells.join(" | ")} |`;
  });
  return [head, rule, ...body].join("\n");
}

function cellOf(row: Row | undefined): string {
  if (row === undefined) return "";
  const spread = row.count > 1 ? ` (${shown(row.least)}–${shown(row.most)})` : "";
  const ratio = row.ratio === null || row.peer.startsWith("etcd") ? "" : ` ${row.ratio.toFixed(2)}x`;
  return `${shown(row.median)}${spread}${ratio}`;
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[(sorted.length >> 1) - 1] ?? Number.NaN)) / 2;
}

function rounded(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : value;
}

function shown(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

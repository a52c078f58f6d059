import type { Row } from "./rows.ts";
import { at, coloursOf, decadesOf, exponents, legend, svg, text } from "./svg.ts";

const lineHeight = 18;
const margin = { top: 40, right: 20, bottom: 30, left: 470 };
const plotWidth = 560;

/** All durations as a picture: a line for each question, a dot at each median, and a dash up to the 95th percentile. */
export function plotOf(rows: readonly Row[]): string {
  const durations = rows.filter(({ unit, p50 }) => unit === "ms" && p50 > 0);
  const titles = [...new Set(durations.map(titleOf))];
  const peers = [...new Set(durations.map(({ peer }) => peer))];
  const colourOf = coloursOf(peers);
  const decades = decadesOf(durations.flatMap(({ p50, p95 }) => [p50, p95]));
  const height = margin.top + titles.length * lineHeight + margin.bottom;
  const x = (value: number): number => {
    const share = (Math.log10(value) - decades.from) / (decades.to - decades.from);
    return at(margin.left + share * plotWidth);
  };
  const y = (row: Row): number => margin.top + (titles.indexOf(titleOf(row)) + 0.5) * lineHeight;
  return svg(margin.left + plotWidth + margin.right, height, [
    ...legend(peers),
    ...exponents(decades).map((exponent) => {
      const value = 10 ** exponent;
      const line = `<line x1="${x(value)}" x2="${x(value)}" y1="${margin.top}" y2="${height - margin.bottom}"`;
      return `${line} stroke="#ddd"/>${text(x(value), height - 12, `${value} ms`, "middle")}`;
    }),
    ...titles.map((title, index) => text(margin.left - 8, margin.top + (index + 0.5) * lineHeight + 4, title, "end")),
    ...durations.map((row) => {
      const mark = `stroke="${colourOf(row.peer)}" stroke-opacity="0.5"`;
      const dash = `<line x1="${x(row.p50)}" x2="${x(row.p95)}" y1="${y(row)}" y2="${y(row)}" ${mark}/>`;
      return `${dash}<circle cx="${x(row.p50)}" cy="${y(row)}" r="4" fill="${colourOf(row.peer)}"/>`;
    }),
  ]);
}

function titleOf({ question, rttMs }: Row): string {
  return rttMs > 0 ? `${question}, +${rttMs} ms` : question;
}

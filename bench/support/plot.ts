import type { Row } from "./rows.ts";

const colours = ["#1f77b4", "#2ca02c", "#d62728", "#7f7f7f", "#9467bd", "#ff7f0e", "#8c564b", "#17becf"];
const lineHeight = 18;
const margin = { top: 40, right: 20, bottom: 30, left: 430 };
const plotWidth = 560;

/** All durations as a picture: a line for each question, a dot at each median, and a dash up to the 95th percentile. */
export function plotOf(rows: readonly Row[]): string {
  const durations = rows.filter(({ unit, p50 }) => unit === "ms" && p50 > 0);
  const titles = [...new Set(durations.map(titleOf))];
  const peers = [...new Set(durations.map(({ peer }) => peer))];
  const decades = decadesOf(durations.flatMap(({ p50, p95 }) => [p50, p95]));
  const height = margin.top + titles.length * lineHeight + margin.bottom;
  const width = margin.left + plotWidth + margin.right;
  const x = (value: number): number => {
    const share = (Math.log10(value) - decades.from) / (decades.to - decades.from);
    return Number((margin.left + share * plotWidth).toFixed(1));
  };
  const y = (row: Row): number => margin.top + (titles.indexOf(titleOf(row)) + 0.5) * lineHeight;
  const colourOf = (peer: string): string => colours[peers.indexOf(peer) % colours.length] ?? "black";
  const font = 'font-family="sans-serif" font-size="11"';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ${font}>`,
    `<rect width="100%" height="100%" fill="white"/>`,
    ...peers.map((peer, index) => {
      const at = 10 + index * 115;
      const dot = `<circle cx="${at}" cy="14" r="4" fill="${colourOf(peer)}"/>`;
      return `${dot}<text x="${at + 8}" y="18">${escaped(peer)}</text>`;
    }),
    ...Array.from({ length: decades.to - decades.from + 1 }, (_, index) => {
      const value = 10 ** (decades.from + index);
      const line = `<line x1="${x(value)}" x2="${x(value)}" y1="${margin.top}" y2="${height - margin.bottom}"`;
      return `${line} stroke="#ddd"/><text x="${x(value)}" y="${height - 12}" text-anchor="middle">${value} ms</text>`;
    }),
    ...titles.map((title, index) => {
      const at = margin.top + (index + 0.5) * lineHeight + 4;
      return `<text x="${margin.left - 8}" y="${at}" text-anchor="end">${escaped(title)}</text>`;
    }),
    ...durations.map((row) => {
      const mark = `stroke="${colourOf(row.peer)}" stroke-opacity="0.5"`;
      const dash = `<line x1="${x(row.p50)}" x2="${x(row.p95)}" y1="${y(row)}" y2="${y(row)}" ${mark}/>`;
      return `${dash}<circle cx="${x(row.p50)}" cy="${y(row)}" r="4" fill="${colourOf(row.peer)}"/>`;
    }),
    "</svg>",
    "",
  ].join("\n");
}

function titleOf({ question, rttMs }: Row): string {
  return rttMs > 0 ? `${question}, +${rttMs} ms` : question;
}

/** The powers of ten around all values. */
function decadesOf(values: readonly number[]): { readonly from: number; readonly to: number } {
  const from = Math.floor(Math.log10(Math.min(...values)));
  return { from, to: Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values)))) };
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

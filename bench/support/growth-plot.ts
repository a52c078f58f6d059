import type { Growth, Row } from "./rows.ts";
import { at, coloursOf, decadesOf, exponents, legend, svg, text } from "./svg.ts";

type Point = Row & { readonly growth: Growth };

const panel = { width: 320, height: 220 };
const gap = { left: 56, top: 50, bottom: 30 };
const columns = 3;

/** How each cost grows with the number of elections, candidates or observers: a panel each, both axes by decades. */
export function growthPlotOf(rows: readonly Row[]): string {
  const points = rows.filter((row): row is Point => row.growth !== undefined && row.p50 > 0);
  const peers = [...new Set(points.map(({ peer }) => peer))];
  const costs = [...new Set(points.map(({ growth }) => growth.cost))];
  const width = Math.max(1, Math.min(costs.length, columns)) * (gap.left + panel.width) + gap.left / 2;
  const height = Math.ceil(costs.length / columns) * (gap.top + panel.height + gap.bottom) + 20;
  const panels = costs.map((cost, index) => {
    const left = gap.left + (index % columns) * (gap.left + panel.width);
    const top = 20 + gap.top + Math.floor(index / columns) * (gap.top + panel.height + gap.bottom);
    const own = points.filter(({ growth }) => growth.cost === cost);
    return `<g transform="translate(${left},${top})">${panelOf(cost, own, peers).join("\n")}</g>`;
  });
  return svg(width, height, [...legend(peers), ...panels]);
}

function panelOf(cost: string, points: readonly Point[], peers: readonly string[]): string[] {
  const colourOf = coloursOf(peers);
  const across = decadesOf(points.map(({ growth }) => growth.size));
  const up = decadesOf(points.map(({ p50 }) => p50));
  const x = (size: number): number => at(share(size, across) * panel.width);
  const y = (value: number): number => at(panel.height - share(value, up) * panel.height);
  return [
    text(0, -12, cost, "start"),
    ...exponents(across).map((exponent) => {
      const value = 10 ** exponent;
      const line = `<line x1="${x(value)}" x2="${x(value)}" y1="0" y2="${panel.height}" stroke="#ddd"/>`;
      return `${line}${text(x(value), panel.height + 16, value.toLocaleString("en"), "middle")}`;
    }),
    ...exponents(up).map((exponent) => {
      const value = 10 ** exponent;
      const line = `<line x1="0" x2="${panel.width}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>`;
      return `${line}${text(-6, y(value) + 4, value.toLocaleString("en"), "end")}`;
    }),
    ...peers.map((peer) => {
      const own = points.filter((point) => point.peer === peer);
      const places = own.map(({ growth, p50 }) => [x(growth.size), y(p50)] as const);
      const line = `<polyline points="${places.map((place) => place.join(",")).join(" ")}" fill="none"`;
      const dots = places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colourOf(peer)}"/>`);
      return `${line} stroke="${colourOf(peer)}"/>${dots.join("")}`;
    }),
  ];
}

function share(value: number, { from, to }: { readonly from: number; readonly to: number }): number {
  return (Math.log10(value) - from) / (to - from);
}

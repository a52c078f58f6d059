/** The colour of each peer, the same on all plots. */
export function coloursOf(peers: readonly string[]): (peer: string) => string {
  const colours = ["#1f77b4", "#2ca02c", "#d62728", "#7f7f7f", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#e377c2"];
  return (peer) => colours[peers.indexOf(peer) % colours.length] ?? "black";
}

/** A picture of that size. */
export function svg(width: number, height: number, parts: readonly string[]): string {
  const size = `width="${width}" height="${height}"`;
  const head = `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11">`;
  return [head, `<rect width="100%" height="100%" fill="white"/>`, ...parts, "</svg>", ""].join("\n");
}

/** Says in a line at the top which colour is whose. */
export function legend(peers: readonly string[]): string[] {
  const colourOf = coloursOf(peers);
  return peers.map((peer, index) => {
    const at = 10 + index * 115;
    return `<circle cx="${at}" cy="14" r="4" fill="${colourOf(peer)}"/>${text(at + 8, 18, peer, "start")}`;
  });
}

/** A piece of text. */
export function text(x: number, y: number, content: string, anchor: "start" | "middle" | "end"): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${escaped}</text>`;
}

/** The powers of ten around all values, as exponents. */
export function decadesOf(values: readonly number[]): { readonly from: number; readonly to: number } {
  const from = Math.floor(Math.log10(Math.min(...values)));
  return { from, to: Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values)))) };
}

/** The exponents from one to another. */
export function exponents({ from, to }: { readonly from: number; readonly to: number }): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** A coordinate, short. */
export function at(value: number): number {
  return Number(value.toFixed(1));
}

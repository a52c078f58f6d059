import type { Rest } from "./candidate.ts";
import type { Violation } from "./history.ts";

/** One number of a process over the time it lived, its first minutes left out. */
export interface Series {
  /** Medians of the first and of the last quarter. */
  readonly first: number;
  readonly last: number;
  /** The slope of the straight line that fits best. */
  readonly perMinute: number;
}

/** What a process had in use at rest. */
export interface Life {
  readonly process: string;
  readonly minutes: number;
  readonly rssMb: Series;
  readonly heapMb: Series;
  readonly handles: Series;
  readonly listeners: Series;
}

/** Until then code is compiled, buffers are made, and all ways of failing are met for the first time. */
const warmUpMs = 120_000;
/** Over a shorter time the slope of what merely moves up and down is too steep to judge. */
const judgedMs = 180_000;
const samplesMin = 8;
const minuteMs = 60_000;
const megabyte = 1024 * 1024;

const rssMbPerMinuteMax = 1;
const heapMbPerMinuteMax = 0.15;
const moreHandlesMax = 6;
const moreListenersMax = 30;

/** Sums up a life; undefined when it was too short to say anything. */
export function lifeOf(process: string, rests: readonly Rest[]): Life | undefined {
  const born = rests[0]?.at ?? 0;
  const minutes = ((rests.at(-1)?.at ?? 0) - born) / minuteMs;
  const warm = rests.filter(({ at }) => at >= born + warmUpMs);
  if (warm.length < samplesMin || minutes * minuteMs < warmUpMs + judgedMs) return undefined;
  const series = (of: (rest: Rest) => number) => seriesOf(warm.map((rest) => [rest.at, of(rest)]));
  return {
    process,
    minutes: round(minutes),
    rssMb: series(({ rss }) => rss / megabyte),
    heapMb: series(({ heap }) => heap / megabyte),
    handles: series(({ handles }) => handles),
    listeners: series(({ listeners }) => listeners),
  };
}

/** What of a life is not flat. */
export function unflat({ process, minutes, rssMb, heapMb, handles, listeners }: Life): Violation[] {
  const wrong = [
    rssMb.perMinute > rssMbPerMinuteMax && `${rssMb.perMinute} MB of memory per minute`,
    heapMb.perMinute > heapMbPerMinuteMax && `${heapMb.perMinute} MB of heap per minute`,
    handles.last - handles.first > moreHandlesMax && `from ${handles.first} handles to ${handles.last}`,
    listeners.last - listeners.first > moreListenersMax && `from ${listeners.first} listeners to ${listeners.last}`,
  ].filter((text) => text !== false);
  return wrong.map((text) => ({ rule: "flat", text: `${process} grew in ${minutes} minutes: ${text}` }));
}

function seriesOf(points: readonly (readonly [at: number, value: number])[]): Series {
  const values = points.map(([, value]) => value);
  const quarter = Math.ceil(values.length / 4);
  return {
    first: round(median(values.slice(0, quarter))),
    last: round(median(values.slice(-quarter))),
    perMinute: round(slope(points) * minuteMs),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}

// Least squares.
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const x0 = mean(([x]) => x);
  const y0 = mean(([, y]) => y);
  const spread = mean(([x]) => (x - x0) ** 2);
  return spread === 0 ? 0 : mean(([x, y]) => (x - x0) * (y - y0)) / spread;
}

function round(number: number): number {
  return Math.round(number * 1000) / 1000;
}

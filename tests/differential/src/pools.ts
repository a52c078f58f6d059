import type { Chance } from "../../simulation/src/chance.ts";
import type { Json } from "./operation.ts";

/** Few keys, so that operations meet; with the sorting of ten or less, etcd's order among equals is the one of keys. */
const keys = ["a", "b", "c", "a/1", "a/2", "b/\u00e9", "\u0000", "\u00ff", "\u00ff\u00ff"] as const;
const rangeEnds = ["", "\u0000", "b", "c", "d", "a0", "a/2", "b0", "\u00ff", "\u0001", "a"] as const;
export const largest = "9223372036854775807";
const smallest = "-9223372036854775808";

/** What one generator draws from, and what it remembers to draw what matters. */
export interface Pools {
  readonly chance: Chance;
  /** The newest revision, as the last answer had it. */
  readonly revision: number;
  /** A revision that was compacted, 0 before the first compaction. */
  readonly compacted: number;
  /** Every revision that was compacted at. */
  readonly compactions: ReadonlySet<Json>;
  /** The revision of the auth store, as its last answer had it. */
  readonly authRevision: number;
  /** Names of leases that servers numbered. */
  readonly namedLeases: readonly string[];
}

/** Picks one by weight. */
export function weighted<T>(chance: Chance, choices: readonly (readonly [weight: number, value: T])[]): T {
  let left = chance.fraction() * choices.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, value] of choices) {
    left -= weight;
    if (left < 0) return value;
  }
  throw new Error("nothing to pick from");
}

export function key(chance: Chance): string {
  return chance.happens(0.01) ? "" : chance.pick(keys);
}

/** The `key` and `rangeEnd` of a request. */
export function range(chance: Chance): Record<string, Json> {
  const start = chance.happens(0.1) ? "\u0000" : key(chance);
  return chance.happens(0.4) ? { key: start } : { key: start, rangeEnd: chance.pick(rangeEnds) };
}

export function value(chance: Chance): Json {
  return weighted<Json>(chance, [
    [60, chance.pick(["x", "y", "z", "xx"])],
    [5, ""],
    [3, "\u0000\u00ff"],
    [3, { times: chance.whole(100, 2000), of: "v" }],
    // On both sides of the limit of 1.5 MiB, and not so near that it matters how long the ids of a cluster are.
    [0.2, { times: 1_572_864 + chance.pick([-200, -100, 20, 60]), of: "v" }],
    [0.1, { times: 2_200_000, of: "v" }],
  ]);
}

/** A revision to read, watch or compact at. */
export function revision({ chance, revision: now, compacted }: Pools): Json {
  return weighted<Json>(chance, [
    [10, now],
    [30, Math.max(1, now - chance.whole(0, 30))],
    [8, Math.max(1, compacted + chance.whole(-2, 2))],
    [3, 1],
    [4, now + 1],
    [2, now + chance.whole(2, 1000)],
    [2, -1],
    [1, largest],
    [1, smallest],
  ]);
}

/** A lease that may be there or not. */
export function lease({ chance, namedLeases }: Pools): Json {
  return weighted<Json>(chance, [
    [20, chance.whole(1, 5)],
    [namedLeases.length > 0 ? 6 : 0, namedLeases.length > 0 ? chance.pick(namedLeases) : 0],
    [1, -7],
    [1, largest],
    [1, 404],
  ]);
}

import type { KeyRange } from "./key-range.ts";

/** The keys from `begin` up to but not including `end`; without an `end`, all keys from `begin` on. */
interface Interval {
  readonly begin: string;
  readonly end: string | undefined;
}

/** The ranges of keys that somebody may read, or write, out of any number of roles. */
export class RangePermissions {
  /** In order of where they begin. */
  readonly #intervals: readonly Interval[];

  constructor(ranges: readonly KeyRange[]) {
    this.#intervals = ranges.map(intervalOf).toSorted((a, b) => (a.begin < b.begin ? -1 : 1));
  }

  /** Whether every key of a range is among them; ranges that adjoin count as one. */
  contains(range: KeyRange): boolean {
    const wanted = intervalOf(range);
    let covered: Interval | undefined;
    for (const interval of this.#intervals) {
      if (!meets(interval, wanted)) continue;
      if (covered === undefined) covered = interval;
      else if (isBefore(covered.end, interval.begin)) return false;
      else if (isBefore(covered.end, interval.end)) covered = { begin: covered.begin, end: interval.end };
    }
    return covered !== undefined && covered.begin <= wanted.begin && !isBefore(covered.end, wanted.end);
  }
}

function intervalOf(range: KeyRange): Interval {
  // Between a key and the same key with a zero byte after it there is no other.
  return range.kind === "key" ? { begin: range.key, end: `${range.key}\0` } : { begin: range.start, end: range.end };
}

/** As etcd looks for them: a range that ends before it begins lies where it begins. */
function meets({ begin, end }: Interval, wanted: Interval): boolean {
  return isBefore(wanted.begin, end) && (begin <= wanted.begin || isBefore(begin, wanted.end));
}

/** Whether one end comes before another; undefined is the end of all keys. */
function isBefore(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && (b === undefined || a < b);
}

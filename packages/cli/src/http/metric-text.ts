/** What labels a sample has. */
export type Labels = Readonly<Record<string, string>>;

/** Prometheus' kinds of metric, as far as they are used here. */
export type MetricType = "counter" | "gauge" | "histogram";

/** What the text format is served as. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Labels as they stand between the braces. */
export function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escaped)}"`)
    .join(",");
}

function escaped(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}

const LINE_FEED = 10;
/** No character takes more in UTF-8. */
const MAX_CHARACTER_BYTES = 3;

/**
 * A page in Prometheus' text format 0.0.4, written family by family.
 *
 * It is written as bytes, outside of the heap: a page of many services is a megabyte, and as a string it would stay in
 * memory until all of the heap is looked through, which in a process that does little else is after many pages.
 */
export class MetricsPage {
  #bytes: Buffer;
  #length = 0;
  #name = "";

  /** @param expectedBytes about how long it will be; a longer one is moved while it grows */
  constructor(expectedBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(expectedBytes);
  }

  /** Starts a metric; all its samples follow. */
  family(name: string, type: MetricType, help: string): void {
    this.#name = name;
    this.#add(`# HELP ${name} ${help.replace(/[\\\n]/g, escaped)}`);
    this.#add(`# TYPE ${name} ${type}`);
  }

  /** @param labels as {@link labelText} has them */
  sample(value: number, labels = ""): void {
    this.#add(line(this.#name, labels, value));
  }

  histogram(histogram: Histogram, labels = ""): void {
    this.#add(histogram.text(this.#name, labels));
  }

  /** The page so far, in UTF-8. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #add(text: string): void {
    const needed = this.#length + (text.length + 1) * MAX_CHARACTER_BYTES;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#length += this.#bytes.write(text, this.#length);
    this.#bytes[this.#length++] = LINE_FEED;
  }
}

function line(name: string, labels: string, value: number): string {
  return labels === "" ? `${name} ${number(value)}` : `${name}{${labels}} ${number(value)}`;
}

function number(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

/** Counts values by how large they are, for one metric and one set of labels. */
export class Histogram {
  /** Upper bounds, rising; what is above the last one counts too. */
  readonly bounds: readonly number[];
  /** How many values fell below each bound and above the one before. */
  readonly counts: number[];
  sum = 0;
  /** Kept, since most histograms of many services have not changed since they were asked for last. */
  #text: string | undefined;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const found = this.bounds.findIndex((bound) => value <= bound);
    const index = found < 0 ? this.bounds.length : found;
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.sum += value;
    this.#text = undefined;
  }

  /** Its lines, always for the same name and labels. */
  text(name: string, labels: string): string {
    this.#text ??= this.#lines(name, labels).join("\n");
    return this.#text;
  }

  #lines(name: string, labels: string): string[] {
    const before = labels === "" ? "" : `${labels},`;
    let count = 0;
    const buckets = [...this.bounds, Infinity].map((bound, index) => {
      count += this.counts[index] ?? 0;
      return line(`${name}_bucket`, `${before}le="${number(bound)}"`, count);
    });
    return [...buckets, line(`${name}_sum`, labels, this.sum), line(`${name}_count`, labels, count)];
  }
}

/** A sample of a metric. */
export interface Sample {
  /** With `_bucket`, `_sum` or `_count` for those of a histogram. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly name: string;
  readonly type: string;
  readonly samples: Sample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = '([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\\\\n]*(?:\\\\["\\\\n][^"\\\\\\n]*)*)"';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (\\S+)$`);
const LABELS = new RegExp(LABEL, "g");
const NUMBER = /^(?:[+-]Inf|NaN|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

/**
 * Reads a page of Prometheus' text format 0.0.4, and refuses all that the format or good manners forbid: a metric
 * without help or type or given twice, samples outside of their metric or given twice, histograms that do not add up,
 * names without a unit's suffix where there is a convention.
 */
export function parseMetrics(text: string): Sample[] {
  if (!text.endsWith("\n") || text.includes("\r")) throw new Error("each line ends with a line feed");
  const families = new Map<string, Family>();
  let current: Family | undefined;
  let help: string | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") help = name;
    else if (kind === "TYPE") {
      if (help !== name) throw new Error(`no help before the type of ${name}`);
      if (families.has(name)) throw new Error(`${name} is given twice`);
      if ((rest === "counter") !== name.endsWith("_total")) throw new Error(`only counters end with _total: ${name}`);
      if (!["counter", "gauge", "histogram"].includes(rest)) throw new Error(`unknown type: ${line}`);
      current = { name, type: rest, samples: [] };
      families.set(name, current);
    } else if (current === undefined) throw new Error(`no metric for: ${line}`);
    else current.samples.push(sampleIn(line, current));
  }
  for (const family of families.values()) check(family);
  return [...families.values()].flatMap(({ samples }) => samples);
}

function sampleIn(line: string, { name: family, type }: Family): Sample {
  const match = SAMPLE.exec(line);
  const [name = "", text = "", value = ""] = [match?.[1], match?.[2], match?.at(-1)];
  if (match === null || !NUMBER.test(value)) throw new Error(`no sample: ${line}`);
  const suffix = name.slice(family.length);
  const allowed = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
  if (!name.startsWith(family) || !allowed.includes(suffix)) throw new Error(`outside of ${family}: ${line}`);
  const labels: Record<string, string> = {};
  for (const [, label = "", escaped = ""] of text.matchAll(LABELS)) {
    if (label in labels) throw new Error(`a label is given twice: ${line}`);
    labels[label] = escaped.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));
  }
  return { name, labels, value: Number(value.replace("Inf", "Infinity")) };
}

function check({ name, type, samples }: Family): void {
  const keys = samples.map((sample) => JSON.stringify([sample.name, sample.labels]));
  if (new Set(keys).size < keys.length) throw new Error(`a sample of ${name} is given twice`);
  if (type === "counter" && samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} counts below 0`);
  if (type === "histogram") checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const series = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    const known = series.get(key);
    if (known === undefined) series.set(key, [sample]);
    else known.push(sample);
  }
  for (const [labels, each] of series) {
    const buckets = each.filter((sample) => sample.name.endsWith("_bucket"));
    const bounds = buckets.map((bucket) => Number(bucket.labels["le"]?.replace("Inf", "Infinity")));
    const counts = buckets.map(({ value }) => value);
    const [sum, ...sums] = each.filter((sample) => sample.name.endsWith("_sum"));
    const [count, ...more] = each.filter((sample) => sample.name.endsWith("_count"));
    const wrong =
      !rises(bounds, true) || bounds.at(-1) !== Infinity || !rises(counts, false) || counts.at(-1) !== count?.value;
    if (wrong || sum === undefined || sums.length + more.length > 0)
      throw new Error(`${name}${labels} is no histogram`);
  }
}

function rises(values: readonly number[], strictly: boolean): boolean {
  return values.every((value, index) => {
    const before = values[index - 1] ?? -Infinity;
    return strictly ? value > before : value >= before;
  });
}

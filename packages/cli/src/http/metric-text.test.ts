import { describe, expect, it } from "vitest";
import { Histogram, labelText, MetricsPage } from "./metric-text.ts";
import { parseMetrics } from "./testing/parse-metrics.ts";

describe("a page of metrics", () => {
  it("says any text in labels and help", () => {
    const page = new MetricsPage(1);
    const labels = { election: 'a"b\\c\nd{}=,', other: "ü\t€" };
    page.family("x", "gauge", "a\\b\nc");
    page.sample(-1.5, labelText(labels));
    expect(parseMetrics(page.bytes.toString())).toEqual([{ name: "x", labels, value: -1.5 }]);
  });

  it("writes numbers that are none as Prometheus does", () => {
    const page = new MetricsPage(1);
    page.family("x", "gauge", "x");
    for (const [index, value] of [Infinity, -Infinity, NaN, 1e21, 1e-9].entries()) page.sample(value, `n="${index}"`);
    expect(page.bytes.toString().split("\n").slice(2, 7)).toEqual([
      'x{n="0"} +Inf',
      'x{n="1"} -Inf',
      'x{n="2"} NaN',
      'x{n="3"} 1e+21',
      'x{n="4"} 1e-9',
    ]);
    expect(parseMetrics(page.bytes.toString())).toHaveLength(5);
  });

  it("shows what was counted since it was asked for last", () => {
    const histogram = new Histogram([1]);
    expect(histogram.text("x", "")).toContain("x_count 0");
    histogram.observe(0.5);
    expect(histogram.text("x", "")).toContain("x_count 1");
  });

  it("adds buckets up, bounds included in theirs", () => {
    const page = new MetricsPage(1);
    const histogram = new Histogram([0.1, 1]);
    for (const value of [0.05, 0.1, 0.5, 1, 7]) histogram.observe(value);
    page.family("x_seconds", "histogram", "x");
    page.histogram(histogram, 'a="b"');
    expect(page.bytes.toString().split("\n").slice(2)).toEqual([
      'x_seconds_bucket{a="b",le="0.1"} 2',
      'x_seconds_bucket{a="b",le="1"} 4',
      'x_seconds_bucket{a="b",le="+Inf"} 5',
      'x_seconds_sum{a="b"} 8.65',
      'x_seconds_count{a="b"} 5',
      "",
    ]);
  });
});

describe("the parser that tests rely on", () => {
  const head = "# HELP x_total x\n# TYPE x_total counter\n";
  const histogram = "# HELP h x\n# TYPE h histogram\n";
  it.each([
    ["no line feed at the end", "ends with a line feed", `${head}x_total 1`],
    ["no help", "no help before", "# TYPE x gauge\nx 1\n"],
    ["a counter without _total", "only counters", "# HELP x x\n# TYPE x counter\nx 1\n"],
    ["a metric given twice", "x_total is given twice", `${head}${head}`],
    ["another metric's sample", "outside of x_total", `${head}y_total 1\n`],
    ["a sample given twice", "a sample of x_total", `${head}x_total 1\nx_total 2\n`],
    ["a number that is none", "no sample", `${head}x_total one\n`],
    ["a label that is not quoted", "no sample", `${head}x_total{a=b} 1\n`],
    ["a label with a bare quote", "no sample", `${head}x_total{a="b"c"} 1\n`],
    [
      "buckets that fall",
      "is no histogram",
      `${histogram}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
    ],
    ["a count that differs", "is no histogram", `${histogram}h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`],
    ["no infinite bucket", "is no histogram", `${histogram}h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n`],
  ])("refuses %s", (_, message, text) => {
    expect(() => parseMetrics(text)).toThrow(message);
  });
});

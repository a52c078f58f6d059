import { describe, expect, it } from "vitest";
import { growthPlotOf } from "../../bench/support/growth-plot.ts";
import { limitsOf, limitsTable } from "../../bench/support/limits.ts";
import { Patience } from "../../bench/support/patience.ts";
import { plotOf } from "../../bench/support/plot.ts";
import { Measurements, tableOf } from "../../bench/support/rows.ts";
import { go, tenure } from "../../bench/support/stage.ts";

const campaign = "campaign, session ready";
const held = "1000 elections in one process: streams";

/** Both peers won elections at a distance. */
function measured(tenureMs: readonly number[], goMs: readonly number[]): Measurements {
  const measurements = new Measurements();
  const far = { rttMs: 20, unit: "ms" } as const;
  measurements.add({ question: campaign, peer: "tenure", ...far }, tenureMs);
  measurements.add({ question: campaign, peer: "go", ...far }, goMs);
  return measurements;
}

describe("what was measured", () => {
  it("becomes a row for each question and peer: median, 95th percentile, and the median compared with Go's", () => {
    const { rows } = measured([23, 21, 30], [40, 42, 44]);
    expect(rows.find(({ peer }) => peer === "tenure")).toEqual({
      question: campaign,
      peer: "tenure",
      rttMs: 20,
      unit: "ms",
      count: 3,
      p50: 23,
      p95: 30,
      ratio: 0.5476,
    });
    expect(tableOf(rows)).toContain(`| ${campaign} | +20 ms | ms | 23.0 / 30.0 (0.55x) | 42.0 / 44.0 |`);
  });

  it("is compared with the limits it has, and with those only", () => {
    const verdicts = (measurements: Measurements): [string, number, boolean][] =>
      limitsOf(measurements.rows).map(({ what, measured: value, met }) => [what, value, met]);
    const inRoundTrips = `${campaign}, in round trips of 20 ms`;
    const comparedWithGo = `${campaign}, +20 ms, compared with go`;
    expect(verdicts(measured([23], [42]))).toEqual([
      [inRoundTrips, 1.15, true],
      [comparedWithGo, 0.548, true],
    ]);
    expect(verdicts(measured([27], [42]))).toEqual([
      [inRoundTrips, 1.35, false],
      [comparedWithGo, 0.643, false],
    ]);
    const streams = new Measurements();
    streams.add({ question: held, peer: "tenure", rttMs: 0, unit: "streams" }, [4]);
    expect(limitsTable(limitsOf(streams.rows))).toContain(`| ${held} | 3 streams | 4 | **missed** |`);
  });

  it("is a dot for each duration on the one plot, and for each size on the other", () => {
    const measurements = measured([23], [42]);
    for (const size of [10, 100, 1_000]) {
      const growth = { cost: "to win so many, ms", size };
      measurements.add({ question: `win ${size}`, peer: "tenure", rttMs: 0, unit: "ms", growth }, [size / 2]);
      const memory = { question: `memory of ${size}`, peer: "tenure", rttMs: 0, unit: "MB" } as const;
      measurements.add({ ...memory, growth: { cost: "memory, MB", size } }, [50 + size]);
    }
    const dots = (svg: string): number => svg.match(/<circle [^>]*cx="\d+(\.\d)?"/g)?.length ?? 0;
    // Beside the dots of the legend, one for each peer.
    expect(dots(plotOf(measurements.rows))).toBe(2 + 5);
    expect(dots(growthPlotOf(measurements.rows))).toBe(1 + 6);
    expect(growthPlotOf(measurements.rows)).not.toContain("NaN");
  });

  it("may be nothing that grows", () => {
    expect(growthPlotOf(measured([23], [42]).rows)).toMatch(/^<svg [^>]*width="\d+" height="\d+"/);
  });
});

describe("patience", () => {
  it("ends for whom the next size would take more than a minute", () => {
    const patience = new Patience();
    expect(patience.has(tenure)).toBe(true);
    patience.took(tenure, 5_000);
    expect([patience.has(tenure), patience.has(go)]).toEqual([true, true]);
    patience.took(tenure, 7_000);
    expect(patience.has(tenure)).toBe(false);
  });

  it("takes it that what grew fast goes on like that", () => {
    const patience = new Patience();
    patience.took(go, 20);
    patience.took(go, 2_000);
    expect(patience.has(go)).toBe(false);
  });
});

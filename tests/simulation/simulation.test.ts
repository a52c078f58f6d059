import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { root, run, type RunResult } from "../support/process.ts";
import { planted, plantedBugs } from "./src/planted-bugs.ts";

const timeoutMs = 110_000;

const simulate = (...flags: string[]): Promise<RunResult> => run(["scripts/simulate.mjs", ...flags], { timeoutMs });

interface Summary {
  readonly seeds: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly terms: number;
  readonly violations: number;
}

const summaryOf = ({ stdout }: RunResult): Summary => JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Summary;

describe("the simulation", { timeout: timeoutMs }, () => {
  it("finds nothing in 150 seeds with faults of every kind", async () => {
    const result = await simulate("--seeds", "150", "--json");
    expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining("0 violations") });
    const { seeds, faults, terms, violations } = summaryOf(result);
    expect({ seeds, violations }).toEqual({ seeds: 150, violations: 0 });
    expect(Object.keys(faults).length).toBeGreaterThanOrEqual(25);
    expect(terms).toBeGreaterThan(1000);
  });

  it("has planted bugs that still apply to the product", async () => {
    // Builds what is read here.
    const listed = await simulate("--list-bugs");
    const source = (file: string): string => readFileSync(`${root}packages/${file}`, "utf8");
    for (const bug of plantedBugs) expect(planted(bug, source(bug.file))).not.toBe(source(bug.file));
    expect(plantedBugs.length).toBeGreaterThanOrEqual(12);
    expect(listed.stdout.trim().split("\n")).toHaveLength(plantedBugs.length);
  });

  it.each(["go-campaign", "no-clock-check", "lead-not-awaited", "silent-observer"])(
    "finds the planted bug %s, and says how to see it again",
    async (name) => {
      const found = await simulate("--bug", name, "--json");
      expect(found).toMatchObject({ code: 1, stderr: expect.stringContaining("replay: ") });
      expect(summaryOf(found).violations).toBeGreaterThan(0);
      const command = /^replay: npm run simulate -- (--seed \d+ --seeds 1 --bug \S+)$/m.exec(found.stderr);
      const replayed = await simulate(...(command?.[1] ?? "").split(" "));
      expect(replayed.code).toBe(1);
      const violation = /^seed \d+: .+$/m;
      expect(violation.exec(replayed.stderr)?.[0]).toBe(violation.exec(found.stderr)?.[0]);
    },
  );

  it("refuses what it does not understand", async () => {
    expect(await simulate("--seeds", "none")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--seeds none"),
    });
    expect(await simulate("--bug", "none")).toMatchObject({ code: 1, stderr: expect.stringContaining("--list-bugs") });
  });
});

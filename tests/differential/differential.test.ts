import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root, run, type RunResult } from "../support/process.ts";
import { planted } from "../simulation/src/planted-bugs.ts";
import { knownDifferences } from "./src/known-differences.ts";
import { plantedBugs } from "./src/planted-bugs.ts";

const timeoutMs = 240_000;

const compare = (...flags: string[]): Promise<RunResult> => run(["scripts/differential.mjs", ...flags], { timeoutMs });

interface Summary {
  readonly version: string;
  readonly operations: number;
  readonly calls: Readonly<Record<string, number>>;
  readonly expiries: number;
  readonly differences: number;
  readonly script?: string;
}

const summaryOf = ({ stdout }: RunResult): Summary => JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Summary;

describe("the embedded server beside etcd", { timeout: timeoutMs }, () => {
  it("gives the same answers and events to 3000 operations", async () => {
    const result = await compare("--operations", "3000", "--seed", "7", "--json");
    expect(result).toMatchObject({ code: 0 });
    const { version, operations, calls, expiries, differences } = summaryOf(result);
    expect({ operations, differences }).toEqual({ operations: 3000, differences: 0 });
    expect(version).toMatch(/^3\.5\./);
    expect(expiries).toBeGreaterThan(0);
    // All that there is to ask for was asked for.
    expect(Object.keys(calls).length).toBeGreaterThanOrEqual(45);
    for (const call of ["Maintenance.HashKV", "Election.Campaign", "Lock.Lock", "sign"])
      expect(calls).toHaveProperty([call]);
  });

  it("is said to differ from it by the document as by the comparison", () => {
    const document = readFileSync(`${root}docs/embed.md`, "utf8");
    const [, section = ""] = document.split("## Where it differs from etcd\n");
    const lines = section.split("\n").filter((line) => line.startsWith("| "));
    const rows = lines.slice(1).map((line) => line.slice(2, -2).split(" | "));
    expect(rows).toEqual(knownDifferences.map(({ etcd, here, why }) => [etcd, here, why]));
  });
});

describe("the comparison", { timeout: timeoutMs }, () => {
  it("has planted bugs that still apply to the server", async () => {
    // Builds what is read here.
    const listed = await compare("--list-bugs");
    const source = (file: string): string => readFileSync(`${root}packages/${file}`, "utf8");
    for (const bug of plantedBugs) expect(planted(bug, source(bug.file))).not.toBe(source(bug.file));
    expect(listed.stdout.trim().split("\n")).toHaveLength(plantedBugs.length);
  });

  // The others take a minute each: `npm run differential -- --bug NAME`.
  it.each([
    "count-with-limit",
    "version-after-delete",
    "no-prev-kv",
    "filter-inverted",
    "lease-not-detached",
    "nospace-takes-puts",
  ])("finds the planted bug %s, and a short script that shows it", async (name) => {
    const found = await compare("--bug", name, "--json");
    expect(found).toMatchObject({ code: 1, stderr: expect.stringContaining("has two answers") });
    const { operations, differences, script = "" } = summaryOf(found);
    expect(differences).toBeGreaterThan(0);
    // A machine that is busy has less time to shorten it.
    expect(script.trim().split("\n").length).toBeLessThan(operations / 2);
  });

  it("replays a script, which shows a difference only while there is one", async () => {
    const dir = mkdtempSync(join(tmpdir(), "tenure-script-"));
    try {
      const file = join(dir, "script.txt");
      const put = (key: string): string => `{"call":"KV.Put","on":0,"request":{"key":"${key}"}}\n`;
      const range = '{"call":"KV.Range","on":1,"request":{"key":"a","rangeEnd":"c","limit":1}}\n';
      writeFileSync(file, `# counts\n${put("a")}${put("b")}${range}`);
      expect(await compare("--bug", "count-with-limit", "--replay", file)).toMatchObject({ code: 1 });
      expect(await compare("--replay", file)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^3 operations/),
      });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("refuses what it does not understand", async () => {
    expect(await compare("--operations", "some")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--operations some"),
    });
    expect(await compare("--bug", "none")).toMatchObject({ code: 1, stderr: expect.stringContaining("--list-bugs") });
    expect(await compare("--replay", "nowhere.txt")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("nowhere.txt"),
    });
  });
});

import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import type { MultiSiteReport } from "../../bench/multi-site.ts";
import { run, spawnNode } from "../support/process.ts";

const program = "scripts/multi-site.mjs";
const limitMs = 60_000;

describe("npm run bench:multi-site", () => {
  it(
    "measures what is not faster than the network between the sites",
    async () => {
      const args = [program, "--rounds=1", "--rtt=20", "--only=two-sites", "--quick", "--json"];
      const { code, stdout, stderr } = await run(args, { timeoutMs: limitMs });
      expect({ code, failed: /error|not measured/.test(stderr) }).toEqual({ code: 0, failed: false });
      const report = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as MultiSiteReport;
      expect(report.failures).toEqual([]);
      expect(report.clusters.map(({ topology, rttMs }) => [topology, rttMs])).toEqual([["two-sites", 20]]);
      const expected = report.rows.filter(({ expectedRoundTrips }) => expectedRoundTrips !== undefined);
      expect(Math.max(...expected.map(({ expectedRoundTrips = 0 }) => expectedRoundTrips))).toBe(2);
      const tooFast = expected.filter(({ medianMs, expectedRoundTrips = 0 }) => medianMs < 20 * expectedRoundTrips);
      expect(tooFast).toEqual([]);
      expect(report.rows.filter(({ n, medianMs }) => n === 0 || !(medianMs > 0))).toEqual([]);
    },
    limitMs,
  );

  it(
    "leaves nothing behind when it is interrupted",
    async () => {
      const folders = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith("tenure-multi-site-"));
      const before = folders();
      await using process = spawnNode([program, "--rounds=1", "--rtt=20", "--only=two-sites"]);
      await process.errorLine(/runs/, limitMs);
      const own = folders().filter((name) => !before.includes(name));
      process.signal("SIGINT");
      const { code, stderr } = await process.exit(limitMs);
      expect(code).toBe(1);
      expect(stderr.trim().split("\n").at(-1)).toBe("error: ended early");
      expect(own).toHaveLength(1);
      expect(own.filter((name) => existsSync(`${tmpdir()}/${name}`))).toEqual([]);
    },
    limitMs,
  );

  it.each([
    [["--rtt", "far"], "error: --rtt far: must be a whole number from 0 to 500"],
    [["--write", "--quick"], "error: --write: only whole tables go there"],
    [["--rounds", "0"], "error: --rounds 0: must be a whole number from 1 to 1000"],
  ])("refuses %j", async (args, line) => {
    const { code, stderr } = await run([program, ...args]);
    expect(code).toBe(1);
    expect(stderr.trim()).toBe(line);
  });
});

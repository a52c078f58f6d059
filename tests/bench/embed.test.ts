import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import type { EmbedBenchReport } from "../../bench/embed.ts";
import { run, spawnNode } from "../support/process.ts";

const program = "scripts/embed-bench.mjs";
const limitMs = 120_000;

describe("npm run bench:embed", () => {
  it(
    "measures the embedded etcd and a real one, which answer every call",
    async () => {
      const args = [program, "--rounds=1", "--only=puts,fan-out", "--quick", "--json"];
      const { code, stdout, stderr } = await run(args, { timeoutMs: limitMs });
      expect({ code, failed: /error|not measured/.test(stderr) }).toEqual({ code: 0, failed: false });
      const report = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as EmbedBenchReport;
      expect(report.failures).toEqual([]);
      const peers = report.rows.filter(({ what }) => what === "puts").map(({ peer }) => peer);
      expect(peers.toSorted()).toEqual(["embed", "etcd, no fsync", "floor"]);
      const events = report.rows.filter(({ what }) => what.endsWith(": events"));
      expect(events).toHaveLength(4);
      expect(report.rows.filter(({ unit, median }) => unit !== "% of a core" && !(median > 0))).toEqual([]);
    },
    limitMs,
  );

  it(
    "leaves nothing behind when it is interrupted",
    async () => {
      const folders = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith("tenure-bench-embed-"));
      const before = folders();
      await using process = spawnNode([program, "--rounds=9", "--only=puts", "--quick"]);
      await process.errorLine(/round 1/, limitMs);
      const own = folders().filter((name) => !before.includes(name));
      process.signal("SIGINT");
      const { code, stderr } = await process.exit(limitMs);
      expect(code).toBe(1);
      expect(stderr.trim().split("\n").at(-1)).toBe("error: ended early");
      expect(own.length).toBeGreaterThan(0);
      expect(own.filter((name) => existsSync(`${tmpdir()}/${name}`))).toEqual([]);
    },
    limitMs,
  );

  it.each([
    [["--only", "speed"], "error: --only speed: there are puts, durable, fan-out, keys, leases, start"],
    [["--rounds", "0"], "error: --rounds 0: must be a whole number from 1 to 1000"],
  ])("refuses %j", async (args, line) => {
    const { code, stderr } = await run([program, ...args], { timeoutMs: limitMs });
    expect(code).toBe(1);
    expect(stderr.trim().split("\n").at(-1)).toBe(line);
  });
});

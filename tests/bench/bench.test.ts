import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import type { BenchReport } from "../../bench/bench.ts";
import { run, spawnNode } from "../support/process.ts";

const program = "scripts/bench.mjs";
const skipGo = process.env["TENURE_SKIP_GO"] === "1";
const rttMs = 20;
const limitMs = 120_000;

async function reportOf(...args: string[]): Promise<BenchReport> {
  const { code, stdout, stderr } = await run([program, ...args, "--rounds=1", "--json"], { timeoutMs: limitMs });
  expect({ code, errors: /error/.test(stderr) ? stderr : "" }).toEqual({ code: 0, errors: "" });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as BenchReport;
}

function childrenOf(pid: number, thread: string): string[] {
  return readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean);
}

describe.skipIf(skipGo)("npm run bench", () => {
  it(
    "measures no peer as faster than its round trips",
    async () => {
      const { rows, limits, failures } = await reportOf("--only=link,campaign,from-nothing", `--rtt=${rttMs}`);
      expect(failures).toEqual([]);
      const fastest = (question: string): Record<string, number> =>
        Object.fromEntries(
          rows.filter((row) => row.question === question).map(({ peer, p50 }) => [peer, Math.floor(p50 / rttMs)]),
        );
      const atLeast = (found: Record<string, number>, least: Record<string, number>): void => {
        expect(Object.keys(found)).toEqual(Object.keys(least));
        const tooFast = Object.entries(least).filter(([peer, count]) => !((found[peer] ?? 0) >= count));
        expect(tooFast).toEqual([]);
      };
      // Go reads what it put; npm etcd3 grants a lease first.
      atLeast(fastest("campaign, session ready"), { tenure: 1, go: 2, etcd3: 3, floor: 1 });
      atLeast(fastest("connect, session, campaign"), { tenure: 2, go: 3, etcd3: 3, floor: 2 });
      atLeast(fastest("a message and its echo"), { "the link itself": 1 });
      const go = rows.find(({ question, peer }) => question === "campaign, session ready" && peer === "go");
      const own = rows.find(({ question, peer }) => question === "campaign, session ready" && peer === "tenure");
      expect(own?.ratio).toBeCloseTo((own?.p50 ?? NaN) / (go?.p50 ?? NaN), 2);
      expect(limits.map(({ what }) => what)).toContain("campaign, session ready, +20 ms, compared with go");
    },
    limitMs,
  );

  it(
    "breaks connections, and measures how the gRPC stacks get over it",
    async () => {
      const { rows, failures } = await reportOf("--only=transport", "--quick");
      expect(failures).toEqual([]);
      expect(rows.filter(({ p50 }) => !(p50 > 0))).toEqual([]);
      const after = rows.filter(({ question }) => question.startsWith("no connection for 0.2 s"));
      expect(after.map(({ peer }) => peer).toSorted()).toEqual(["connect-node", "grpc-js", "tenure"]);
      const frozen = rows.filter(({ question }) => question.startsWith("etcd frozen: how long"));
      expect(frozen.map(({ p50 }) => p50 >= 990)).toEqual([true, true, true]);
    },
    limitMs,
  );

  it(
    "leaves nothing behind when it is interrupted",
    async () => {
      const folders = (): string[] => readdirSync(tmpdir()).filter((name) => /^tenure-bench-\w{6}$/.test(name));
      const before = folders();
      await using process = spawnNode([program, "--only=many-elections", "--rounds=1"]);
      await process.errorLine(/10 elections in one process: round 1/, limitMs);
      const own = folders().filter((name) => !before.includes(name));
      const children = readdirSync(`/proc/${process.pid}/task`).flatMap((thread) => childrenOf(process.pid, thread));
      process.signal("SIGINT");
      const { code, stderr } = await process.exit(limitMs);
      expect(code).toBe(1);
      expect(stderr.trim().split("\n").at(-1)).toBe("error: ended early");
      expect(children.length).toBeGreaterThan(0);
      expect(children.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
      expect(own).toHaveLength(1);
      expect(own.filter((name) => existsSync(`${tmpdir()}/${name}`))).toEqual([]);
    },
    limitMs,
  );
});

describe("npm run bench", () => {
  it.each([
    [["--rtt", "far"], /^error: --rtt far: must be a whole number from 0 to 500$/],
    [["--rounds", "0"], /^error: --rounds 0: must be a whole number from 1 to 1000$/],
    [["--only", "campaigns"], /^error: --only campaigns: there are link, campaign, .*, transport$/],
    [["--fast"], /^error: Unknown option '--fast'/],
  ])("refuses %j", async (args, line) => {
    const { code, stderr } = await run([program, ...args], { timeoutMs: limitMs });
    expect(code).toBe(1);
    expect(stderr.trim().split("\n").at(-1)).toMatch(line);
  });
});

import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { RunResult } from "../support/process.ts";
import { startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { keys, leases, linesOf, processesWith, startTenure, tenure } from "./tenure.ts";

const MARK = "E2E_DEMO";

interface FailoverLine {
  readonly election: string;
  readonly kind: string;
  readonly from: string;
  readonly to: string;
  readonly token: string;
  readonly failoverMs: number;
}

function expectThreeFailovers({ code, stdout, stderr }: RunResult): void {
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = linesOf(stdout);
  expect(lines).toHaveLength(4);
  const failovers = lines.slice(0, 3).map((line) => JSON.parse(line) as FailoverLine);
  for (const failover of failovers) {
    expect(Object.keys(failover)).toEqual(["election", "kind", "from", "to", "token", "failoverMs"]);
    expect(failover.token).toMatch(/^\d+$/);
    expect(failover.from).not.toBe(failover.to);
    expect(failover.failoverMs).toBeGreaterThan(0);
  }
  expect(failovers.map(({ kind }) => kind)).toEqual(["resign", "sigterm", "sigkill"]);
  expect(new Set(failovers.map(({ election }) => election)).size).toBe(1);
  expect(failovers.slice(1).map(({ from }) => from)).toEqual(failovers.slice(0, 2).map(({ to }) => to));
  const tokens = failovers.map(({ token }) => BigInt(token));
  for (const [index, token] of tokens.slice(1).entries()) expect(token).toBeGreaterThan(tokens[index] ?? 0n);
  const { summary } = JSON.parse(lines[3] ?? "") as { summary: { kinds: Record<string, { count: number }> } };
  expect(Object.values(summary.kinds).map(({ count }) => count)).toEqual([1, 1, 1]);
}

describe.skipIf(process.platform !== "linux")("tenure demo", { concurrent: true }, () => {
  it("shows a failover of each kind on an embedded etcd, and leaves no process behind", async () => {
    const mark = randomUUID();
    expectThreeFailovers(await tenure(["demo", "--failovers", "3", "--json"], { [MARK]: mark }));
    expect(processesWith(MARK, mark)).toEqual([]);
  });

  it("shows the same on a real etcd, and leaves no key and no lease there", async () => {
    await using etcd = await startEtcd();
    expectThreeFailovers(await tenure(["demo", "--failovers", "3", "--json", "--endpoints", etcd.endpoint]));
    expect(await keys(etcd, "")).toEqual([]);
    await until(async () => (await leases(etcd)).length === 0, { what: "end of the killed node's lease" });
  });

  it("tells the same in words when nobody asks for JSON", async () => {
    const { code, stdout } = await tenure(["demo", "--failovers", "1"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/node-\d resigned: node-\d leads after .* ms, token \d+/);
  });

  it.each(["SIGINT", "SIGTERM"] as const)("ends at %s with all its processes", async (signal) => {
    const mark = randomUUID();
    await using demo = startTenure(["demo", "--failovers", "100"], { [MARK]: mark });
    await demo.line(/leads, token/);
    expect(processesWith(MARK, mark)).toHaveLength(4);
    demo.signal(signal);
    expect(await demo.exit()).toMatchObject({ code: 0, stderr: "" });
    expect(processesWith(MARK, mark)).toEqual([]);
  });

  it("takes its processes with it when it is killed", async () => {
    const mark = randomUUID();
    await using demo = startTenure(["demo", "--failovers", "100"], { [MARK]: mark });
    await demo.line(/leads, token/);
    demo.signal("SIGKILL");
    await demo.exit();
    await until(() => processesWith(MARK, mark).length === 0, { what: "end of the demo's processes" });
  });

  it("runs on its embedded etcd whatever store the environment describes", async () => {
    const { code, stderr } = await tenure(["demo", "--failovers", "1", "--json"], {
      TENURE_ENDPOINTS: "http://127.0.0.1:1",
      TENURE_USER: "root",
      TENURE_PASSWORD: "p",
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  it.each([
    [["--nodes", "1"], "--nodes"],
    [["--failovers", "0"], "--failovers"],
    [["--failovers", "x"], "--failovers"],
  ])("refuses %j", async (flags, named) => {
    const { code, stdout, stderr } = await tenure(["demo", ...flags]);
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
    expect(linesOf(stderr)).toEqual([expect.stringContaining(named)]);
  });
});

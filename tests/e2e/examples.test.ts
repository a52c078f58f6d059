import { describe, expect, it } from "vitest";
import { root, run } from "../support/process.ts";
import { startEtcd } from "../support/real-etcd.ts";
import { keys, linesOf } from "./tenure.ts";

const example = (name: string, ...args: string[]): ReturnType<typeof run> =>
  run([`${root}examples/dist/${name}.js`, ...args], { timeoutMs: 28_000 });

const story = (name: string): RegExp[] => [
  new RegExp(`^${name}: elected as .+-1\\d{12}, token \\d+$`),
  ...[1, 2, 3, 4, 5].map((unit) => new RegExp(`^${name}: unit ${unit} of 5$`)),
  new RegExp(`^${name}: resigned$`),
];

function expectWorkers({ code, stdout, stderr }: Awaited<ReturnType<typeof run>>): void {
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = linesOf(stdout);
  const [first, second] = lines[0]?.startsWith("A") === true ? ["A", "B"] : ["B", "A"];
  for (const name of [first, second]) {
    const own = lines.filter((line) => line.startsWith(name));
    expect(own).toEqual(story(name).map((like) => expect.stringMatching(like)));
  }
  expect(lines).toHaveLength(14);
  // The next is elected only when the one before stepped down; which of two processes prints first is open.
  expect(lines.findIndex((line) => line.startsWith(second))).toBeGreaterThanOrEqual(story(first).length - 1);
}

describe("the examples", { concurrent: true }, () => {
  it("worker: one works five units and resigns, then the other does", async () => {
    const result = await example("worker");
    expect(result.code).toBe(0);
    expectWorkers(result);
  });

  it("worker: does the same on a real etcd and leaves nothing there", async () => {
    await using etcd = await startEtcd();
    expectWorkers(await example("worker", etcd.endpoint));
    expect(await keys(etcd, "")).toEqual([]);
  });

  it("primary: three nodes are primary, one after another", async () => {
    const { code, stdout, stderr } = await example("primary");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const primaries = [...stdout.matchAll(/^(n\d): I am the PRIMARY now, token (\d+)$/gm)];
    expect(new Set(primaries.map(([, id]) => id)).size).toBe(3);
    const tokens = primaries.map(([, , token]) => BigInt(token ?? 0));
    expect(tokens).toHaveLength(3);
    expect(tokens).toEqual(tokens.toSorted((a, b) => (a < b ? -1 : 1)));
    expect(stdout).toMatch(/^--- n\d is stopped/m);
    expect(stdout).toMatch(/^--- the lease of n\d is revoked/m);
    expect(stdout).toMatch(/^n\d: standby; n\d:10\.0\.0\.\d:8080 is primary$/m);
  });

  it("primary: fails clearly when no endpoint answers", async () => {
    const { code, stderr } = await example("primary", "http://127.0.0.1:1");
    expect(code).not.toBe(0);
    expect(stderr).toContain("no endpoint answers");
  });
});

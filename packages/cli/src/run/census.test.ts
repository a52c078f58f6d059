import { spawn } from "node:child_process";
import { once } from "node:events";
import { uptime } from "node:os";
import { afterEach, describe, expect, it } from "vitest";
import { killTree, livingFrom, livingOf, TREE_VARIABLE, type TreeMark } from "./census.ts";

describe.runIf(process.platform === "linux")("a tree of processes", () => {
  const started: TreeMark[] = [];
  afterEach(async () => {
    for (const tree of started.splice(0)) await killTree(tree, 5000);
  });

  /** Starts a shell in a group of its own, and waits until its script has printed so many process ids. */
  async function start(script: string, ids: number): Promise<{ tree: TreeMark; pids: number[] }> {
    const id = `test-${process.pid}-${uptime()}`;
    const since = uptime() - 1;
    const child = spawn("sh", ["-c", script], {
      detached: true,
      // More than what is read at once comes before the mark.
      env: { LARGE: "x".repeat(100_000), ...process.env, [TREE_VARIABLE]: `outer:${id}` },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const tree = { id, pgid: child.pid, since };
    started.push(tree);
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    while (text.split("\n").length <= ids) await once(child.stdout, "data");
    return { tree, pids: text.trim().split("\n").map(Number) };
  }

  it("is found by its group, by descent, and by its mark in the environment", async () => {
    const script =
      "echo $$; sleep 100 & echo $!; setsid sleep 100 & echo $!; setsid -f sh -c 'echo $$; exec sleep 100'; wait";
    const { tree, pids } = await start(script, 4);
    const sorted = (numbers: number[]): number[] => [...numbers].sort((a, b) => a - b);
    expect(sorted(livingOf(tree))).toEqual(sorted(pids));
    // Without the group: what its mark alone shows. Without the mark: all but the one that is nobody's child.
    expect(sorted(livingOf({ ...tree, pgid: undefined }))).toEqual(sorted(pids));
    expect(sorted(livingOf({ ...tree, id: "another" }))).toEqual(sorted(pids.slice(0, 3)));
    expect(livingOf({ ...tree, id: "another", pgid: undefined })).toEqual([]);
  });

  it("is killed, all of it, and seen to be dead", async () => {
    const { tree, pids } = await start(
      "trap '' TERM; echo $$; setsid -f sh -c 'echo $$; exec sleep 100'; sleep 100",
      2,
    );
    expect(pids).toHaveLength(2);
    expect(await killTree(tree, 5000)).toEqual({ dead: true, found: true });
    expect(livingOf(tree)).toEqual([]);
    expect(await killTree({ ...tree, pgid: undefined }, 5000)).toEqual({ dead: true, found: false });
  });

  it("does not hold what is older than itself, whatever its environment says", async () => {
    const { tree } = await start("echo $$; sleep 100", 1);
    expect(livingOf({ ...tree, pgid: undefined, since: uptime() + 10 })).toEqual([]);
  });
});

describe("what /proc says of a process", () => {
  const stat = (state: string, threads: number): string =>
    `78 (a) b (c) ${state} 70 77 75 0 -1 4227084 29 65 1 0 4 1 3 1 20 0 ${threads} 0 13395 0 0`;

  it("is read whatever its name holds", () => {
    expect(livingFrom(78, stat("S", 1))).toEqual({ pid: 78, ppid: 70, pgid: 77, startedAt: 13395 });
  });

  it("is no life for a zombie, but for one of whose threads only the first has ended", () => {
    expect(livingFrom(78, stat("Z", 1))).toBe(undefined);
    expect(livingFrom(78, stat("Z", 2))).toMatchObject({ pid: 78 });
    expect(livingFrom(78, "")).toBe(undefined);
  });
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { uptime } from "node:os";
import { afterEach, describe, expect, it } from "vitest";
import { killTree, livingOf, TREE_VARIABLE, type TreeMark } from "./census.ts";

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
      env: { ...process.env, [TREE_VARIABLE]: `outer:${id}` },
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

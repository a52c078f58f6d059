import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { seededRandom } from "@tenure/etcd/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { DirectoryLock } from "./directory-lock.ts";

let directory: string;
let taken: DirectoryLock[];
let seed = 1;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tenure-lock-"));
  taken = [];
});

afterEach(async () => {
  await Promise.all(taken.map((lock) => lock.release()));
  await rm(directory, { recursive: true });
});

async function take(path = directory): Promise<DirectoryLock> {
  const lock = await DirectoryLock.take(path, seededRandom(seed++));
  taken.push(lock);
  return lock;
}

/** Leaves what a process leaves that was killed while it had the directory. */
async function leaveStale(): Promise<void> {
  const program = `
    import { createServer } from "node:net";
    import { symlinkSync } from "node:fs";
    createServer().listen("lock-00000000000a.sock", () => {
      symlinkSync(process.pid + " lock-00000000000a.sock", "lock.7");
      console.log("ready");
    });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: directory });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
}

describe("the lock of a directory", () => {
  it("is refused to all others, in one line with the process that has it", async () => {
    await take();
    await expect(take()).rejects.toMatchObject({
      code: "DATA_DIR_IN_USE",
      message: `${directory} is in use: process ${process.pid} uses it; end that, or take another directory`,
    });
  });

  it("can be taken again after its release", async () => {
    const lock = await take();
    await lock.release();
    await expect(take()).resolves.toBeInstanceOf(DirectoryLock);
  });

  it("can be taken after its process was killed, and leaves nothing of that behind", async () => {
    await leaveStale();
    await take();
    const names = await readdir(directory);
    expect(names).toContain("lock.8");
    expect(names).toHaveLength(2);
  });

  it("goes to one of many who want it at once, stale or not", async () => {
    for (const isStale of [false, true, true, true]) {
      if (isStale) await leaveStale();
      const results = await Promise.allSettled(Array.from({ length: 20 }, () => take()));
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      await Promise.all(taken.splice(0).map((lock) => lock.release()));
      await rm(directory, { recursive: true });
      await mkdir(directory);
    }
  });

  it("holds where the directory is moved to, and not in a copy", async () => {
    await take();
    const [moved, copy] = [`${directory}-moved`, `${directory}-copy`];
    await cp(directory, copy, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith(".sock") });
    await take(copy);
    await rename(directory, moved);
    try {
      await expect(take(moved)).rejects.toMatchObject({ code: "DATA_DIR_IN_USE" });
    } finally {
      await rename(moved, directory);
      await rm(copy, { recursive: true });
    }
  });

  it("works where the path is too long for a socket", async () => {
    const long = join(directory, "d".repeat(100), "e".repeat(100));
    await mkdir(long, { recursive: true });
    const lock = await take(long);
    await expect(take(long)).rejects.toMatchObject({ code: "DATA_DIR_IN_USE" });
    // Not in a directory for temporary files, which is another one for a process in another container.
    expect(await readdir(long)).toEqual([expect.stringMatching(/^lock-[0-9a-f]{12}\.sock$/), "lock.1"]);
    await lock.release();
    expect(await readdir(long)).toEqual(["lock.1"]);
  });

  it("holds where a move makes the path too long for a socket", async () => {
    const [short, long] = [join(directory, "d"), join(directory, "e".repeat(200))];
    await mkdir(short);
    await take(short);
    await rename(short, long);
    await expect(take(long)).rejects.toMatchObject({ code: "DATA_DIR_IN_USE" });
  });
});

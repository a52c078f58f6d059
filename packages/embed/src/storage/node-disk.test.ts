import { chmod, mkdtemp, readdir, realpath, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { NodeDisk } from "./node-disk.ts";

let parent: string;

beforeEach(async () => {
  parent = await realpath(await mkdtemp(join(tmpdir(), "tenure-disk-")));
});

afterEach(async () => {
  await rm(parent, { recursive: true });
});

describe("a data directory", () => {
  it("is made for its owner alone, with those above it, and so are its files", async () => {
    const path = join(parent, "a", "b");
    const disk = await NodeDisk.open(path);
    const file = await disk.create("file");
    await file.close();
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect((await stat(join(path, "file"))).mode & 0o777).toBe(0o600);
  });

  it("is refused when it is a file", async () => {
    const path = join(parent, "file");
    await writeFile(path, "");
    for (const each of [path, join(path, "below")]) {
      await expect(NodeDisk.open(each)).rejects.toMatchObject({
        code: "DATA_DIR_UNUSABLE",
        message: `${each} cannot be used: it is not a directory`,
      });
    }
  });

  it("is refused when others may write in it", async () => {
    await chmod(parent, 0o777);
    await expect(NodeDisk.open(parent)).rejects.toMatchObject({
      message: `${parent} may be written by other users: chmod 700 ${parent}`,
    });
  });

  it("may be a link to one, but none of its files may be a link", async () => {
    const link = join(parent, "link");
    await symlink(parent, link);
    const disk = await NodeDisk.open(link);
    expect(disk.path).toBe(parent);
    await writeFile(join(parent, "elsewhere"), "");
    await symlink(join(parent, "elsewhere"), join(parent, "file"));
    await expect(disk.open("file")).rejects.toMatchObject({ code: "ELOOP" });
  });

  it("is not mistaken for another that took its place", async () => {
    const path = join(parent, "data");
    const disk = await NodeDisk.open(path);
    await rename(path, join(parent, "moved"));
    await NodeDisk.open(path);
    await writeFile(join(path, "file"), "");
    const attempts = [disk.create("new"), disk.rename("file", "other"), disk.remove("file"), disk.sync()];
    for (const attempt of attempts) await expect(attempt).rejects.toThrow("another directory took its place");
    expect(await readdir(path)).toEqual(["file"]);
  });

  it("reads what was written, at its end too", async () => {
    const disk = await NodeDisk.open(parent);
    const file = await disk.create("file");
    await file.write(0, Buffer.from("hello"));
    await file.write(5, Buffer.from(" you"));
    expect((await file.read(4, 100)).toString()).toBe("o you");
    await file.truncate(2);
    expect(await file.size()).toBe(2);
    await file.close();
  });
});

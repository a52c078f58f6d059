import { mkdir, mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { DataDir } from "./data-dir.ts";

let path: string;

beforeEach(async () => {
  path = await realpath(await mkdtemp(join(tmpdir(), "tenure-data-")));
});

afterEach(async () => {
  await rm(path, { recursive: true });
});

async function open(): Promise<DataDir> {
  return await DataDir.open({ path, fsync: true, onNotice: () => {}, onFailure: () => {} });
}

it("leaves nothing in a directory of something else", async () => {
  await mkdir(join(path, "member"));
  await expect(open()).rejects.toMatchObject({ code: "DATA_DIR_UNUSABLE", message: expect.stringContaining("member") });
  expect(await readdir(path)).toEqual(["member"]);
});

it("can be opened again after each close, and by one at a time", async () => {
  for (let times = 0; times < 2; times += 1) {
    const directory = await open();
    await expect(open()).rejects.toMatchObject({ code: "DATA_DIR_IN_USE" });
    await directory.close();
  }
});

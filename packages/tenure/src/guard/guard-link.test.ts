import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, expect, it } from "vitest";
import { GuardLink } from "./guard-link.ts";

const THINGS = 2000;
const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A guard that reports once it was told as many lines. */
function guardThatCounts(lines: number): URL {
  const folder = mkdtempSync(join(tmpdir(), "tenure-guard-"));
  ends.push(() => rmSync(folder, { recursive: true }));
  const program = join(folder, "guard.mjs");
  const text = `import { createInterface } from "node:readline";
    let lines = 0;
    createInterface({ input: process.stdin }).on("line", () => {
      if (++lines === ${lines}) console.log(JSON.stringify({ t: "heard" }));
    });`;
  writeFileSync(program, text);
  return pathToFileURL(program);
}

it("tells a new guard all that counts, though that is more than a frozen one may leave unread", async () => {
  const program = guardThatCounts(THINGS + 1);
  const heard = new Promise<unknown>((resolve) => {
    const link = new GuardLink({ program, store: { endpoints: [] }, onLost: () => undefined, onReport: resolve });
    ends.unshift(() => link.close());
    // In one turn, in which nothing is read: this guard is taken for frozen.
    for (let id = 0; id < THINGS; id++) link.keep(`thing ${id}`, { t: "thing", about: `one of many things, ${id}` });
  });
  expect(await heard).toEqual({ t: "heard" });
});

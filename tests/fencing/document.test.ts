import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { skipPostgres } from "../../scripts/lib/postgres.mjs";
import { startPostgres } from "../support/postgres.ts";
import { root } from "../support/process.ts";

const document = await readFile(`${root}docs/fencing.md`, "utf8");
const example = await readFile(`${root}examples/src/fenced-writer.ts`, "utf8");
const schema = await readFile(`${root}examples/fence.sql`, "utf8");

function blocks(language: string): string[] {
  return [...document.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, "gm"))].map(([, code]) => code ?? "");
}

describe("docs/fencing.md", () => {
  it("shows the code of the example that the tests run", () => {
    expect(blocks("ts")).toHaveLength(2);
    for (const block of blocks("ts")) expect(example).toContain(block);
    expect(schema.startsWith(blocks("sql")[0] ?? "nothing")).toBe(true);
  });

  it.skipIf(skipPostgres)("says how a restored etcd's lower tokens are let in", async () => {
    await using postgres = await startPostgres();
    const database = await postgres.connect();
    const [fence = "", forget = ""] = blocks("sql");
    await database.query(fence);
    await database.query("SELECT fenced('fenced-writer', 1000)");
    await expect(database.query("SELECT fenced('fenced-writer', 7)")).rejects.toMatchObject({ code: "TEN01" });
    await database.query(forget);
    await database.query("SELECT fenced('fenced-writer', 7)");
    await expect(database.query("SELECT fenced('fenced-writer', 6)")).rejects.toMatchObject({ code: "TEN01" });
  });
});

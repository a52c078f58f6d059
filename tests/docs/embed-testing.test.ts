import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root, run } from "../support/process.ts";

const cache = join(root, "node_modules/.cache");
const timeoutMs = 100_000;

describe("docs/embed-testing.md", { timeout: timeoutMs }, () => {
  let folder = "";
  let text = "";

  beforeAll(async () => {
    await mkdir(cache, { recursive: true });
    folder = await mkdtemp(join(cache, "tenure-embed-testing-"));
    text = await readFile(join(root, "docs/embed-testing.md"), "utf8");
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  const example = (language: string): string => new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(text)?.[1] ?? "";

  it("has an example that passes with vitest", async () => {
    await writeFile(join(folder, "example.test.ts"), example("ts"));
    // By default it leaves out what lies below node_modules.
    const config = join(folder, "vitest.config.mjs");
    await writeFile(config, `export default { test: { exclude: [], testTimeout: ${timeoutMs} } };\n`);
    const flags = ["run", "--root", folder, "--config", config];
    const result = await run([join(root, "node_modules/vitest/vitest.mjs"), ...flags], { timeoutMs });
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining("1 passed") });
  });

  it("has examples that pass with node:test", async () => {
    await writeFile(join(folder, "example.test.mjs"), example("js"));
    const result = await run(["--test", join(folder, "example.test.mjs")], { timeoutMs });
    expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/pass 2/) });
  });
});

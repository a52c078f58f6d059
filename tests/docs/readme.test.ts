import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { startEmbed } from "@tenure/embed";
import { root, run, type RunResult } from "../support/process.ts";

const DOCUMENTS = ["README.md", "CONTRIBUTING.md", "packages/tenure/README.md", "packages/etcd/README.md"];
const folder = join(root, "node_modules/.cache/tenure-docs");

/** What a snippet takes for granted; it ends soon after all of it ran. */
const PRELUDE = `
  const signal = AbortSignal.timeout(2500);
  setTimeout(() => process.emit("SIGINT"), 1500).unref();
  // How a watch ends when its signal fires.
  process.on("uncaughtException", (error) => {
    if (error.code !== "aborted") console.error(error);
    process.exit();
  });
`;

/** The documents' code runs as it stands. */
describe("the documents", () => {
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    "README.md",
    "packages/tenure/README.md",
    "packages/etcd/README.md",
    "docs/diagnostics.md",
    "docs/http-adapters.md",
  ])("%s has snippets that run as they stand", async (document) => {
    const text = await readFile(join(root, document), "utf8");
    const snippets = [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
    expect(snippets.length).toBeGreaterThan(0);
    await mkdir(folder, { recursive: true });
    await using store = await startEmbed();
    for (const snippet of snippets) {
      const result = await runSnippet(snippet, store.endpoint);
      expect(result.stderr).toBe("");
      expect(result.code).toBe(0);
    }
  });

  it("README.md's election of its own is elected and says so", async () => {
    const text = await readFile(join(root, "README.md"), "utf8");
    const snippet = /```js\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
    await mkdir(folder, { recursive: true });
    await using store = await startEmbed();
    expect((await runSnippet(snippet, store.endpoint)).stdout).toMatch(/^I stand by; nobody leads\nI lead, token \d+/);
  });

  it("name only scripts of package.json and commands of tenure that exist", async () => {
    const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    const help = (await run([join(root, "packages/cli/bin/tenure.js"), "--help"])).stdout;
    for (const document of DOCUMENTS) {
      const text = await readFile(join(root, document), "utf8");
      for (const [, script] of text.matchAll(/npm run ([a-z]+(?:[:-][a-z]+)*)/g))
        expect(Object.keys(scripts)).toContain(script);
      for (const [, command] of text.matchAll(/(?:npx|`)(?: @tenure\/cli| ?tenure) ([a-z]+)/g)) {
        expect(help).toContain(`  ${command} `);
      }
    }
  });
});

/** Runs a snippet as a module of its own; `await using` becomes what it means, because Node.js 20 cannot read it. */
async function runSnippet(snippet: string, endpoint: string): Promise<RunResult> {
  const used = [...snippet.matchAll(/await using (\w+)/g)].map((match) => match[1] ?? "");
  const code = snippet.replaceAll("http://127.0.0.1:2379", endpoint).replaceAll("await using ", "const ");
  const imports = [...code.matchAll(/^import .*$/gm)].map((match) => match[0]);
  const body = code.replaceAll(/^import .*$/gm, "");
  const ending = used.map((name) => `await ${name}[Symbol.asyncDispose]();`);
  const file = join(folder, "snippet.mjs");
  await writeFile(file, [...imports, PRELUDE, body, ...ending].join("\n"));
  return run(["--unhandled-rejections=strict", file]);
}

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../support/process.ts";

const document = readFileSync(join(root, "docs/known-bugs.md"), "utf8");
/** The rows of all tables but their heads, each with its cells. */
const rows = document
  .split("\n")
  .filter((line) => line.startsWith("| "))
  .map((line) => line.slice(2, -2).split(" | "))
  .filter((cells) => cells.at(-1) !== "tests");

interface Citation {
  readonly file: string;
  readonly title: string;
}

/** What a cell names: a file in backquotes, a colon, and titles in quotes with commas between. */
function citationsIn(cell: string): Citation[] {
  return [...cell.matchAll(/`([^`]+\.(?:test|case)\.ts)`: ("[^"]+"(?:, "[^"]+")*)/g)].flatMap(
    ([, file = "", titles = ""]) => [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file, title })),
  );
}

const sources = new Map<string, string>();
function source(file: string): string {
  const known = sources.get(file) ?? readFileSync(join(root, file), "utf8");
  sources.set(file, known);
  return known;
}

/** Whether a file has a test, or a group of tests, with this text in its title. */
function hasTitle({ file, title }: Citation): boolean {
  const text = title.replaceAll(/[$()*+.?[\\\]^{|}]/g, "\\$&");
  // The title follows `it(` or `describe(`, or the table of an `each` that ends with `)(`.
  const call = `(?:\\b(?:it|describe)(?:\\.\\w+)*(?:\\([^()\\n]*\\))?\\(|^ *[\\])}]+\\)\\()\\s*`;
  return new RegExp(`${call}(["'\`])(?:(?!\\1)[^\\n])*${text}(?:(?!\\1)[^\\n])*\\1`, "m").test(source(file));
}

/** Every file that holds tests. */
function testFiles(): string[] {
  return ["packages", "tests"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(test|case)\.ts$/.test(file) && !/node_modules|dist\//.test(file))
      .map((file) => join(folder, file)),
  );
}

describe("docs/known-bugs.md", () => {
  it("names only tests that exist", () => {
    const citations = rows.flatMap((cells) => citationsIn(cells.at(-1) ?? ""));
    expect(citations.length).toBeGreaterThan(100);
    expect(citations.filter((citation) => !hasTitle(citation))).toEqual([]);
  });

  it("names a test in every row, or says why there is none", () => {
    const proven = (cell: string): boolean => citationsIn(cell).length > 0 || /^(Not yet|By construction)/.test(cell);
    expect(rows.filter((cells) => !proven(cells.at(-1) ?? ""))).toEqual([]);
    // What looks like a file of tests and is followed by no title would not be checked.
    const files = [...document.matchAll(/`[^`]+\.(?:test|case)\.ts`/g)].length;
    const cited = [...document.matchAll(/`[^`]+\.(?:test|case)\.ts`: "/g)].length;
    expect(cited).toBe(files);
  });

  it("has the twenty requirements, each once and in order", () => {
    const numbers = rows.map(([first = ""]) => /^R(\d+)$/.exec(first)?.[1]).filter((number) => number !== undefined);
    expect(numbers).toEqual(Array.from({ length: 20 }, (_, index) => String(index + 1)));
  });

  it("names only sources that exist", () => {
    const named = [...document.matchAll(/`(packages\/[^`]+\.ts)`/g)].map(([, file = ""]) => file);
    expect(named.length).toBeGreaterThan(20);
    for (const file of named) expect(source(file)).not.toBe("");
  });

  it("has every bug that a test carries in its title", () => {
    const reported = /\b([a-z][\w-]*#\d+|CVE-\d{4}-\d+)/g;
    const numbered = /["'`][^"'`\n]*\(([^()\n]*#\d+[^()\n]*)\)[^"'`\n]*["'`]/g;
    const inTitles = testFiles().flatMap((file) =>
      [...source(file).matchAll(numbered)].flatMap(([, bugs = ""]) => [...bugs.matchAll(reported)].map(([bug]) => bug)),
    );
    expect(inTitles.length).toBeGreaterThan(20);
    expect([...new Set(inTitles)].filter((bug) => !document.includes(bug))).toEqual([]);
  });
});

// The rules of style that a linter does not know. Trip-wires: where one makes a piece worse, write the better piece and
// raise the limit here, saying why.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./support/process.ts";

const lineLengthMax = 120;
const fileLinesMax = 400;
// Files that were longer when the rule came: they may shrink, not grow.
const longFiles: Readonly<Record<string, number>> = {};

const files = listFiles();
const code = files.filter(
  (file) =>
    /^(packages\/[^/]+\/(src|bin)|scripts|examples|tests|bench)\//.test(file) &&
    /\.(ts|mts|mjs|js)$/.test(file) &&
    !file.startsWith("packages/etcd/src/gen/"),
);
const prose = files.filter((file) => file.endsWith(".md"));
const manifests = files.filter((file) => /^packages\/[^/]+\/package\.json$/.test(file));

describe("code", () => {
  it("has no line that is too long", () => {
    expect(linesWhere(code, (line) => line.length > lineLengthMax)).toEqual([]);
  });

  it("has no file that is too long", () => {
    const long = code.filter((file) => lines(file).length > (longFiles[file] ?? fileLinesMax));
    expect(long).toEqual([]);
  });

  it("has no white space at the end of a line", () => {
    const text = [...code, ...prose, ...files.filter((file) => /\.(json|yml|yaml|sh)$/.test(file))];
    expect(linesWhere(text, (line) => /[ \t\r]$/.test(line))).toEqual([]);
  });

  it("has no left-over marks", () => {
    const marks = new RegExp(["TO" + "DO", "FIX" + "ME", "XX" + "X"].map((word) => `\\b${word}\\b`).join("|"));
    expect(linesWhere(code, (line) => marks.test(line))).toEqual([]);
    expect(linesWhere(code, (line) => /\b(it|test|describe)\.only\(/.test(line))).toEqual([]);
  });

  it("exports by name and has no enums", () => {
    expect(linesWhere(code, (line) => /^export (default|\{[^}]*\bas default\b)/.test(line))).toEqual([]);
    expect(linesWhere(code, (line) => /^\s*(export )?(declare )?(const )?enum \w/.test(line))).toEqual([]);
  });

  it("stands alone in packages", () => {
    const sources = code.filter((file) => file.startsWith("packages/"));
    expect(linesWhere(sources, (line) => /\b(from|import)\W+(\.\.\/)+(tests|scripts)\//.test(line))).toEqual([]);
  });

  it("has file names in kebab-case", () => {
    expect(code.filter((file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.d|\.test|\.case)?\.\w+$/.test(basename(file)))).toEqual(
      [],
    );
  });

  it("passes durations in milliseconds, and says so", () => {
    const unnamed = /\b(readonly )?(timeout|interval|delay|duration|ttl)\??: number/;
    expect(linesWhere(code, (line) => unnamed.test(line))).toEqual([]);
  });

  it("has a doc comment on each export that packages offer", () => {
    expect(packageFiles().flatMap(undocumented)).toEqual([]);
  });
});

describe("documents", () => {
  it("link to files that exist", () => {
    expect(prose.flatMap(brokenLinks)).toEqual([]);
  });

  it("justify each dependency at run time", () => {
    const known = readFileSync(join(root, "docs/dependencies.md"), "utf8");
    const named = manifests.flatMap((file) => Object.keys(manifest(file).dependencies ?? {}));
    const own = manifests.map((file) => manifest(file).name);
    const foreign = [...new Set(named)].filter((name) => !own.includes(name));
    expect(foreign.filter((name) => !known.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("lockfile", () => {
  // npm leaves out what its registry does not carry, and then `npm ci` fails: run node scripts/complete-lockfile.mjs
  it("has the packages for all platforms", () => {
    const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as Lockfile;
    const missing = Object.entries(packages).flatMap(([parent, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) => !(`node_modules/${name}` in packages) && !(`${parent}/node_modules/${name}` in packages),
      ),
    );
    expect(missing).toEqual([]);
  });

  it("names packages, not the registry they came from", () => {
    expect(linesWhere(["package-lock.json"], (line) => /"resolved": "http/.test(line))).toEqual([]);
  });
});

// Tracked files, and new ones that are not ignored.
function listFiles(): string[] {
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const names = execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\0");
  return names.filter((name) => name !== "" && existsSync(join(root, name)));
}

function lines(file: string): string[] {
  return readFileSync(join(root, file), "utf8").split("\n");
}

function linesWhere(names: readonly string[], wrong: (line: string) => boolean): string[] {
  return names.flatMap((file) =>
    lines(file).flatMap((line, index) => (wrong(line) ? [`${file}:${index + 1}: ${line.slice(0, 80)}`] : [])),
  );
}

function brokenLinks(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8").replace(/^```[^]*?^```/gm, "");
  return [...text.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)].flatMap(([, link = ""]) => {
    const path = decodeURI(link).replace(/[#?].*$/, "");
    if (path === "" || /^[a-z][a-z+.-]*:/i.test(path)) return [];
    const target = path.startsWith("/") ? join(root, path) : resolve(root, dirname(file), path);
    return existsSync(target) ? [] : [`${file}: ${link}`];
  });
}

interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>>;
}

interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function manifest(file: string): Manifest {
  return JSON.parse(readFileSync(join(root, file), "utf8")) as Manifest;
}

// The modules whose names an index.ts passes on; what is generated documents itself in the .proto files.
function packageFiles(): { file: string; names: ReadonlySet<string> | "all" }[] {
  const indexes = code.filter((file) => /^packages\/[^/]+\/src\/([^/]+\/)?index\.ts$/.test(file));
  return indexes.flatMap((index) => {
    const exports = lines(index)
      .join("\n")
      .matchAll(/^export (?:type )?(\*|\{[^}]*\}) from "(\.[^"]+)"/gm);
    return [...exports].flatMap(([, what = "", from = ""]) => {
      const file = join(dirname(index), from);
      if (!code.includes(file)) return [];
      return [{ file, names: what === "*" ? ("all" as const) : namesIn(what) }];
    });
  });
}

function namesIn(list: string): ReadonlySet<string> {
  const names = list.replace(/[{}]|\/\/.*$|\/\*[^]*?\*\//gm, "").split(",");
  return new Set(
    names.map((name) =>
      name
        .trim()
        .replace(/^type /, "")
        .replace(/ as .*$/, ""),
    ),
  );
}

function undocumented({ file, names }: { file: string; names: ReadonlySet<string> | "all" }): string[] {
  const declared =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|interface|type|const) (?<name>\w+)/;
  const text = lines(file);
  return text.flatMap((line, index) => {
    const name = declared.exec(line)?.groups?.["name"];
    if (name === undefined || (names !== "all" && !names.has(name))) return [];
    // An overload is documented by the one before it.
    const before = text[index - 1] ?? "";
    return /\*\/\s*$/.test(before) || before.includes(` ${name}(`) || before.includes(` ${name}<`)
      ? []
      : [`${file}:${index + 1}: ${name}`];
  });
}

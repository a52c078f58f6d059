// The API reference: what each package's index exports, with the doc comments that tsc keeps in its declarations.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "./process.mjs";

const PACKAGES = [
  { name: "tenure", dist: "tenure/dist" },
  { name: "tenure/http", dist: "tenure/dist/http" },
  { name: "tenure/otel", dist: "tenure/dist/otel" },
  { name: "@tenure/etcd", dist: "etcd/dist" },
  { name: "@tenure/embed", dist: "embed/dist" },
];

/** One page for all packages. */
export function apiReference() {
  return [
    "# API reference",
    "",
    "Made by `npm run docs` from the doc comments in the sources: edit them instead.",
    "",
    ...PACKAGES.flatMap(packageSection),
  ].join("\n");
}

function packageSection({ name, dist }) {
  const index = join(root, "packages", dist, "index.d.ts");
  const text = readFileSync(index, "utf8");
  const about = /^\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? "";
  const symbols = [...text.matchAll(/export (?:type )?\{([^}]*)\} from "(\.[^"]*)"/g)].flatMap(([, names, from]) =>
    names
      .split(",")
      .map((each) => each.replace(/^\s*type\s+/, "").trim())
      .filter((each) => each !== "")
      .map((symbol) => ({ symbol, file: join(dirname(index), from.replace(/\.(js|ts)$/, ".d.ts")) })),
  );
  return [
    `## ${name}`,
    "",
    ...prose(about),
    "",
    ...symbols.toSorted((a, b) => (a.symbol < b.symbol ? -1 : 1)).flatMap(({ symbol, file }) => entry(symbol, file)),
  ];
}

function entry(symbol, file) {
  const text = readFileSync(file, "utf8");
  const start = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:class|interface|function|const|type) ${symbol}\\b`,
    "m",
  );
  const at = start.exec(text)?.index;
  if (at === undefined) throw new Error(`${file} does not declare ${symbol}`);
  const code = declaration(text.slice(at));
  return [`### ${symbol}`, "", ...prose(commentBefore(text, at)), "", "```ts", code, "```", ""];
}

/** The doc comment that ends right before a place; nothing else may stand between. */
function commentBefore(text, at) {
  const before = text.slice(0, at).trimEnd();
  return before.endsWith("*/") ? before.slice(before.lastIndexOf("/**") + 3, -2) : "";
}

/** A declaration up to its end, without what is private. */
function declaration(text) {
  const lines = text.split("\n");
  let depth = 0;
  const kept = [];
  for (const line of lines) {
    const inComment = /^\s*(\/\*\*|\*)/.test(line);
    if (!inComment) depth += count(line, /[{([]/g) - count(line, /[})\]]/g);
    kept.push(line);
    if (!inComment && depth === 0 && /[;}]\s*$/.test(line)) break;
  }
  return kept
    .filter((line) => !/^\s*(#private;|\/\/# )/.test(line))
    .map((line) => line.trimEnd())
    .join("\n")
    .replace(/^export (declare )?/, "");
}

function count(line, pattern) {
  return line.match(pattern)?.length ?? 0;
}

/** A doc comment's text as Markdown. */
function prose(comment) {
  const lines = comment.split("\n").map((line) => line.replace(/^\s*\* ?/, "").trimEnd());
  return lines
    .join("\n")
    .replaceAll(/\{@link ([^}]+)\}/g, "`$1`")
    .replaceAll(/^@param (\S+)\s+/gm, "- `$1`: ")
    .replaceAll(/^@throws /gm, "- Throws ")
    .replaceAll(/^@module\s*$/gm, "")
    .trim()
    .split("\n")
    .map((line) => line.trimEnd());
}

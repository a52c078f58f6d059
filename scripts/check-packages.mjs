// Checks what users would install: `npm run check:packages` (after a build). One line for each check.
import { readFileSync } from "node:fs";
import { bin, capture, main, root } from "./lib/process.mjs";

const timeoutMs = 120_000;
const packages = ["etcd", "tenure", "embed", "cli"].map((dir) => ({ dir: `packages/${dir}`, ...manifest(dir) }));
// Who may depend on whom; a package that is not named here is from outside.
const layers = {
  "@tenure/etcd": [],
  tenure: ["@tenure/etcd"],
  "@tenure/embed": ["@tenure/etcd"],
  "@tenure/cli": ["@tenure/etcd", "tenure", "@tenure/embed"],
};

let failed = false;
await main(async () => {
  for (const { name, dir, exports } of packages) {
    await check(`publint ${name}`, () => tool("publint", ["run", dir, "--strict"]));
    // attw looks at types, and a package with a command only has none.
    if (exports !== undefined) {
      await check(`attw ${name}`, () => tool("attw", ["--pack", dir, "--profile", "esm-only", "--no-emoji"]));
    }
    await check(`dependencies ${name}`, () => dependencies(name));
  }
  await check("knip", () => tool("knip", ["--no-progress"]));
  if (failed) process.exitCode = 1;
});

async function check(name, body) {
  try {
    await body();
    console.log(`ok    ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL  ${name}: ${error.message}`);
  }
}

async function tool(name, args) {
  try {
    await capture(bin(name), args, { timeoutMs, cwd: root, env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" } });
  } catch (error) {
    throw new Error(error.output || error.message, { cause: error });
  }
}

function manifest(dir) {
  return JSON.parse(readFileSync(`${root}packages/${dir}/package.json`, "utf8"));
}

// All packages are released together, so each names exactly its own version of the others, and only those below it.
function dependencies(name) {
  const { version, dependencies: named = {}, engines, license } = packages.find((other) => other.name === name);
  const { version: expected, engines: oldest } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  if (version !== expected) throw new Error(`version ${version}, the repository's is ${expected}`);
  if (engines?.node !== oldest.node) throw new Error(`engines.node is not ${oldest.node}`);
  if (license !== "Apache-2.0") throw new Error("its license is not Apache-2.0");
  for (const [other, range] of Object.entries(named)) {
    if (!(other in layers)) continue;
    if (!layers[name].includes(other)) throw new Error(`must not depend on ${other}`);
    if (range !== expected) throw new Error(`${other} ${range} is not ${expected}`);
  }
}

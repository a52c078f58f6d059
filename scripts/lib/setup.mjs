// Makes a clone ready to run: Node, packages, build, and for the tests real etcd, PostgreSQL, HAProxy, nginx and
// promtool. Each step does nothing when it was done before, and nothing here imports a package: on a fresh clone there
// is none.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { etcdVersions, findEtcd } from "./etcd.mjs";
import { findHaproxy, skipHaproxy } from "./haproxy.mjs";
import { findNginx, skipNginx } from "./nginx.mjs";
import { findPostgres, skipPostgres } from "./postgres.mjs";
import { bin, capture, note, root, run } from "./process.mjs";
import { findPromtool, skipPromtool } from "./promtool.mjs";

/** Where the scripts remember what they did; `npm ci` empties it with node_modules. */
export const stamps = `${root}node_modules/.cache/tenure/`;

const oldestNode = [20, 19];
const installTimeoutMs = 600_000;

/** Makes everything ready that the programs need and, with `tests`, what the tests need. */
export async function setup({ tests = false } = {}) {
  checkNode();
  await install();
  await build();
  if (!tests) return;
  for (const version of etcdVersions) await findEtcd(version);
  if (skipPostgres) note("TENURE_SKIP_POSTGRES=1: the tests that need PostgreSQL are left out");
  else await findPostgres();
  if (skipHaproxy) note("TENURE_SKIP_HAPROXY=1: the tests that need HAProxy are left out");
  else await findHaproxy();
  if (skipNginx) note("TENURE_SKIP_NGINX=1: the tests that need nginx are left out");
  else await findNginx();
  if (skipPromtool) note("TENURE_SKIP_PROMTOOL=1: the tests that need promtool are left out");
  else await findPromtool();
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return;
  throw new Error(`Node ${process.versions.node} is too old: ${oldestNode.join(".")} or newer is needed`);
}

async function install() {
  const lock = join(root, "package-lock.json");
  const hash = createHash("sha256").update(readFileSync(lock)).digest("hex");
  if (existsSync(bin("tsc")) && (readStamp("lock") === hash || installedAfter(lock))) {
    if (readStamp("lock") !== hash) writeStamp("lock", hash);
    return;
  }
  note("installing packages: npm ci");
  const args = ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const npm = process.env["npm_execpath"];
  const [command, ...before] = npm?.endsWith(".js") ? [process.execPath, npm] : ["npm"];
  try {
    await capture(command, [...before, ...args], { cwd: root, timeoutMs: installTimeoutMs });
  } catch (error) {
    // npm adds pages of usage; what is wrong stands at the start.
    note((error.output ?? "").split("\n").slice(0, 12).join("\n"));
    throw new Error("npm ci failed, see above", { cause: error });
  }
  writeStamp("lock", hash);
}

// npm keeps its own copy of the lockfile, written at each installation.
function installedAfter(lock) {
  const installed = join(root, "node_modules/.package-lock.json");
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs;
}

async function build() {
  const { dirs, fingerprint } = inputs();
  if (readStamp("build") === fingerprint && dirs.every((dir) => existsSync(join(dir, "dist")))) return;
  note("building: tsc -b");
  // What runs, not the tests: a type error in a test must not keep a program from starting. `npm run build` takes all.
  const code = await run(bin("tsc"), ["-b", ...dirs]);
  if (code !== 0) throw new Error("the build failed, see above");
  writeStamp("build", fingerprint);
}

// A build is current while no file it reads was changed, added or removed.
function inputs() {
  const packages = readdirSync(join(root, "packages")).map((name) => join(root, "packages", name));
  const dirs = [...packages, join(root, "examples")].filter((dir) => existsSync(join(dir, "tsconfig.json")));
  const hash = createHash("sha256");
  for (const file of [join(root, "tsconfig.base.json"), ...dirs.flatMap(sources)]) {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${file} ${mtimeMs} ${size}\n`);
  }
  return { dirs, fingerprint: hash.digest("hex") };
}

function sources(dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return ["node_modules", "dist"].includes(entry.name) ? [] : sources(join(dir, entry.name));
    return /(?<!\.test)\.ts$|\.json$/.test(entry.name) ? [join(dir, entry.name)] : [];
  });
}

function readStamp(name) {
  const file = join(stamps, name);
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

function writeStamp(name, text) {
  const file = join(stamps, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

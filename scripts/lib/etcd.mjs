// Finds the real etcd that the tests run against: one that the developer names, one on PATH, one in the cache, or else
// Debian's own package, downloaded into the cache without root's rights.
import { accessSync, constants, cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { unpackPackages } from "./apt.mjs";
import { capture, note } from "./process.mjs";

/** The etcd versions that the tests use, the default first. */
export const etcdVersions = ["3.5", "3.4"];

// Debian's suites that carry a version, in the order in which they are tried.
const suites = { 3.4: ["bookworm"], 3.5: ["forky", "sid", "trixie"] };
const staleWorkMs = 3_600_000;
const found = new Map();

/** Finds etcd and etcdctl of a version such as "3.5": `{ etcd, etcdctl, version }`, downloading them when needed. */
export function findEtcd(wanted = etcdVersions[0]) {
  let result = found.get(wanted);
  if (result === undefined) {
    result = find(wanted);
    result.catch(() => found.delete(wanted)); // a later call tries again
    found.set(wanted, result);
  }
  return result;
}

async function find(wanted) {
  const named = (process.env["ETCD_BIN"] ?? "").split(delimiter).filter((path) => path !== "");
  for (const etcd of named) {
    const version = await versionOf(etcd);
    if (version === undefined) throw new Error(`ETCD_BIN: ${etcd} is not an etcd that runs here`);
    if (matches(version, wanted)) return { etcd, etcdctl: etcdctlFor(etcd), version };
  }
  const onPath = which("etcd");
  if (onPath !== undefined) {
    const version = await versionOf(onPath);
    const etcdctl = existsSync(beside(onPath)) ? beside(onPath) : which("etcdctl");
    if (matches(version, wanted) && etcdctl !== undefined) return { etcd: onPath, etcdctl, version };
  }
  const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "tenure", "etcd");
  return cached(cache, wanted) ?? (await download(cache, wanted));
}

function cached(cache, wanted) {
  const dir = join(cache, wanted);
  // The folder came there by one rename, so it is whole or not there.
  if (!existsSync(dir)) return undefined;
  const version = readFileSync(join(dir, "version"), "utf8").trim();
  return { etcd: join(dir, "etcd"), etcdctl: join(dir, "etcdctl"), version };
}

async function download(cache, wanted) {
  const failures = [];
  try {
    mkdirSync(cache, { recursive: true });
  } catch (error) {
    throw new Error(`no folder for downloads (${error.message}); set XDG_CACHE_HOME, or ETCD_BIN to an etcd ${wanted}`);
  }
  for (const suite of suites[wanted] ?? []) {
    try {
      note(`etcd ${wanted}: downloading Debian's package of ${suite} into ${cache}`);
      return await fromDebian(cache, wanted, suite);
    } catch (error) {
      failures.push(`${suite}: ${error.message}`);
    }
  }
  const why = failures.length > 0 ? ` (${failures.join("; ")})` : "";
  throw new Error(
    `no etcd ${wanted} on PATH and none could be downloaded${why}; set ETCD_BIN to an etcd ${wanted} binary`,
  );
}

async function fromDebian(cache, wanted, suite) {
  const work = join(cache, `.work-${process.pid}-${randomBytes(4).toString("hex")}`);
  mkdirSync(work);
  try {
    removeStaleWork(cache);
    const unpacked = join(work, "unpacked");
    await unpackPackages(suite, ["etcd-server", "etcd-client"], { into: unpacked, work });
    const ready = join(work, wanted);
    mkdirSync(ready);
    for (const name of ["etcd", "etcdctl"]) cpSync(join(unpacked, "usr/bin", name), join(ready, name));
    const version = await versionOf(join(ready, "etcd"));
    if (version === undefined) throw new Error("its etcd does not run here");
    if (!matches(version, wanted)) throw new Error(`it carries etcd ${version}`);
    writeFileSync(join(ready, "version"), `${version}\n`);
    moveIntoPlace(ready, join(cache, wanted));
    return cached(cache, wanted);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function moveIntoPlace(ready, target) {
  try {
    renameSync(ready, target);
  } catch (error) {
    // Another process was faster: what it put there is as good.
    if (!["ENOTEMPTY", "EEXIST"].includes(error.code)) throw error;
  }
}

function removeStaleWork(cache) {
  for (const name of readdirSync(cache)) {
    if (!name.startsWith(".work-")) continue;
    const dir = join(cache, name);
    try {
      if (Date.now() - statSync(dir).mtimeMs > staleWorkMs) rmSync(dir, { recursive: true, force: true });
    } catch {
      // its owner has just removed it
    }
  }
}

async function versionOf(etcd) {
  try {
    return /^etcd Version: (\S+)/m.exec(await capture(etcd, ["--version"], { timeoutMs: 10_000 }))?.[1];
  } catch {
    return undefined;
  }
}

function matches(version, wanted) {
  return version !== undefined && version.startsWith(`${wanted}.`);
}

function beside(etcd) {
  return join(dirname(etcd), "etcdctl");
}

function etcdctlFor(etcd) {
  const etcdctl = process.env["ETCDCTL_BIN"] || beside(etcd);
  if (!existsSync(etcdctl)) throw new Error(`no etcdctl beside ${etcd}; set ETCDCTL_BIN`);
  return etcdctl;
}

function which(name) {
  const paths = (process.env["PATH"] ?? "").split(delimiter).filter((dir) => dir !== "");
  return paths
    .map((dir) => join(dir, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

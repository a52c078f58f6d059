// Builds the Go programs that the interop tests and the benchmark elect with. Go and etcd's Go client are Debian's
// packages, unpacked into the cache without root's rights, and the system stays as it is.
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { unpackPackages } from "./apt.mjs";
import { capture, note, root } from "./process.mjs";

const interopPeer = "tests/interop/peer.go";
// Suites that carry etcd 3.5's Go client and a Go that compiles it, in the order in which they are tried.
const suites = ["trixie", "forky", "sid"];
const wanted = ["golang-go", "golang-etcd-server-dev"];
// Packages of one call of apt, which has a time limit.
const portion = 60;
const resolveTimeoutMs = 120_000;
const buildTimeoutMs = 600_000;
const lockTimeoutMs = 1_200_000;
const staleWorkMs = 3_600_000;
const found = new Map();

/** Finds a Go peer by its source: the path of its binary, downloading Go and building it when needed. */
export function findGoPeer(source = interopPeer) {
  let result = found.get(source);
  if (result === undefined) {
    result = find(join(root, source));
    result.catch(() => found.delete(source)); // a later call tries again
    found.set(source, result);
  }
  return result;
}

async function find(source) {
  const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "tenure", "go");
  const peer = join(cache, `peer-${createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16)}`);
  if (existsSync(peer)) return peer;
  try {
    mkdirSync(cache, { recursive: true });
  } catch (error) {
    throw new Error(`no Go peer: no folder for downloads (${error.message}); set XDG_CACHE_HOME`);
  }
  const unlock = await lock(join(cache, ".lock"));
  try {
    if (existsSync(peer)) return peer;
    removeOld(cache);
    const go = join(cache, "debian");
    if (!existsSync(go)) await download(cache, go);
    return await build(cache, go, source, peer);
  } finally {
    unlock();
  }
}

// Test files run in processes of their own, and one of them should download and build for all.
async function lock(file) {
  const deadline = Date.now() + lockTimeoutMs;
  for (let told = false; Date.now() < deadline; await pause(200)) {
    try {
      writeFileSync(file, String(process.pid), { flag: "wx" });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if (error.code !== "EEXIST")
        throw new Error(`no Go peer: ${error.message}; set XDG_CACHE_HOME`, { cause: error });
    }
    const owner = ownerOf(file);
    if (owner !== undefined && !runs(owner)) rmSync(file, { force: true });
    else if (!told) note(`Go: waiting for process ${owner}, which downloads or builds it`);
    told = true;
  }
  throw new Error(`no Go peer: another process has not built it within ${lockTimeoutMs / 60_000} minutes (${file})`);
}

function ownerOf(file) {
  try {
    return Number(readFileSync(file, "utf8")) || undefined; // empty while it is being written
  } catch {
    return undefined; // it has just been given back
  }
}

function runs(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error.code === "EPERM";
  }
}

async function download(cache, go) {
  const failures = [];
  for (const suite of suites) {
    try {
      note(`Go: downloading Debian's packages of ${suite} into ${cache}: about 150 MB, 1.3 GB unpacked, minutes`);
      return await fromDebian(cache, go, suite);
    } catch (error) {
      failures.push(`${suite}: ${error.message}`);
    }
  }
  throw new Error(
    `no Go peer: Go could not be downloaded (${failures.join("; ")}); set TENURE_SKIP_GO=1 to go without`,
  );
}

async function fromDebian(cache, go, suite) {
  const work = join(cache, `.work-${process.pid}-${randomBytes(4).toString("hex")}`);
  mkdirSync(work);
  try {
    const into = join(work, "unpacked");
    await unpackPackages(suite, wanted, { into, work });
    const dependencies = await dependenciesIn(work);
    for (let from = 0; from < dependencies.length; from += portion) {
      note(`Go: downloading what they depend on: ${from} of ${dependencies.length} packages are here`);
      rmSync(join(work, "debs"), { recursive: true }); // unpacked already
      await unpackPackages(suite, dependencies.slice(from, from + portion), { into, work });
    }
    goRoot(into);
    moveIntoPlace(into, go);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

// Resolved by apt as if nothing were installed. Of all that it names, only Go's own packages and sources of Go
// libraries count: no C compiler, no C library, nothing that would want to be configured.
async function dependenciesIn(work) {
  const args = ["-c", join(work, "apt.conf"), "-q", "-s", "--no-install-recommends", "install", ...wanted];
  const plan = await capture("apt-get", args, { timeoutMs: resolveTimeoutMs });
  const names = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name.replace(/:\w+$/, ""));
  return names.filter((name) => !wanted.includes(name) && /^golang-(.+-dev|src|[\d.]+-(go|src))$/.test(name));
}

async function build(cache, go, source, peer) {
  note("Go: building the peer");
  const built = join(cache, `.work-${process.pid}-${randomBytes(4).toString("hex")}`);
  const goroot = goRoot(go);
  try {
    await capture(join(goroot, "bin/go"), ["build", "-trimpath", "-o", built, source], {
      timeoutMs: buildTimeoutMs,
      cwd: cache,
      env: {
        PATH: process.env["PATH"],
        HOME: homedir(),
        GOROOT: goroot,
        GOPATH: join(go, "usr/share/gocode"),
        GOCACHE: join(cache, "build"),
        GO111MODULE: "off",
        GOENV: "off",
        GOFLAGS: "",
        GOTOOLCHAIN: "local",
        GOTELEMETRY: "off",
        CGO_ENABLED: "0", // needs no C compiler
      },
    });
    renameSync(built, peer);
    return peer;
  } catch (error) {
    throw new Error(`no Go peer: ${firstFault(error.output) ?? error.message}`, { cause: error });
  } finally {
    rmSync(built, { force: true });
  }
}

function goRoot(unpacked) {
  const lib = join(unpacked, "usr/lib");
  const version = (existsSync(lib) ? readdirSync(lib) : []).find((name) => /^go-[\d.]+$/.test(name));
  if (version === undefined) throw new Error("the packages hold no Go");
  return join(lib, version);
}

// The compiler names the package first ("# command-line-arguments"), then the fault.
function firstFault(output = "") {
  return output.split("\n").find((line) => line !== "" && !line.startsWith("#"));
}

function moveIntoPlace(ready, target) {
  try {
    renameSync(ready, target);
  } catch (error) {
    // Another process was faster: what it put there is as good.
    if (!["ENOTEMPTY", "EEXIST"].includes(error.code)) throw error;
  }
}

// What a killed process left behind, and peers of old sources that nobody has needed for a month.
function removeOld(cache) {
  for (const name of readdirSync(cache)) {
    const limitMs = name.startsWith(".work-")
      ? staleWorkMs
      : name.startsWith("peer-")
        ? 30 * 24 * staleWorkMs
        : Infinity;
    const path = join(cache, name);
    try {
      if (Date.now() - statSync(path).mtimeMs > limitMs) rmSync(path, { recursive: true, force: true });
    } catch {
      // its owner has just removed it
    }
  }
}

// Finds the real PostgreSQL that the fencing tests write to: one that the developer names, one on PATH or where Debian
// installs it, one in the cache, or else Debian's own package, unpacked into the cache without root's rights.
import { existsSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { libraryPath, neededPackages, systemSuite, unpackPackages } from "./apt.mjs";
import { cacheFor, inWorkFolder, moveIntoPlace } from "./cache.mjs";
import { capture, note } from "./process.mjs";

const versionsDir = "usr/lib/postgresql";
const localTimeoutMs = 10_000;
let found;

/** Whether the developer's machine can have no PostgreSQL, and its tests are to be left out. */
export const skipPostgres = process.env["TENURE_SKIP_POSTGRES"] === "1";

/** Finds PostgreSQL: `{ bin, version, env }`, and `tree` when it is in the cache, downloading it when needed. */
export function findPostgres() {
  if (found === undefined) {
    found = find();
    found.catch(() => (found = undefined)); // a later call tries again
  }
  return found;
}

async function find() {
  const named = process.env["POSTGRES_BIN"];
  if (named) {
    const postgres = await usable({ bin: named });
    if (postgres === undefined) throw new Error(`POSTGRES_BIN: no initdb and postgres that run here in ${named}`);
    return postgres;
  }
  for (const bin of [...onPath(), ...installed("/")]) {
    const postgres = await usable({ bin });
    if (postgres !== undefined) return postgres;
  }
  const cache = cacheFor("postgres");
  return (await unpacked(join(cache, "debian"))) ?? (await download(cache));
}

// A link on PATH may stand alone: its neighbours are where it leads to.
function onPath() {
  const dirs = (process.env["PATH"] ?? "").split(delimiter).filter((dir) => dir !== "");
  return dirs
    .map((dir) => join(dir, "postgres"))
    .flatMap((file) => (existsSync(file) ? dirname(realpathSync(file)) : []));
}

// The folders of Debian's packages below a root, the newest version first.
function installed(root) {
  const versions = join(root, versionsDir);
  if (!existsSync(versions)) return [];
  const newestFirst = readdirSync(versions).toSorted((a, b) => Number(b) - Number(a));
  return newestFirst.map((version) => join(versions, version, "bin"));
}

// PostgreSQL finds its own files from where its program is; what it links to was unpacked beside it.
async function unpacked(tree) {
  const env = { LD_LIBRARY_PATH: libraryPath(tree) };
  for (const bin of installed(tree)) {
    const postgres = await usable({ bin, env });
    if (postgres !== undefined) return { ...postgres, tree };
  }
  return undefined;
}

async function usable({ bin, env = {} }) {
  const options = { timeoutMs: localTimeoutMs, env: { ...process.env, ...env } };
  try {
    await capture(join(bin, "initdb"), ["--version"], options);
    const version = /\(PostgreSQL\) (\S+)/.exec(await capture(join(bin, "postgres"), ["--version"], options))?.[1];
    return version === undefined ? undefined : { bin, version, env };
  } catch {
    return undefined;
  }
}

async function download(cache) {
  try {
    const suite = systemSuite();
    note(`PostgreSQL: downloading Debian's packages of ${suite} into ${cache}`);
    return await inWorkFolder(cache, (work) => fromDebian(cache, suite, work));
  } catch (error) {
    throw new Error(
      `no PostgreSQL on PATH and none could be downloaded (${error.message}); set POSTGRES_BIN to the folder of ` +
        "initdb and postgres, or TENURE_SKIP_POSTGRES=1 to go without",
      { cause: error },
    );
  }
}

async function fromDebian(cache, suite, work) {
  const into = join(work, "unpacked");
  // The package without a number depends on the newest that the suite has.
  await unpackPackages(suite, ["postgresql"], { into, work });
  // Only the server and libraries count; LLVM only speeds up long queries.
  const needed = await neededPackages("postgresql", work, (name) =>
    /^postgresql-(client-)?\d+$|^(?!libllvm|libz3-|libperl|libpam-|lib.*-perl$)(lib|zlib)/.test(name),
  );
  rmSync(join(work, "debs"), { recursive: true }); // unpacked already
  await unpackPackages(suite, needed, { into, work });
  const postgres = await unpacked(into);
  if (postgres === undefined) throw new Error("it does not run here");
  // Code for LLVM, which is not here, and texts for people.
  const unused = [join(postgres.bin, "../lib/bitcode"), join(into, "usr/share/doc"), join(into, "usr/share/locale")];
  for (const dir of unused) rmSync(dir, { recursive: true, force: true });
  moveIntoPlace(into, join(cache, "debian"));
  return unpacked(join(cache, "debian"));
}

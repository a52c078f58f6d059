// The folder that keeps what the tests need and the system lacks. A download is made in a folder of its own and moved
// into place by one rename, so that what has its name is whole.
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const staleWorkMs = 3_600_000;

/** The folder for downloads of a kind, such as "postgres". */
export function cacheFor(kind) {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "tenure", kind);
}

/** Calls `make` with an empty folder in the cache, removed at the end. */
export async function inWorkFolder(cache, make) {
  const work = join(cache, `.work-${process.pid}-${randomBytes(4).toString("hex")}`);
  mkdirSync(work, { recursive: true });
  try {
    removeStaleWork(cache);
    return await make(work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Moves what is ready to where it is looked for. */
export function moveIntoPlace(ready, target) {
  try {
    renameSync(ready, target);
  } catch (error) {
    // Another process was faster: what it put there is as good.
    if (!["ENOTEMPTY", "EEXIST"].includes(error.code)) throw error;
  }
}

// What a killed process left behind.
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

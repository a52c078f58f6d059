// Finds the real HAProxy that tests put in front of nodes: one that the developer names, one on PATH, one in the cache,
// or else Debian's own package, unpacked into the cache without root's rights.
import { join } from "node:path";
import { libraryPath, neededPackages, systemSuite, unpackPackages } from "./apt.mjs";
import { cacheFor, inWorkFolder, moveIntoPlace } from "./cache.mjs";
import { capture, note } from "./process.mjs";

const localTimeoutMs = 10_000;
let found;

/** Whether the developer's machine can have no HAProxy, and its tests are to be left out. */
export const skipHaproxy = process.env["TENURE_SKIP_HAPROXY"] === "1";

/** Finds HAProxy: `{ bin, version, env }`, downloading it when needed. */
export function findHaproxy() {
  if (found === undefined) {
    found = find();
    found.catch(() => (found = undefined)); // a later call tries again
  }
  return found;
}

async function find() {
  const named = process.env["HAPROXY_BIN"];
  if (named) {
    const haproxy = await usable(named);
    if (haproxy === undefined) throw new Error(`HAPROXY_BIN: no HAProxy that runs here at ${named}`);
    return haproxy;
  }
  const cache = cacheFor("haproxy");
  return (await usable("haproxy")) ?? (await unpacked(join(cache, "debian"))) ?? (await download(cache));
}

function unpacked(tree) {
  return usable(join(tree, "usr/sbin/haproxy"), { LD_LIBRARY_PATH: libraryPath(tree) });
}

async function usable(bin, env = {}) {
  try {
    const options = { timeoutMs: localTimeoutMs, env: { ...process.env, ...env } };
    const version = /version (\S+)/.exec(await capture(bin, ["-v"], options))?.[1];
    return version === undefined ? undefined : { bin, version, env };
  } catch {
    return undefined;
  }
}

async function download(cache) {
  try {
    const suite = systemSuite();
    note(`HAProxy: downloading Debian's package of ${suite} into ${cache}`);
    return await inWorkFolder(cache, async (work) => {
      const into = join(work, "unpacked");
      await unpackPackages(suite, ["haproxy"], { into, work });
      const libraries = await neededPackages("haproxy", work, (name) => name.startsWith("lib"));
      await unpackPackages(suite, libraries, { into, work });
      if ((await unpacked(into)) === undefined) throw new Error("it does not run here");
      moveIntoPlace(into, join(cache, "debian"));
      return unpacked(join(cache, "debian"));
    });
  } catch (error) {
    throw new Error(
      `no HAProxy on PATH and none could be downloaded (${error.message}); set HAPROXY_BIN, or TENURE_SKIP_HAPROXY=1 ` +
        "to go without",
      { cause: error },
    );
  }
}

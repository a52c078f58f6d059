// Finds a program that tests use, and that is no part of this repository: one that the developer names, one on PATH,
// one in the cache, or else Debian's own package, unpacked into the cache without root's rights.
import { join } from "node:path";
import { libraryPath, neededPackages, systemSuite, unpackPackages } from "./apt.mjs";
import { cacheFor, inWorkFolder, moveIntoPlace } from "./cache.mjs";
import { capture, note } from "./process.mjs";

const localTimeoutMs = 10_000;

/**
 * What finds a program, and is asked again after a failure only: `title` for people, Debian's package `name`, where the
 * program is in it as `path`, the flag that prints its version, the begin of the variables that name it
 * (`HAPROXY_BIN`) or leave it out (`TENURE_SKIP_HAPROXY`), and which of the packages it depends on it needs to run.
 */
export function debianProgram(program) {
  const { variable } = program;
  let found;
  const find = () => {
    if (found === undefined) {
      found = locate(program);
      found.catch(() => (found = undefined));
    }
    return found;
  };
  return { find, skip: process.env[`TENURE_SKIP_${variable}`] === "1" };
}

async function locate(program) {
  const { title, name, path, variable } = program;
  const named = process.env[`${variable}_BIN`];
  if (named) {
    const given = await usable(program, named);
    if (given === undefined) throw new Error(`${variable}_BIN: no ${title} that runs here at ${named}`);
    return given;
  }
  const cache = cacheFor(name);
  const onPath = path.slice(path.lastIndexOf("/") + 1);
  return (
    (await usable(program, onPath)) ??
    (await unpacked(program, join(cache, "debian"))) ??
    (await download(program, cache))
  );
}

function unpacked(program, tree) {
  return usable(program, join(tree, program.path), { LD_LIBRARY_PATH: libraryPath(tree) });
}

async function usable({ versionFlag }, bin, env = {}) {
  try {
    const options = { timeoutMs: localTimeoutMs, env: { ...process.env, ...env } };
    // Some say it on stderr.
    const said = await capture("sh", ["-c", '"$0" "$1" 2>&1', bin, versionFlag], options);
    const version = /version:? (?:\w+\/)?(\S+)/.exec(said)?.[1];
    return version === undefined ? undefined : { bin, version, env };
  } catch {
    return undefined;
  }
}

async function download(program, cache) {
  const { title, name, variable, needs } = program;
  try {
    const suite = systemSuite();
    note(`${title}: downloading Debian's package of ${suite} into ${cache}`);
    return await inWorkFolder(cache, async (work) => {
      const into = join(work, "unpacked");
      await unpackPackages(suite, [name], { into, work });
      const needed = await neededPackages(name, work, needs);
      if (needed.length > 0) await unpackPackages(suite, needed, { into, work });
      if ((await unpacked(program, into)) === undefined) throw new Error("it does not run here");
      moveIntoPlace(into, join(cache, "debian"));
      return unpacked(program, join(cache, "debian"));
    });
  } catch (error) {
    throw new Error(
      `no ${title} on PATH and none could be downloaded (${error.message}); set ${variable}_BIN, or ` +
        `TENURE_SKIP_${variable}=1 to go without`,
      { cause: error },
    );
  }
}

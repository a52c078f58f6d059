// Fetches Debian packages of any suite as an ordinary user, and leaves the system as it is: apt works in folders of its
// own, and takes from the system only what says where Debian's archive is and whose signature it must carry.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { capture } from "./process.mjs";

const etc = "/etc/apt";
const updateTimeoutMs = 180_000;
const downloadTimeoutMs = 180_000;
const localTimeoutMs = 60_000;
const resolveTimeoutMs = 120_000;

// The entry of the system's sources that is Debian's main archive: `{ uri, signedBy }`.
function debianArchive() {
  const codename = systemCodename();
  const entries = sourceFiles().flatMap(({ name, text }) => (name.endsWith(".sources") ? deb822(text) : oneLine(text)));
  const main = entries.filter(
    ({ uri, suites, components }) =>
      !/^(cdrom|copy|file):/.test(uri) &&
      !/security|archive\/backports/.test(uri) &&
      components.includes("main") &&
      suites.some((suite) => [codename, "stable", "oldstable", "testing", "sid", "unstable"].includes(suite)),
  );
  // A third party may name its suite and component as Debian does: the usual path or Debian's own keyring tell.
  const found =
    main.find(({ uri }) => /\/debian\/?$/.test(uri)) ??
    main.find(({ signedBy }) => /debian-archive/.test(signedBy ?? ""));
  if (found === undefined) throw new Error("no entry for Debian's main archive in this system's apt sources");
  return { uri: found.uri, signedBy: found.signedBy };
}

/** Unpacks packages of a suite of Debian's main archive into the folder `into`; apt keeps its own files in `work`. */
export async function unpackPackages(suite, packages, { into, work }) {
  const config = join(work, "apt.conf");
  for (const dir of ["state/lists/partial", "cache/archives/partial", "debs"]) {
    mkdirSync(join(work, dir), { recursive: true });
  }
  const arch = (await capture("dpkg", ["--print-architecture"], { timeoutMs: localTimeoutMs })).trim();
  writeFileSync(join(work, "debian.sources"), sourcesFile(suite, arch, debianArchive()));
  writeFileSync(join(work, "status"), "");
  writeFileSync(config, aptConfig(work));

  // apt reads the system's own configuration too (a proxy may be set there), ours last.
  await capture("apt-get", ["-c", config, "-q", "update"], { timeoutMs: updateTimeoutMs });
  await capture("apt-get", ["-c", config, "-q", "download", ...packages], {
    timeoutMs: downloadTimeoutMs,
    cwd: join(work, "debs"),
  });
  mkdirSync(into, { recursive: true });
  for (const deb of readdirSync(join(work, "debs"))) {
    await capture("dpkg-deb", ["-x", join(work, "debs", deb), into], { timeoutMs: localTimeoutMs });
  }
}

/**
 * What apt, as if nothing were installed, would bring along with a package, once {@link unpackPackages} has been in the
 * same folder; of that what `wanted` says. Never the C library, which is the system's own, of the same suite.
 */
export async function neededPackages(name, work, wanted) {
  const args = ["-c", join(work, "apt.conf"), "-q", "-s", "--no-install-recommends", "install", name];
  const plan = await capture("apt-get", args, { timeoutMs: resolveTimeoutMs });
  const names = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, each]) => each.replace(/:\w+$/, ""));
  return names.filter((each) => !/^libc(6$|-)/.test(each) && wanted(each));
}

/** Where the libraries below a folder are that packages were unpacked into, for LD_LIBRARY_PATH. */
export function libraryPath(tree) {
  const dirs = [join(tree, "usr/lib"), join(tree, "lib")].filter((dir) => existsSync(dir));
  // Debian keeps libraries in a folder for each kind of machine.
  const libraries = dirs.flatMap((dir) => list(dir).flatMap((name) => (/-linux-/.test(name) ? join(dir, name) : [])));
  return libraries.join(delimiter);
}

/** The suite of this system: libraries of the same one fit its C library. */
export function systemSuite() {
  const codename = systemCodename();
  if (codename === undefined) throw new Error("this system is no release of Debian");
  return codename;
}

function sourcesFile(suite, arch, { uri, signedBy }) {
  const lines = ["Types: deb", `URIs: ${uri}`, `Suites: ${suite}`, "Components: main", `Architectures: ${arch}`];
  if (signedBy !== undefined) lines.push(`Signed-By: ${signedBy}`);
  return `${lines.join("\n")}\n`;
}

function aptConfig(work) {
  // The system's hooks would clean or refresh the system's own caches, and its pins would refuse another suite.
  return `
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear APT::Default-Release;
#clear Acquire::Languages;
Acquire::Languages { "none"; };
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
Dir::State "${work}/state";
Dir::State::lists "${work}/state/lists";
Dir::State::status "${work}/status";
Dir::Cache "${work}/cache";
Dir::Cache::archives "${work}/cache/archives";
Dir::Etc::sourcelist "${work}/debian.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
`;
}

function sourceFiles() {
  const parts = join(etc, "sources.list.d");
  const names = list(parts).filter((name) => /\.(list|sources)$/.test(name));
  return [join(etc, "sources.list"), ...names.toSorted().map((name) => join(parts, name))]
    .map((name) => ({ name, text: read(name) }))
    .filter(({ text }) => text !== undefined);
}

function systemCodename() {
  return /^VERSION_CODENAME="?(\w+)/m.exec(read("/etc/os-release") ?? "")?.[1];
}

// deb [signed-by=/path.gpg arch=amd64] URI SUITE COMPONENT...
function oneLine(text) {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (match === null) return [];
    const [, options = "", uri, suite, components] = match;
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1];
    return [{ uri, suites: [suite], components: words(components), signedBy }];
  });
}

// Stanzas of "Field: value" lines; a value goes on in lines that start with a space (a key may stand there whole).
function deb822(text) {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map();
    let last = "";
    for (const line of stanza.split("\n")) {
      if (line.startsWith("#")) continue;
      const start = /^([\w-]+):\s*(.*)$/.exec(line);
      if (start !== null) fields.set((last = start[1].toLowerCase()), start[2]);
      else if (/^\s+\S/.test(line)) fields.set(last, `${fields.get(last)}\n${line}`);
    }
    const enabled = !/^(no|false|off|0)$/i.test(fields.get("enabled") ?? "yes");
    if (!enabled || !words(fields.get("types")).includes("deb")) return [];
    const suites = words(fields.get("suites"));
    const components = words(fields.get("components"));
    return words(fields.get("uris")).map((uri) => ({ uri, suites, components, signedBy: fields.get("signed-by") }));
  });
}

function words(text = "") {
  return text.split(/\s+/).filter((word) => word !== "");
}

function list(dir) {
  try {
    return readdirSync(dir);
  } catch {
    return []; // a system without this folder has no such sources
  }
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // absent, or for root's eyes only: as good as absent
  }
}

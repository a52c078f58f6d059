// Adds to package-lock.json the packages for other platforms that npm left out, because its registry does not carry
// them: `node scripts/complete-lockfile.mjs` after an `npm install`. `npm ci` refuses a lockfile without them, on every
// platform. Their parents name them at an exact version; their integrity is checked by nobody then.
import { readFileSync, writeFileSync } from "node:fs";
import { main, note, root } from "./lib/process.mjs";

const file = `${root}package-lock.json`;
const systems = /(?:^|[-/])(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)(?:-|$)/;
const processors = {
  aarch64: "arm64",
  armv7: "arm",
  "arm-gnueabihf": "arm",
  "arm-musleabihf": "arm",
  "arm-eabi": "arm",
};
const processor =
  /(aarch64|armv7|arm-gnueabihf|arm-musleabihf|arm-eabi|arm64|ppc64|riscv64|s390x|ia32|x64|loong64|arm)/;

await main(() => {
  const lock = JSON.parse(readFileSync(file, "utf8"));
  const added = missing(lock.packages);
  for (const [path, entry] of added) {
    lock.packages[path] = entry;
    note(`added ${path.replace("node_modules/", "")}@${entry.version}`);
  }
  if (added.length === 0) return;
  const byPath = ([a], [b]) => a.localeCompare(b, "en");
  lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(byPath));
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
});

function missing(packages) {
  return Object.entries(packages).flatMap(([parent, { dev, optionalDependencies = {}, engines }]) =>
    Object.entries(optionalDependencies).flatMap(([name, version]) => {
      if (`node_modules/${name}` in packages || `${parent}/node_modules/${name}` in packages) return [];
      const os = systems.exec(name)?.[1];
      const cpu = processor.exec(name)?.[1];
      // Anything else that is missing is missed by npm for another reason: a range, or a package for each platform.
      if (os === undefined || cpu === undefined || !/^\d/.test(version)) return [];
      const libc = /musl/.test(name) ? ["musl"] : os === "linux" && /gnu/.test(name) ? ["glibc"] : undefined;
      const only = { cpu: [processors[cpu] ?? cpu], ...(libc && { libc }), os: [os] };
      return [[`node_modules/${name}`, { version, ...(dev && { dev }), ...only, optional: true, engines }]];
    }),
  );
}

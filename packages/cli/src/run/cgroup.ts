import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandError, ExitCode } from "../exit-codes.ts";

/**
 * Where trees can have a cgroup of their own, which no process can leave without the right to: below our own one.
 *
 * @throws CommandError 78 saying what is missing
 */
export function cgroupParent(): string {
  const refuse = (why: string): CommandError =>
    new CommandError(ExitCode.configuration, `--contain cgroup: ${why}; --contain group needs nothing`);
  if (process.platform !== "linux") throw refuse("there are none on this system");
  const mount = mountOf(readFileSync("/proc/self/mountinfo", "utf8"));
  const own = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
  if (mount === undefined || own === undefined) throw refuse("cgroup v2 is not mounted");
  const parent = join(mount, own);
  const probe = join(parent, `tenure-${process.pid}-probe`);
  try {
    mkdirSync(probe);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw refuse(`${parent} cannot be written (${code}), as it can with systemd's Delegate=yes`);
  }
  const canKill = existsSync(join(probe, "cgroup.kill"));
  rmdirSync(probe);
  if (!canKill) throw refuse("the kernel is older than Linux 5.14 and cannot kill a cgroup");
  return parent;
}

/** The words in front of a command that move it into a cgroup. */
export function enteringCgroup(cgroup: string): readonly string[] {
  return ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', cgroup];
}

/** Kills every process in a cgroup and below, those included that are just being forked. */
export function killCgroup(cgroup: string): void {
  try {
    writeFileSync(join(cgroup, "cgroup.kill"), "1");
  } catch {
    // It is gone, as after the first success; whether something lives is seen afterwards.
  }
}

/** The processes in a cgroup and below. */
export function cgroupMembers(cgroup: string): number[] {
  try {
    if (/^populated 0$/m.test(readFileSync(join(cgroup, "cgroup.events"), "utf8"))) return [];
    const below = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const own = readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
    return [...own, ...below.flatMap(({ name }) => cgroupMembers(join(cgroup, name)))];
  } catch {
    return [];
  }
}

/** Removes a cgroup that has no process any more, and what the program made below it. */
export function removeCgroup(cgroup: string): void {
  try {
    for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
      if (entry.isDirectory()) removeCgroup(join(cgroup, entry.name));
    }
    rmdirSync(cgroup);
  } catch {
    // Left behind empty, it costs a few bytes.
  }
}

/** Where cgroup v2 is: the fifth word of its line. */
function mountOf(mountinfo: string): string | undefined {
  const line = mountinfo.split("\n").find((each) => each.includes(" - cgroup2 "));
  return line?.split(" ")[4];
}

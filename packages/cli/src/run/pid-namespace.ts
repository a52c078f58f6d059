import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { allLiving } from "./census.ts";
import { systemTool } from "./find-program.ts";

/**
 * The namespace's first process: it runs the program, takes in orphans, and ends when the program does, with its code.
 * That ends the namespace. It cannot be the program itself: the kernel keeps from a first process every signal that it
 * does not handle, SIGTERM above all. Its own stderr is shut, as it would tell of every signal that ended the program.
 */
const INIT = 'exec 3>&2 2>/dev/null; (exec "$@" 2>&3 3>&-); exit $?';
/** Unprivileged, a namespace of PIDs needs one of users, in which the program stays who it is. */
const MAPPINGS = [[], ["--user", "--map-current-user"]];
const TRY_LIMIT_MS = 10_000;
/** What forbids user namespaces, and the value that does so. */
const FORBIDDING: readonly (readonly [name: string, value: string])[] = [
  ["user/max_user_namespaces", "0"],
  ["kernel/unprivileged_userns_clone", "0"],
  ["kernel/apparmor_restrict_unprivileged_userns", "1"],
];

/**
 * The words in front of a command that run it as second process of a PID namespace of its own, in a group of its own.
 *
 * The kernel kills all that is in the namespace, whatever it did to get away, when its first process ends, which it
 * kills when `unshare` ends, which it kills when we do.
 *
 * @param dyingWithUs the words in front of a command that do the last
 * @throws CommandError 78 saying what is missing
 */
export function pidNamespaceEntry(dyingWithUs: readonly string[]): readonly string[] {
  if (process.platform !== "linux") throw refusal("there are none on this system");
  const [unshare, setsid] = [tool("unshare"), tool("setsid")];
  if (dyingWithUs.length === 0) throw refusal("the program setpriv, of util-linux, is missing or another one");
  let said = "";
  for (const mapping of MAPPINGS) {
    const namespace = ["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation", "slave"];
    const entry = [...dyingWithUs, unshare, ...mapping, ...namespace, "--", "/bin/sh", "-c", INIT, "sh", setsid];
    const [file, ...args] = [...entry, "/bin/sh", "-c", "test $$ = 2"];
    const { status, stderr } = spawnSync(file, args, { encoding: "utf8", timeout: TRY_LIMIT_MS });
    if (status === 0) return entry;
    said = stderr.trim().split("\n")[0] ?? "";
  }
  const forbidden = FORBIDDING.find(([name, value]) => setting(name) === value);
  const why = forbidden === undefined ? "" : `, as ${forbidden[0].replace("/", ".")} is ${forbidden[1]}`;
  throw refusal(`neither one of root's nor one in a user namespace can be made${why} (${said})`);
}

/**
 * The process group of a program that was started in a PID namespace; undefined while it is not there yet.
 *
 * @param unshare the process that was started
 */
export function groupInNamespace(unshare: number): number | undefined {
  const all = allLiving();
  const init = all.find(({ ppid }) => ppid === unshare)?.pid;
  // Orphans are its children as well, but the program came first.
  const leaders = all.filter(({ pid, ppid, pgid }) => ppid === init && pid === pgid);
  return leaders.sort((a, b) => innerPid(a.pid) - innerPid(b.pid))[0]?.pid;
}

/** What a process is called in the innermost namespace. */
function innerPid(pid: number): number {
  try {
    return Number(/^NSpid:.*\s(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}

function tool(name: string): string {
  try {
    return systemTool(name);
  } catch {
    throw refusal(`the program ${name}, of util-linux, is missing`);
  }
}

function setting(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, "utf8").trim();
  } catch {
    return undefined;
  }
}

function refusal(why: string): CommandError {
  return new CommandError(ExitCode.configuration, `--contain pidns: ${why}; --contain group needs nothing`);
}

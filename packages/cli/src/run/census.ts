import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { systemClock } from "@tenure/etcd/runtime";
import { cgroupMembers, killCgroup } from "./cgroup.ts";

/** What tells a tree of processes from all others. */
export interface TreeMark {
  /** Its own word in the environment variable that all of the tree inherit. */
  readonly id: string;
  /** Its process group; undefined while that is not known. */
  readonly pgid: number | undefined;
  /** In seconds of uptime, a little before its first process started. */
  readonly since: number;
  /** The cgroup that holds all of it, where it is contained by one. */
  readonly cgroup?: string | undefined;
}

/** What came of killing a tree. */
export interface KillOutcome {
  /** Whether it was seen that nothing lives any more. */
  readonly dead: boolean;
  /** Whether anything was there to be killed. */
  readonly found: boolean;
}

/** The variable that holds the ids of all trees a process belongs to, separated by colons. */
export const TREE_VARIABLE = "TENURE_TREE";

export interface Living {
  readonly pid: number;
  readonly ppid: number;
  readonly pgid: number;
  /** In ticks of uptime; 0 where the system does not say. */
  readonly startedAt: number;
}

/** Of Linux's interface to programs, whatever the kernel counts in. */
const TICKS_PER_SECOND = 100;
/** Where the number of threads and the time of the start stand behind the name, counted from 0. */
const THREADS_FIELD = 17;
const START_FIELD = 19;
const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 50;
/** Most processes' environment fits into it, and what /proc/PID/stat says always. */
const buffer = Buffer.allocUnsafe(64 * 1024);

/**
 * Kills all processes of a tree until there are none. What cannot be killed, or not be seen, may still be at work.
 *
 * On Linux the tree is the group, every descendant of it, and every process with its mark in the environment, such as a
 * daemon that left the group and lost its parent; with a cgroup, all in that. Elsewhere it is the group.
 *
 * @param limitMs after so long it gives up
 */
export async function killTree(tree: TreeMark, limitMs: number): Promise<KillOutcome> {
  const giveUpAt = systemClock.now() + limitMs;
  let found: boolean | undefined;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    // The group at once, whatever the census takes: what it forks meanwhile is in the group too.
    const groupFound = tree.pgid !== undefined && signalGroup(tree.pgid, "SIGKILL");
    if (tree.cgroup !== undefined) killCgroup(tree.cgroup);
    const living = livingOf(tree);
    found ??= groupFound || living.length > 0;
    if (living.length === 0) return { dead: true, found };
    if (systemClock.now() >= giveUpAt) return { dead: false, found };
    for (const pid of living) signalProcess(pid, "SIGKILL");
    await new Promise<void>((resolve) => void systemClock.after(pauseMs, resolve));
  }
}

/** Sends a signal to a group; false when there is nobody in it that can get it. */
export function signalGroup(pgid: number, signal: NodeJS.Signals | 0): boolean {
  return signalProcess(-pgid, signal);
}

/** The processes of a tree that live. Elsewhere than on Linux the group stands for all of them. */
export function livingOf(tree: TreeMark): number[] {
  if (process.platform !== "linux") return tree.pgid !== undefined && groupExists(tree.pgid) ? [-tree.pgid] : [];
  const all = allLiving();
  const members = new Set<number>();
  for (const { pid, pgid, startedAt } of all) {
    // What is older than the tree is not looked at more closely: on a large machine that is nearly everything.
    const older = startedAt > 0 && startedAt < tree.since * TICKS_PER_SECOND;
    if (pgid === tree.pgid || (!older && hasMark(pid, tree.id))) members.add(pid);
  }
  if (tree.cgroup !== undefined) for (const pid of cgroupMembers(tree.cgroup)) members.add(pid);
  // A child may come before its parent.
  for (let before = -1; before !== members.size;) {
    before = members.size;
    for (const { pid, ppid } of all) if (members.has(ppid)) members.add(pid);
  }
  members.delete(process.pid);
  return [...members];
}

/** All processes but zombies, which do nothing any more and only wait for their parent. */
export function allLiving(): Living[] {
  const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  return pids.map((pid) => livingFrom(Number(pid), readProcess(pid, "stat"))).filter((each) => each !== undefined);
}

/** What `/proc/PID/stat` says of a process; undefined when it does not live any more. */
export function livingFrom(pid: number, stat: string): Living | undefined {
  // The name, in parentheses, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state = "", ppid, pgid] = fields;
  // One whose first thread has ended looks like a zombie, but its other threads work on.
  const over = state === "Z" ? Number(fields[THREADS_FIELD]) <= 1 : ["", "X", "x"].includes(state);
  return over ? undefined : { pid, ppid: Number(ppid), pgid: Number(pgid), startedAt: Number(fields[START_FIELD]) };
}

function hasMark(pid: number, id: string): boolean {
  const start = `\0${TREE_VARIABLE}=`;
  const environ = `\0${readProcess(String(pid), "environ")}`;
  const at = environ.indexOf(start);
  if (at < 0) return false;
  const [value = ""] = environ.slice(at + start.length).split("\0", 1);
  return value.split(":").includes(id);
}

/** Empty when the process ended meanwhile, or belongs to another user. A third less work than `readFileSync`. */
function readProcess(pid: string, file: "stat" | "environ"): string {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(`/proc/${pid}/${file}`, "r");
    for (let text = ""; ;) {
      const length = readSync(descriptor, buffer);
      text += buffer.toString("latin1", 0, length);
      if (length < buffer.length) return text;
    }
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (UNREADABLE.has(code)) return "";
    // Too many open files, for one: that a process cannot be seen does not say that it is gone.
    throw error;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** What says that a process has ended, or is another user's. */
const UNREADABLE: ReadonlySet<string> = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"]);

function groupExists(pgid: number): boolean {
  try {
    process.kill(-pgid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    // It is gone, or another user's: whether it lives is seen afterwards.
    return false;
  }
}

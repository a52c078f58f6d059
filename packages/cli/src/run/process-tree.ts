import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { constants, uptime } from "node:os";
import { join } from "node:path";
import { systemClock } from "@tenure/etcd/runtime";
import { killTree, livingOf, signalGroup, TREE_VARIABLE, type TreeMark } from "./census.ts";
import { enteringCgroup, removeCgroup } from "./cgroup.ts";
import type { Containment } from "./containment.ts";
import type { ServiceGuard } from "./guard-link.ts";
import type { Notes } from "./log.ts";
import { groupInNamespace } from "./pid-namespace.ts";
import { throughShell } from "./through-shell.ts";

/** How the first process of a tree ended. */
export interface Exit {
  /** As shells have it: its own, or 128 + the number of the signal that ended it. */
  readonly code: number;
  /** The same for people. */
  readonly text: string;
}

/** What is to be started. */
export interface TreeOptions {
  /** What it is called in messages. */
  readonly what: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What its stdin holds; default: as `stdin` says. */
  readonly input?: string | undefined;
  /** Whether it reads the supervisor's own stdin, which is the default, or nothing. */
  readonly stdin?: "inherit" | "ignore" | undefined;
  /** How it is held together; default: as a group. */
  readonly containment?: Containment;
  readonly log: Notes;
  /** Kills the tree when this process cannot. */
  readonly guard: ServiceGuard | undefined;
}

/** As shells and `env(1)` have it, for a program that was there a moment ago. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const SIGNAL_EXIT_BASE = 128;
/** After so long without success killing is reported, and goes on. */
const KILL_REPORT_MS = 5000;
const KILL_RETRY_MS = 1000;

const GROUP: Containment = { t: "group", entry: [] };
/** A namespace takes some milliseconds to be there. */
const NAMESPACE_CHECK_MS = 5;

/** A process may be a tick older than it seems. */
const SINCE_SLACK_SECONDS = 1;

let started = 0;

/**
 * A program and everything it starts: a process group of its own.
 *
 * It is over when nothing of it lives, not when its first process has ended: see {@link killTree}.
 */
export class ProcessTree {
  /** Resolves when the first process has ended. */
  readonly exited: Promise<Exit>;
  readonly #options: TreeOptions;
  readonly #mark: TreeMark;
  #exit: Exit | undefined;
  #gone: Promise<void> | undefined;
  #innerGroup: number | undefined;

  constructor(options: TreeOptions) {
    const { input, stdin = "inherit", guard, containment = GROUP } = options;
    this.#options = options;
    const id = `${process.pid}-${Math.trunc(systemClock.date().getTime())}-${++started}`;
    // Told before, in case that we die in between: whatever is started carries the mark.
    const since = uptime() - SINCE_SLACK_SECONDS;
    const { cgroupParent } = containment;
    const cgroup = cgroupParent === undefined ? undefined : join(cgroupParent, `tenure-${id}`);
    guard?.tree({ id, pgid: undefined, since, cgroup });
    const above = options.env[TREE_VARIABLE];
    const env = { ...options.env, [TREE_VARIABLE]: above === undefined ? id : `${above}:${id}` };
    const start = entered(containment, cgroup, { file: options.file, args: options.args, env });
    let child: ChildProcess;
    try {
      if (cgroup !== undefined) mkdirSync(cgroup);
      child = spawn(start.file, start.args, {
        detached: true,
        env: start.env,
        // What a hook prints is no data.
        stdio: input === undefined ? [stdin, "inherit", "inherit"] : ["pipe", 2, 2],
      });
    } catch (error) {
      if (cgroup !== undefined) removeCgroup(cgroup);
      guard?.gone(id);
      throw error;
    }
    this.#mark = { id, pgid: child.pid, since, cgroup };
    guard?.tree(this.#mark);
    this.exited = this.#awaitExit(child);
    // A program that does not read its input is no fault.
    child.stdin?.on("error", () => undefined).end(input);
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** Sends a signal to all of the program's group. */
  signal(name: NodeJS.Signals): void {
    const { pgid } = this.#mark;
    if (pgid === undefined) return;
    if (this.#options.containment?.t === "pidns") void this.#signalInside(pgid, name);
    else signalGroup(pgid, name);
  }

  /** Kills what is left, at once, and resolves when nothing lives any more, however long that takes. */
  kill(): Promise<void> {
    this.#gone ??= this.#kill();
    return this.#gone;
  }

  /**
   * Asks the tree to end, and kills it when it has not within the limit.
   *
   * @param limitMs milliseconds left, looked at again and again, as a lease may end sooner
   */
  async stop(signal: NodeJS.Signals, limitMs: () => number): Promise<Exit> {
    if (limitMs() > 0) this.signal(signal);
    while (this.running && limitMs() > 0 && this.#gone === undefined) {
      await settledWithin(this.exited, Math.min(limitMs(), 250), this.#gone);
    }
    await this.kill();
    return this.exited;
  }

  /** The group that we started is that of the namespace's first process; the program has one of its own. */
  async #signalInside(unshare: number, name: NodeJS.Signals): Promise<void> {
    while (this.running && this.#gone === undefined) {
      this.#innerGroup ??= groupInNamespace(unshare);
      if (this.#innerGroup !== undefined) return void signalGroup(this.#innerGroup, name);
      await settledWithin(this.exited, NAMESPACE_CHECK_MS);
    }
  }

  async #kill(): Promise<void> {
    const { what, log, guard } = this.#options;
    const exitedByItself = !this.running;
    for (let first = true; ; first = false) {
      try {
        const { dead, found } = await killTree(this.#mark, KILL_REPORT_MS);
        if (first && exitedByItself && found) log.note(`${what} left processes behind, which were killed`);
        if (dead) break;
        log.note(`${what} cannot be killed yet: ${livingOf(this.#mark).join(", ")}`);
      } catch (error) {
        // What cannot be looked at, as when there are too many open files, may live.
        log.note(
          `whether ${what} is dead cannot be seen yet: ${error instanceof Error ? error.message : String(error)}`,
        );
        await new Promise<void>((resolve) => void systemClock.after(KILL_RETRY_MS, resolve));
      }
    }
    await this.exited;
    if (this.#mark.cgroup !== undefined) removeCgroup(this.#mark.cgroup);
    guard?.gone(this.#mark.id);
  }

  async #awaitExit(child: ChildProcess): Promise<Exit> {
    try {
      const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
      this.#exit =
        signal === null
          ? { code: code ?? 0, text: `exited with ${code}` }
          : { code: SIGNAL_EXIT_BASE + constants.signals[signal], text: `was ended by ${signal}` };
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      this.#exit = { code: code === "ENOENT" ? NOT_FOUND : NOT_EXECUTABLE, text: `could not be started: ${code}` };
    }
    return this.#exit;
  }
}

/** What is started in a program's place, so that it is contained. */
function entered(
  containment: Containment,
  cgroup: string | undefined,
  { file, args, env }: Pick<TreeOptions, "file" | "args" | "env">,
): Pick<TreeOptions, "file" | "args" | "env"> {
  const { t, entry } = containment;
  const through = t === "group" ? { env, restore: [] } : throughShell(env);
  const words = [...entry, ...(cgroup === undefined ? [] : enteringCgroup(cgroup)), ...through.restore, file, ...args];
  const [first = file, ...rest] = words;
  return { file: first, args: rest, env: through.env };
}

/** Waits for the first of some promises, but not for longer than a limit. */
export function settledWithin(first: Promise<unknown>, limitMs: number, second?: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const cancel = systemClock.after(limitMs, resolve);
    const settle = (): void => {
      cancel();
      resolve();
    };
    first.then(settle, settle);
    second?.then(settle, settle);
  });
}

import { spawnSync } from "node:child_process";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { cgroupParent } from "./cgroup.ts";
import { systemTool } from "./find-program.ts";
import { pidNamespaceEntry } from "./pid-namespace.ts";
import { throughShell } from "./through-shell.ts";

/** How the processes of a tree are held together. */
export interface Containment {
  readonly t:
    /** By what the census finds: their group, their descent, their mark. */
    | "group"
    /** By a cgroup of their own. */
    | "cgroup"
    /** By a PID namespace of their own. */
    | "pidns";
  /** The words in front of a command that have it contained; none, where it needs none. */
  readonly entry: readonly string[];
  /** Below which each tree gets its cgroup. */
  readonly cgroupParent?: string;
}

/**
 * What `--contain` asks for, tried out.
 *
 * @throws CommandError 64 for an unknown word, 78 saying what the machine lacks
 */
export function containmentNamed(text: string): Containment {
  switch (text) {
    case "group":
      return { t: "group", entry: dyingWithUs() };
    case "cgroup":
      checkVariables(text);
      return { t: "cgroup", entry: dyingWithUs(), cgroupParent: cgroupParent() };
    case "pidns":
      checkVariables(text);
      return { t: "pidns", entry: pidNamespaceEntry(dyingWithUs()) };
    default:
      throw new CommandError(ExitCode.usage, `--contain: ${JSON.stringify(text)} is none of group, cgroup, pidns`);
  }
}

/** What {@link dyingWithUs} found out; undefined before it was asked for. */
let deathWords: readonly string[] | undefined;

/**
 * The words in front of a command that have the kernel kill its process when we die, guard or not. What it starts does
 * not inherit this. None where it cannot be had: elsewhere than on Linux, and with the `setpriv` of busybox. Tried out
 * once: an agent has many services.
 */
function dyingWithUs(): readonly string[] {
  deathWords ??= findDeathWords();
  return deathWords;
}

function findDeathWords(): readonly string[] {
  if (process.platform !== "linux") return [];
  try {
    const setpriv = systemTool("setpriv");
    const words = ["--pdeathsig", "KILL", "--"];
    return spawnSync(setpriv, [...words, "true"]).status === 0 ? [setpriv, ...words] : [];
  } catch {
    return [];
  }
}

/** These ways lead through a shell. */
function checkVariables(text: string): void {
  const [env, ...args] = throughShell(process.env).restore;
  if (env === undefined || spawnSync(env, [...args, "true"]).status === 0) return;
  const why =
    "variables with names such as a.b need `env -S` to come through a shell, which coreutils has from 8.30 on";
  throw new CommandError(ExitCode.configuration, `--contain ${text}: ${why}; --contain group needs nothing`);
}

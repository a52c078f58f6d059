import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from "node:child_process";
import { existsSync } from "node:fs";

// No test leaves a process behind, however it ends: what still runs when the test process exits is killed.
const children = new Set<ChildProcess>();

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

// On Linux the kernel does the same when the test process is killed and cannot run the line above.
const setpriv = "/usr/bin/setpriv";
const dieWithParent = process.platform === "linux" && existsSync(setpriv) ? [setpriv, "--pdeathsig", "KILL", "--"] : [];

/** Settings of a child process. */
export interface LaunchOptions {
  readonly cwd?: string;
  readonly env: NodeJS.ProcessEnv;
  /** Whom it runs as, for what refuses to run as root. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** Starts a child with piped stdio that does not outlive the test process. */
export function launch(
  command: string,
  args: readonly string[],
  options: LaunchOptions,
): ChildProcessWithoutNullStreams {
  const [program = command, ...rest] = [...dieWithParent, command, ...args];
  const child = spawn(program, rest, { ...options, stdio: "pipe" });
  children.add(child);
  child.once("exit", () => children.delete(child));
  child.once("error", () => {
    if (child.pid === undefined) children.delete(child); // it never ran
  });
  return child;
}

/** Whether a child still runs. */
export function runs(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** Kills a child, frozen or not, and waits until it is gone. */
export async function killed(child: ChildProcess): Promise<void> {
  if (!runs(child)) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  await gone;
}

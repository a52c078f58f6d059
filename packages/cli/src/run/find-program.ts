import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { CommandError } from "../exit-codes.ts";

/** As shells and `env(1)` have it. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
/** What the kernel reads of a script's first line. */
const SHEBANG_BYTES = 256;

/**
 * Looks a program up as `execvp` does, so that one that cannot run is found before it leads.
 *
 * @throws CommandError 127 when there is none, 126 when it cannot be run
 */
export function findProgram(command: string, path = ""): string {
  if (command.includes("/")) return runnable(command, resolve(command));
  let found: string | undefined;
  for (const folder of path.split(delimiter)) {
    const file = resolve(folder, command);
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    if (mayExecute(file)) return runnable(command, file);
    found ??= file;
  }
  if (found !== undefined) throw cannotRun(command, `${found} is not executable`);
  throw new CommandError(NOT_FOUND, `${command}: not found in PATH`);
}

/**
 * Looks up a program of the system, which a service's PATH may not name.
 *
 * @throws CommandError when there is none
 */
export function systemTool(name: string): string {
  return findProgram(name, [process.env["PATH"], "/usr/bin:/bin"].filter(Boolean).join(delimiter));
}

function runnable(command: string, file: string): string {
  let stat;
  try {
    stat = statSync(file);
  } catch (error) {
    const denied = error instanceof Error && "code" in error && error.code === "EACCES";
    if (denied) throw cannotRun(command, "permission denied");
    throw new CommandError(NOT_FOUND, `${command}: there is no such file`);
  }
  if (stat.isDirectory()) throw cannotRun(command, "it is a directory");
  if (!mayExecute(file)) throw cannotRun(command, "it is not executable");
  const interpreter = interpreterOf(file);
  if (interpreter !== undefined && !mayExecute(interpreter)) {
    throw cannotRun(command, `its interpreter ${interpreter} is missing or not executable`);
  }
  return file;
}

function mayExecute(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What a script's first line names; undefined for other programs, and for one that we may run but not read. */
function interpreterOf(file: string): string | undefined {
  const bytes = Buffer.alloc(SHEBANG_BYTES);
  try {
    const descriptor = openSync(file, "r");
    try {
      readSync(descriptor, bytes);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
  return /^#![ \t]*(\/[^\s\0]*)/.exec(bytes.toString("latin1"))?.[1];
}

function cannotRun(command: string, why: string): CommandError {
  return new CommandError(NOT_EXECUTABLE, `${command}: ${why}`);
}

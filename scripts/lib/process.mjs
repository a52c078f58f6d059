// What the scripts share: where the repository is, how they speak, how they run a command.
import { execFile, spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

/** The repository's root folder, with a slash at its end. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

/** The path of a command that npm installed. */
export const bin = (name) => `${root}node_modules/.bin/${name}`;

/** Prints a progress line on stderr: stdout belongs to the program that a script starts. */
export function note(line) {
  process.stderr.write(`${line}\n`);
}

/** Runs the body of a script: an error becomes one line on stderr and exit code 1. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    note(`error: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

/** Runs a command within a time limit and returns what it printed on stdout; an error has all it said as `output`. */
export function capture(command, args, { timeoutMs, cwd, env } = {}) {
  return new Promise((resolve, reject) => {
    const options = { cwd, env, timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: 64 * 1024 * 1024 };
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const lines = `${stdout}\n${stderr}`.trim().split("\n");
      const said = lines.find((line) => line.startsWith("E: ")) ?? lines.at(-1); // apt's first error is the telling one
      const why = error.killed ? `no end within ${timeoutMs / 1000} s` : said || error.message;
      const name = [command.split("/").at(-1), args.find((arg) => /^[a-z]/.test(arg))].filter(Boolean).join(" ");
      reject(Object.assign(new Error(`${name}: ${why}`, { cause: error }), { output: lines.join("\n") }));
    });
  });
}

/** Runs a command with the given stdio and returns its exit code, 128 + n when signal n ended it. */
export function run(command, args, { stdio = ["ignore", 2, 2], cwd = root, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

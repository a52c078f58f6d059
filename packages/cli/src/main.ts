import { CommanderError, type Command } from "commander";
import { TenureError } from "tenure";
import { CommandError, ExitCode, exitCodeOf } from "./exit-codes.ts";
import { note } from "./output.ts";
import { createProgram } from "./program.ts";

/** Runs the command line and returns the exit code. Every error is one line on stderr. */
async function main(args: readonly string[]): Promise<number> {
  let exitCode: number = ExitCode.ok;
  const program = createProgram((code) => (exitCode = code));
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ outputError: () => undefined });
  }
  if (args.length === 0) {
    process.stderr.write(program.helpInformation());
    return ExitCode.usage;
  }
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    return report(error, program);
  }
}

function report(error: unknown, program: Command): number {
  if (error instanceof CommanderError) {
    // Help and version were asked for and have been printed.
    if (error.exitCode === 0) return ExitCode.ok;
    // What follows a flag's = may be a secret.
    const line = error.message
      .replace(/^error: /, "")
      .replaceAll(/(--?[\w-]+)=[^\s']*/g, "$1")
      .replaceAll(/\s*\n\s*/g, " ");
    note(error.code === "commander.help" ? "a command is missing" : `${line}; see ${program.name()} --help`);
    return ExitCode.usage;
  }
  if (error instanceof CommandError) {
    for (const line of error.lines) note(line);
    return error.exitCode;
  }
  const tenure = TenureError.from(error);
  const userMissing = tenure.message.includes("user name is empty");
  note(userMissing ? "etcd wants a user: give --user and --password-file" : tenure.message);
  if (tenure.code === "internal" && process.env["TENURE_DEBUG"] !== undefined) console.error(error);
  return exitCodeOf(tenure.code);
}

let outputFailed = false;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that left, as in `tenure observe x | head -1`, is no error. Commands that stay end by themselves.
  if (error.code === "EPIPE" || outputFailed) return;
  outputFailed = true;
  note(`cannot write the output: ${error.message}`);
});

const exitCode = await main(process.argv.slice(2));
process.exitCode = outputFailed && exitCode === ExitCode.ok ? ExitCode.internal : exitCode;

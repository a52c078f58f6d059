import { readFileSync } from "node:fs";
import { Argument, Command } from "commander";
import { completion, SHELLS } from "./commands/completion.ts";
import { demo } from "./commands/demo.ts";
import { dev } from "./commands/dev.ts";
import { elect } from "./commands/elect.ts";
import { leader, status } from "./commands/leader.ts";
import { observe } from "./commands/observe.ts";
import { resign } from "./commands/resign.ts";
import { ExitCode } from "./exit-codes.ts";
import { type GlobalFlags, readSettings, type Settings } from "./settings.ts";

export { environmentTwins } from "./settings.ts";

/** Runs a command's action and keeps the exit code it returns. */
type Finish = (exitCode: number) => void;

/** What each exit code says, for the help text and the documents. */
export const exitCodes: readonly { readonly code: number; readonly meaning: string }[] = [
  { code: ExitCode.ok, meaning: "done" },
  { code: ExitCode.noLeader, meaning: "nobody leads (leader, resign)" },
  { code: ExitCode.usage, meaning: "usage: a flag, a name or a value that cannot be" },
  { code: ExitCode.unreachable, meaning: "store unreachable" },
  { code: ExitCode.internal, meaning: "a fault of this program" },
  { code: ExitCode.cannotListen, meaning: "the address cannot be listened on (dev)" },
  { code: ExitCode.notElected, meaning: "not elected within --timeout (elect); the leader changed meanwhile (resign)" },
  { code: ExitCode.permission, meaning: "wrong password or missing permission" },
  { code: ExitCode.configuration, meaning: "bad configuration: a file, or keys of others under the name" },
  { code: ExitCode.leadershipLost, meaning: "leadership lost (elect)" },
];

const HELP_END = `
Exit codes:
${exitCodes.map(({ code, meaning }) => `  ${String(code).padEnd(4)} ${meaning}`).join("\n")}
  128+n  ended by signal n before it was elected (elect)

Each global flag has an environment twin: TENURE_ENDPOINTS for --endpoints, and so on, with ETCDCTL_ENDPOINTS as
fallback. A password comes from --password-file or TENURE_PASSWORD, never from the command line.`;

/** The command `tenure`, with all its commands and flags. `finish` is told the exit code of the command that ran. */
export function createProgram(finish: Finish): Command {
  const program = new Command("tenure")
    .description("Leader election and primary/standby failover on etcd v3.")
    .version(version(), "--version", "print the version")
    .helpOption("-h, --help", "print help")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", HELP_END);
  addGlobalFlags(program);
  addElectionCommands(program, finish);
  addStoreCommands(program, finish);
  program
    .command("completion")
    .description("print a script that completes this command's words")
    .addArgument(new Argument("<SHELL>").choices(SHELLS))
    .action((shell: string) => finish(completion(shell, program)));
  return program;
}

function addGlobalFlags(program: Command): void {
  program
    .option("--endpoints <URLS>", "etcd's client URLs, separated by commas (default: http://127.0.0.1:2379)")
    .option("--namespace <PREFIX>", "put before each election's name as it is; usually ends with a slash")
    .option("-o, --output <FORMAT>", "table, json or jsonl (default: table)")
    .option("--cacert <FILE>", "certificate authorities to trust, PEM")
    .option("--cert <FILE>", "client certificate, PEM")
    .option("--key <FILE>", "key of the client certificate, PEM")
    .option("--user <NAME>", "user of etcd")
    .option("--password-file <FILE>", "file that holds the user's password")
    .option("--ttl <SECONDS>", "time until others take over from a node that crashed (default: 10)")
    .option("--timeout <SECONDS>", "how long to wait: for elect to be elected (default: for ever), for others 5");
}

function addElectionCommands(program: Command, finish: Finish): void {
  const named = (name: string, description: string): Command =>
    program.command(name).description(description).argument("<NAME>", "name of the election");

  named("elect", "stand for election, print key and value when elected, hold until SIGINT or SIGTERM, then resign")
    .argument("[VALUE]", "what others see of this node (default: host-timestamp)")
    .action(async (name: string, value: string | undefined) => finish(await elect(name, value, settings(program))));
  named("observe", "print who leads, now and at every change").action(async (name: string) =>
    finish(await observe(name, settings(program))),
  );
  named("leader", "print who leads").action(async (name: string) => finish(await leader(name, settings(program))));
  named("status", "print the leader and its standbys in order of succession").action(async (name: string) =>
    finish(await status(name, settings(program))),
  );
  named("resign", "make the leader step down by deleting its key, and print it").action(async (name: string) =>
    finish(await resign(name, settings(program))),
  );
}

function addStoreCommands(program: Command, finish: Finish): void {
  program
    .command("dev")
    .description("run the embedded etcd as a server: in memory, for development")
    .option("--listen <HOST:PORT>", "where to listen; port 0 takes any that is free", "127.0.0.1:2379")
    .action(async (options: { listen: string }) => finish(await dev(options.listen, settings(program))));
  program
    .command("demo")
    .description("show failovers between real processes, on an embedded etcd or on --endpoints")
    .option("--nodes <N>", "processes that stand for election, 2 to 9", "3")
    .option("--failovers <N>", "end after so many failovers (default: never on a terminal, else 3)")
    .option("--json", "print one JSON line for each failover, then a summary")
    .action(async (options: { nodes: string; failovers?: string; json?: boolean }) =>
      finish(await demo(options, settings(program))),
    );
}

function settings(program: Command): Settings {
  return readSettings(program.opts<GlobalFlags>(), process.env);
}

function version(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { version: string };
  return version;
}

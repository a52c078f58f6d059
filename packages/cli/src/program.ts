import { readFileSync } from "node:fs";
import { Argument, Command } from "commander";
import type { AgentFlags } from "./commands/agent.ts";
import { completion, SHELLS } from "./commands/completion.ts";
import type { DevFlags } from "./commands/dev.ts";
import type { DoctorFlags } from "./commands/doctor.ts";
import { ExitCode } from "./exit-codes.ts";
import type { RunFlags } from "./run/plan.ts";
import { type GlobalFlags, readSettings, type Settings } from "./settings.ts";

export { environmentTwins } from "./settings.ts";

/** Each command is loaded when it is asked for: `tenure leader` needs neither the embedded etcd nor YAML. */
const load = {
  agent: () => import("./commands/agent.ts"),
  demo: () => import("./commands/demo.ts"),
  dev: () => import("./commands/dev.ts"),
  doctor: () => import("./commands/doctor.ts"),
  elect: () => import("./commands/elect.ts"),
  leader: () => import("./commands/leader.ts"),
  observe: () => import("./commands/observe.ts"),
  resign: () => import("./commands/resign.ts"),
  run: () => import("./commands/run.ts"),
  transfer: () => import("./commands/transfer.ts"),
} as const;

/** Runs a command's action and keeps the exit code it returns. */
type Finish = (exitCode: number) => void;

/** What each exit code says, for the help text and the documents. */
export const exitCodes: readonly { readonly code: number; readonly meaning: string }[] = [
  { code: ExitCode.ok, meaning: "done" },
  { code: ExitCode.noLeader, meaning: "nobody leads (leader, resign, transfer)" },
  { code: ExitCode.usage, meaning: "usage: a flag, a name or a value that cannot be; a transfer that is refused" },
  { code: ExitCode.unreachable, meaning: "store unreachable" },
  { code: ExitCode.internal, meaning: "a fault of this program" },
  { code: ExitCode.cannotListen, meaning: "the address cannot be listened on (dev, run)" },
  { code: ExitCode.cannotWrite, meaning: "the data directory cannot be written (dev)" },
  {
    code: ExitCode.notElected,
    meaning:
      "not elected within --timeout (elect, run); the leader changed meanwhile (resign, transfer) or did not hand " +
      "over within --timeout (transfer)",
  },
  { code: ExitCode.permission, meaning: "wrong password or missing permission" },
  {
    code: ExitCode.configuration,
    meaning:
      "bad configuration: a file, a data directory, or keys of others under the name; times that cannot be kept " +
      "(run); a problem found (doctor)",
  },
  { code: ExitCode.leadershipLost, meaning: "leadership lost (elect, run)" },
  { code: 126, meaning: "the program cannot be executed (run)" },
  { code: 127, meaning: "the program was not found (run)" },
];

const HELP_END = `
Exit codes:
${exitCodes.map(({ code, meaning }) => `  ${String(code).padEnd(4)} ${meaning}`).join("\n")}
  128+n  ended by signal n before it was elected (elect, run), or before it was done (transfer, doctor)
  else   the program's own; 128+n when signal n ended it (run)

Each global flag has an environment twin: TENURE_ENDPOINTS for --endpoints, and so on, with ETCDCTL_ENDPOINTS as
fallback. A password comes from --password-file or TENURE_PASSWORD, never from the command line.`;

const TIMEOUT_HELP =
  "how long to wait: for elect and run to be elected (default: for ever), for transfer to be done (10), for others 5";

const TRANSFER_EXAMPLE = `
Example: make node-b lead, wherever it stands in the queue
  tenure transfer my-service --to node-b`;

const RUN_EXAMPLE = `
Example: one of several machines runs the program, and another when that ends
  tenure run my-service --on-exit resign -- ./my-service --port 8080`;

const DOCTOR_HELP = `
It asks each endpoint by itself, and writes, some dozen times a second, a small key under NAMESPACEtenure-doctor/ on a
lease with --ttl, which it revokes at the end. It ends with 0 if it finds no problem, warnings or not.`;

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
  addRunCommand(program, finish);
  addAgentCommand(program, finish);
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
    .option("--discovery-srv <DOMAIN>", "domain whose SRV records name etcd's endpoints, instead of --endpoints")
    .option("--discovery-srv-name <NAME>", "which of several clusters of that domain: _etcd-client-NAME._tcp.DOMAIN")
    .option("--discover-members", "use the cluster's other members as well, as its own list has them")
    .option("--namespace <PREFIX>", "put before each election's name as it is; usually ends with a slash")
    .option("-o, --output <FORMAT>", "table, json or jsonl (default: table)")
    .option("--cacert <FILE>", "certificate authorities to trust, PEM")
    .option("--cert <FILE>", "client certificate, PEM")
    .option("--key <FILE>", "key of the client certificate, PEM")
    .option("--server-name <NAME>", "name the server's certificate must carry (default: the endpoint's host)")
    .option("--user <NAME>", "user of etcd")
    .option("--password-file <FILE>", "file that holds the user's password")
    .option("--ttl <SECONDS>", "time until others take over from a node that crashed (default: 10)")
    .option("--timeout <SECONDS>", TIMEOUT_HELP);
}

function addElectionCommands(program: Command, finish: Finish): void {
  const named = (name: string, description: string): Command =>
    program.command(name).description(description).argument("<NAME>", "name of the election");

  named(
    "elect",
    "stand for election, print key and value when elected, hold until SIGINT, SIGTERM or a transfer, then resign",
  )
    .argument("[VALUE]", "what others see of this node (default: host-timestamp)")
    .action(async (name: string, value: string | undefined) =>
      finish(await (await load.elect()).elect(name, value, settings(program))),
    );
  named("observe", "print who leads, now and at every change").action(async (name: string) =>
    finish(await (await load.observe()).observe(name, settings(program))),
  );
  named("leader", "print who leads").action(async (name: string) =>
    finish(await (await load.leader()).leader(name, settings(program))),
  );
  named("status", "print the leader and its standbys in order of succession").action(async (name: string) =>
    finish(await (await load.leader()).status(name, settings(program))),
  );
  named("resign", "make the leader step down by deleting its key, and print it").action(async (name: string) =>
    finish(await (await load.resign()).resign(name, settings(program))),
  );
  named("transfer", "make the leader hand over to a chosen candidate, and print who leads then and who did before")
    .requiredOption("--to <KEY|VALUE>", "the candidate's key, or its value if no other candidate has the same")
    .addHelpText("after", TRANSFER_EXAMPLE)
    .action(async (name: string, options: { to: string }) =>
      finish(await (await load.transfer()).transfer(name, options.to, settings(program))),
    );
}

function addRunCommand(program: Command, finish: Finish): void {
  program
    .command("run")
    .description("run a program only while this node leads, and stop it before another node can")
    .argument("<NAME>", "name of the election")
    .argument("[CMD...]", "the program and its arguments, after --")
    .option("--value <TEXT>", "what others see of this node (default: host-timestamp)")
    .option("--stop-signal <NAME>", "what asks the program to stop", "SIGTERM")
    .option("--stop-timeout <SECONDS>", "from the stop signal to SIGKILL (default: by the TTL, see --explain)")
    .option(
      "--on-exit <POLICY>",
      "when the program ends: exit with its code, resign and stand again, or restart",
      "exit",
    )
    .option("--max-restarts <N>", "with --on-exit restart: quick ends in a row until the term is given up", "5")
    .option("--pre-promote <COMMAND>", "shell command before the program starts; its failure gives the term up")
    .option("--on-promote <COMMAND>", "shell command when the program has started")
    .option("--on-demote <COMMAND>", "shell command when the program has been stopped")
    .option("--on-leader-change <COMMAND>", "shell command at every change of leader, on every node")
    .option("--hook-timeout <SECONDS>", "how long each of these commands may take", "10")
    .option("--standby-cmd <COMMAND>", "shell command that runs while this node does not lead")
    .option("--health-cmd <COMMAND>", "shell command that must succeed on a node that is to lead, or leads")
    .option("--health-http <URL>", "the same, an address that must answer 2xx or 3xx")
    .option("--health-tcp <ADDRESS>", "the same, a HOST:PORT that must accept connections")
    .option("--health-interval <SECONDS>", "from one check to the next", "2")
    .option("--health-timeout <SECONDS>", "a check that takes longer has failed", "1")
    .option("--health-rise <N>", "so many successes in a row make a node healthy", "2")
    .option("--health-fall <N>", "so many failures in a row make it unhealthy", "3")
    .option("--http <ADDRESS>", "answer health checks and serve metrics on PORT (of 127.0.0.1) or HOST:PORT")
    .option("--http-host <NAMES>", "host names that requests may be addressed to, separated by commas")
    .option("--http-token-file <FILE>", "file with the secret that lets HTTP act: resign, transfer, pause, resume")
    .option("--agent-check <ADDRESS>", "answer HAProxy's agent checks on PORT (of 127.0.0.1) or HOST:PORT")
    .option("--leader-port <ADDRESS>", "accept connections on PORT (of 127.0.0.1) or HOST:PORT only while leading")
    .option("--no-guard", "do without the process that stops the program when this one dies or freezes")
    .option(
      "--contain <WAY>",
      "how the program's processes are held together: group, or on Linux cgroup or pidns",
      "group",
    )
    .option("--explain", "print the times that follow from --ttl and --stop-timeout, and end")
    .addHelpText("after", RUN_EXAMPLE)
    .action(async (name: string, command: string[], options: RunFlags) =>
      finish(await (await load.run()).run(name, command, options, settings(program))),
    );
}

function addAgentCommand(program: Command, finish: Finish): void {
  program
    .command("agent")
    .description("run many services of one host over one lease, as a file says; SIGHUP reloads it")
    .requiredOption("--config <FILE>", "the file, in YAML: docs/agent.md says what stands in it")
    .option("--check", "look for mistakes in the file, and end")
    .action(async (options: AgentFlags) =>
      finish(await (await load.agent()).agent(options, program.opts<GlobalFlags>())),
    );
}

function addStoreCommands(program: Command, finish: Finish): void {
  program
    .command("dev")
    .description("run the embedded etcd as a server, for development: in memory, or in a directory")
    .option("--listen <HOST:PORT>", "where to listen; port 0 takes any that is free", "127.0.0.1:2379")
    .option("--data-dir <DIR>", "keep everything there over restarts and crashes; made if there is none")
    .option("--unsafe-no-fsync", "do not wait for the disk: a crash of the machine may lose what was acknowledged")
    .option("--cert-file <FILE>", "speak TLS with this certificate, PEM")
    .option("--key-file <FILE>", "the key of --cert-file, PEM")
    .option("--trusted-ca-file <FILE>", "want certificates of clients, from these authorities, PEM")
    .option("--allow-insecure", "listen without TLS where other machines can connect")
    .option("--auth-token <KIND>", "simple, or jwt,sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m", "simple")
    .option("--auth-token-ttl <SECONDS>", "how long a simple token lives after its last use", "300")
    .action(async (options: DevFlags) => finish(await (await load.dev()).dev(options, settings(program))));
  program
    .command("demo")
    .description("show failovers between real processes, on an embedded etcd or on --endpoints")
    .option("--nodes <N>", "processes that stand for election, 2 to 9", "3")
    .option("--failovers <N>", "end after so many failovers (default: never on a terminal, else 3)")
    .option("--json", "print one JSON line for each failover, then a summary")
    .action(async (options: { nodes: string; failovers?: string; json?: boolean }) =>
      finish(await (await load.demo()).demo(options, settings(program))),
    );
  program
    .command("doctor")
    .description("examine etcd, its latency and this machine's clocks, and say what failover time to expect")
    .option("--duration <SECONDS>", "how long to measure", "5")
    .option("--read-only", "write nothing: neither the lease nor the key that show how long a commit takes")
    .addHelpText("after", DOCTOR_HELP)
    .action(async (options: DoctorFlags) => finish(await (await load.doctor()).doctor(options, settings(program))));
}

function settings(program: Command): Settings {
  return readSettings(program.opts<GlobalFlags>(), process.env);
}

function version(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { version: string };
  return version;
}

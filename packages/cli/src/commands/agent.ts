import { connect, TenureError } from "tenure";
import { Agent, type Changes } from "../agent/agent.ts";
import { type AgentConfig, readConfig } from "../agent/config.ts";
import { type Notifier, sdNotifier } from "../agent/sd-notify.ts";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { keepHeapSmall } from "../heap.ts";
import { Endpoints } from "../http/endpoints.ts";
import { endpointsPlan } from "../http/flags.ts";
import { printLine } from "../output.ts";
import { GuardLink } from "../run/guard-link.ts";
import { Log, type Notes } from "../run/log.ts";
import type { GlobalFlags } from "../settings.ts";

/** The flags of `tenure agent` as commander leaves them. */
export interface AgentFlags {
  readonly config: string;
  readonly check?: boolean;
}

const STOPS = ["SIGTERM", "SIGINT", "SIGQUIT"] as const;

/** `tenure agent --config FILE`: runs many services, over one lease. */
export async function agent({ config: file, check }: AgentFlags, flags: GlobalFlags): Promise<number> {
  if (process.platform === "win32") {
    throw new CommandError(ExitCode.configuration, "agent needs process groups and signals, which Windows has not");
  }
  const read = (): AgentConfig => readConfig(file, flags, process.env);
  const config = read();
  if (check === true) {
    printLine(`${file}: ${count(config.services.length, "service")}, no mistake found`);
    return ExitCode.ok;
  }
  keepHeapSmall();
  const log = new Log();
  const notify = sdNotifier(log);
  const { promise: stopped, resolve: stop } = withResolvers();
  let onStop = stop;
  let onReload = (): void => undefined;
  // First of all, so that a signal finds us ready whenever it comes.
  const listeners = new Map<NodeJS.Signals, () => void>([["SIGHUP", () => onReload()]]);
  for (const name of STOPS) listeners.set(name, () => onStop());
  for (const [name, listener] of listeners) process.on(name, listener);

  let closing = false;
  const connectOptions = config.settings.connect();
  const plan = endpointsPlan(config.http);
  const answering = plan && new Endpoints({ plan, log, closing: () => closing });
  let guard: GuardLink | undefined;
  try {
    await answering?.open();
    guard = new GuardLink(connectOptions, log);
    await using client = connect({ ...connectOptions, guard });
    const running = new Agent(config, { client, guard, log }, answering);
    onReload = () => reload(running, read, log, notify);
    log.note(`running ${count(config.services.length, "service")} of ${file}`);
    notify("--ready", `--status=${count(config.services.length, "service")}`);
    await stopped;
    closing = true;
    onReload = () => undefined;
    onStop = () => running.hurry();
    notify("STOPPING=1");
    await running.end();
    return ExitCode.ok;
  } finally {
    guard?.close();
    // Last: whoever asks meanwhile is told that this node does not lead.
    await answering?.close();
    for (const [name, listener] of listeners) process.off(name, listener);
    await log.close();
  }
}

/** A file with mistakes changes nothing. */
function reload(running: Agent, read: () => AgentConfig, log: Notes, notify: Notifier): void {
  notify("RELOADING=1");
  try {
    log.note(`reloaded: ${told(running.reload(read()))}`);
  } catch (error) {
    const lines = error instanceof CommandError ? error.lines : [TenureError.from(error).message];
    for (const line of lines) log.note(line);
    log.note("not reloaded: everything runs on as it was");
  }
  notify("--ready");
}

function told({ started, stopped, restarted, needsRestart }: Changes): string {
  const parts = Object.entries({ started, stopped, restarted })
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => `${what} ${names.join(", ")}`);
  if (needsRestart) parts.push("what changed outside of services needs a restart of the agent");
  return parts.length === 0 ? "nothing has changed" : parts.join("; ");
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((each) => (resolve = each));
  return { promise, resolve };
}

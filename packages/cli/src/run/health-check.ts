import * as http from "node:http";
import * as https from "node:https";
import { connect } from "node:net";
import { systemClock } from "@tenure/etcd/runtime";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { type Address, hostAndPort, parseAddress } from "../listening.ts";
import type { ServiceGuard } from "./guard-link.ts";
import type { Notes } from "./log.ts";
import { ProcessTree, settledWithin } from "./process-tree.ts";

/** Looks once; resolves with what is wrong, undefined when nothing is. Never rejects; the signal cuts it short. */
export type HealthCheck = (timeoutMs: number, signal: AbortSignal) => Promise<string | undefined>;

/** What a check asks. */
export type HealthQuestion =
  | { readonly t: "cmd"; readonly command: string }
  | { readonly t: "http"; readonly url: string }
  | { readonly t: "tcp"; readonly address: Address };

/** What a command is run with. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Notes;
  readonly guard: ServiceGuard | undefined;
}

/** A command that was killed is waited for no longer. */
const KILL_WAIT_MS = 1000;

/** What one of the flags asks; undefined when none is given. Throws CommandError 64. */
export function healthQuestion(flags: {
  readonly healthCmd?: string;
  readonly healthHttp?: string;
  readonly healthTcp?: string;
}): HealthQuestion | undefined {
  const { healthCmd, healthHttp, healthTcp } = flags;
  const given = [healthCmd, healthHttp, healthTcp].filter((flag) => flag !== undefined);
  if (given.length > 1) throw usage("--health-cmd, --health-http and --health-tcp: one of them will do");
  if (healthCmd !== undefined) return { t: "cmd", command: healthCmd };
  if (healthHttp !== undefined) return { t: "http", url: httpUrl(healthHttp) };
  return healthTcp === undefined ? undefined : { t: "tcp", address: tcpAddress(healthTcp) };
}

/** The check that asks a question. */
export function healthCheck(question: HealthQuestion, context: CommandContext): HealthCheck {
  switch (question.t) {
    case "cmd":
      return commandCheck(question.command, context);
    case "http":
      return (timeoutMs, signal) => httpFailure(question.url, timeoutMs, signal);
    case "tcp":
      return (timeoutMs, signal) => tcpFailure(question.address, timeoutMs, signal);
  }
}

/** A command that cannot be killed, as another user's, is not started again while it lives. */
function commandCheck(command: string, { env, log, guard }: CommandContext): HealthCheck {
  const what = "the health command";
  let last: Promise<void> | undefined;
  return async (timeoutMs, signal) => {
    if (last !== undefined) return `${what} still runs`;
    let tree: ProcessTree;
    try {
      tree = new ProcessTree({ what, file: "/bin/sh", args: ["-c", command], env, input: "", log, guard });
    } catch (error) {
      return `${what} cannot be started: ${error instanceof Error ? error.message : String(error)}`;
    }
    let onAbort = (): void => undefined;
    const aborted = new Promise<void>((resolve) => (onAbort = resolve));
    signal.addEventListener("abort", onAbort);
    await settledWithin(tree.exited, timeoutMs, aborted);
    // The signal lives as long as the node, and there will be many checks.
    signal.removeEventListener("abort", onAbort);
    const late = tree.running;
    last = tree.kill().finally(() => (last = undefined));
    await settledWithin(last, KILL_WAIT_MS);
    if (signal.aborted) return "cut short";
    if (late) return `${what} took longer than ${timeoutMs / 1000} s`;
    const exit = await tree.exited;
    return exit.code === 0 ? undefined : `${what} ${exit.text}`;
  };
}

function httpFailure(url: string, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = (url.startsWith("https:") ? https : http).get(url, { agent: false });
    const done = (failure: string | undefined): void => {
      cancelLimit();
      signal.removeEventListener("abort", onAbort);
      request.destroy();
      resolve(failure);
    };
    const onAbort = (): void => done("cut short");
    const cancelLimit = systemClock.after(timeoutMs, () => {
      done(`${url} did not answer within ${timeoutMs / 1000} s`);
    });
    request.once("response", ({ statusCode = 0 }) => {
      done(statusCode >= 200 && statusCode < 400 ? undefined : `${url} answers ${statusCode}`);
    });
    request.on("error", (error) => done(`${url}: ${error.message}`));
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
  });
}

function tcpFailure(address: Address, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(address);
    const done = (failure: string | undefined): void => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(failure);
    };
    const onAbort = (): void => done("cut short");
    const where = hostAndPort(address);
    socket.setTimeout(timeoutMs, () => done(`${where} did not accept a connection within ${timeoutMs / 1000} s`));
    socket.once("connect", () => done(undefined));
    socket.once("error", (error) => done(`${where}: ${error.message}`));
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
  });
}

function httpUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw usage(`--health-http: ${JSON.stringify(text)} is no http:// or https:// address`);
  }
  // It would be seen by all on this machine, and in messages.
  if (url.username !== "" || url.password !== "") throw usage("--health-http: it must not hold a user or a password");
  return url.href;
}

function tcpAddress(text: string): Address {
  const address = parseAddress("--health-tcp", text);
  if (address.port === 0) throw usage("--health-tcp: nothing listens on port 0");
  return address;
}

function usage(message: string): CommandError {
  return new CommandError(ExitCode.usage, message);
}

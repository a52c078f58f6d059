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
      return (timeoutMs, signal) => commandFailure(question.command, context, timeoutMs, signal);
    case "http":
      return (timeoutMs, signal) => httpFailure(question.url, timeoutMs, signal);
    case "tcp":
      return (timeoutMs, signal) => tcpFailure(question.address, timeoutMs, signal);
  }
}

async function commandFailure(
  command: string,
  { env, log, guard }: CommandContext,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const what = "the health command";
  const tree = new ProcessTree({ what, file: "/bin/sh", args: ["-c", command], env, input: "", log, guard });
  const kill = (): void => void tree.kill();
  signal.addEventListener("abort", kill);
  await settledWithin(tree.exited, timeoutMs);
  const late = tree.running;
  await tree.kill();
  signal.removeEventListener("abort", kill);
  const exit = await tree.exited;
  if (late) return `${what} took longer than ${timeoutMs / 1000} s`;
  return exit.code === 0 ? undefined : `${what} ${exit.text}`;
}

async function httpFailure(url: string, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const cancelLimit = systemClock.after(timeoutMs, end);
  signal.addEventListener("abort", end);
  try {
    const answer = await fetch(url, { redirect: "manual", signal: ending.signal });
    await answer.body?.cancel();
    return answer.status >= 200 && answer.status < 400 ? undefined : `${url} answers ${answer.status}`;
  } catch (error) {
    if (ending.signal.aborted) return `${url} did not answer within ${timeoutMs / 1000} s`;
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    return `${url}: ${cause instanceof Error ? cause.message : String(cause)}`;
  } finally {
    cancelLimit();
    signal.removeEventListener("abort", end);
  }
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

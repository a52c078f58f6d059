import { constants } from "node:os";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { type EndpointFlags, type EndpointsPlan, endpointsPlan } from "../http/flags.ts";
import type { Settings } from "../settings.ts";
import { type Containment, containmentNamed } from "./containment.ts";
import { type HealthQuestion, healthQuestion } from "./health-check.ts";
import type { HealthTimes } from "./health.ts";
import { findProgram } from "./find-program.ts";
import type { HookName } from "./hooks.ts";
import { type Timings, timings } from "./timings.ts";

/** The flags of `tenure run` as commander leaves them. */
export interface RunFlags extends EndpointFlags {
  readonly value?: string;
  readonly stopSignal: string;
  readonly stopTimeout?: string;
  readonly onExit: string;
  readonly maxRestarts: string;
  readonly prePromote?: string;
  readonly onPromote?: string;
  readonly onDemote?: string;
  readonly onLeaderChange?: string;
  readonly hookTimeout: string;
  readonly standbyCmd?: string;
  readonly healthCmd?: string;
  readonly healthHttp?: string;
  readonly healthTcp?: string;
  readonly healthInterval: string;
  readonly healthTimeout: string;
  readonly healthRise: string;
  readonly healthFall: string;
  readonly guard: boolean;
  readonly contain: string;
  readonly explain?: boolean;
}

/** What is done when the program ends by itself. */
export type OnExit = "exit" | "resign" | "restart";

/** What is asked of a node that is to lead, and how often. */
export interface HealthPlan {
  readonly question: HealthQuestion;
  readonly times: HealthTimes;
}

/** The flags, checked. */
export interface Plan {
  readonly election: string;
  readonly command: string;
  /** Where the command was found. */
  readonly file: string;
  readonly args: readonly string[];
  /** What the program reads: what this process would, or nothing. */
  readonly stdin: "inherit" | "ignore";
  readonly value: string | undefined;
  readonly stopSignal: NodeJS.Signals;
  readonly timings: Timings;
  readonly onExit: OnExit;
  /** How often the program is restarted in one term before the term is given up. */
  readonly maxRestarts: number;
  readonly hooks: Readonly<Partial<Record<HookName, string>>>;
  readonly hookTimeoutMs: number;
  readonly standbyCommand: string | undefined;
  /** What makes this node fit to lead; undefined when it always is. */
  readonly health: HealthPlan | undefined;
  readonly guarded: boolean;
  /** Where questions about this node are answered; undefined: nowhere. */
  readonly endpoints: EndpointsPlan | undefined;
  /** How the program is held together, and the one that runs while standing by. */
  readonly containment: Containment;
  /** Milliseconds to be elected in for the first time. */
  readonly electedWithinMs: number | undefined;
}

const MAX_SECONDS = 86_400;
const MAX_COUNT = 1_000_000;

/** The times that the flags ask for. Throws CommandError 64 or 78. */
export function plannedTimings(flags: RunFlags, { ttlMs }: Settings): Timings {
  return timings(
    ttlMs,
    flags.stopTimeout === undefined ? undefined : milliseconds("--stop-timeout", flags.stopTimeout),
  );
}

/** Checks the flags and looks the program up. Throws CommandError 64, 78, 126 or 127. */
export function plan(election: string, command: readonly string[], flags: RunFlags, settings: Settings): Plan {
  const [program, ...args] = command;
  if (program === undefined || program === "") throw usage("a command is missing: tenure run NAME -- CMD ARGS");
  return {
    election,
    command: program,
    value: flags.value,
    stopSignal: signalNamed(flags.stopSignal),
    timings: plannedTimings(flags, settings),
    onExit: onExitNamed(flags.onExit),
    maxRestarts: wholeNumber("--max-restarts", flags.maxRestarts),
    hooks: given({
      "pre-promote": flags.prePromote,
      "on-promote": flags.onPromote,
      "on-demote": flags.onDemote,
      "on-leader-change": flags.onLeaderChange,
    }),
    hookTimeoutMs: milliseconds("--hook-timeout", flags.hookTimeout),
    standbyCommand: flags.standbyCmd,
    health: healthPlan(flags),
    guarded: flags.guard,
    endpoints: endpointsPlan(flags),
    electedWithinMs: settings.timeoutMs,
    containment: containmentNamed(flags.contain),
    file: findProgram(program, process.env["PATH"]),
    args,
    stdin: "inherit",
  };
}

function given(commands: Readonly<Record<HookName, string | undefined>>): Partial<Record<HookName, string>> {
  const entries = Object.entries(commands).filter(([, command]) => command !== undefined);
  return Object.fromEntries(entries) as Partial<Record<HookName, string>>;
}

function signalNamed(text: string): NodeJS.Signals {
  const name = text.startsWith("SIG") ? text : `SIG${text}`;
  if (name in constants.signals && name !== "SIGKILL" && name !== "SIGSTOP") return name as NodeJS.Signals;
  throw usage(`--stop-signal: ${JSON.stringify(text)} is no signal that a program can handle, such as SIGINT`);
}

function onExitNamed(text: string): OnExit {
  if (text === "exit" || text === "resign" || text === "restart") return text;
  throw usage(`--on-exit: ${JSON.stringify(text)} is none of exit, resign, restart`);
}

function healthPlan(flags: RunFlags): HealthPlan | undefined {
  const question = healthQuestion(flags);
  const times = {
    intervalMs: milliseconds("--health-interval", flags.healthInterval),
    timeoutMs: milliseconds("--health-timeout", flags.healthTimeout),
    rise: wholeNumber("--health-rise", flags.healthRise, 1),
    fall: wholeNumber("--health-fall", flags.healthFall, 1),
  };
  return question && { question, times };
}

function milliseconds(flag: string, text: string): number {
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds > 0 && seconds <= MAX_SECONDS) return Math.round(seconds * 1000);
  throw usage(`${flag}: ${JSON.stringify(text)} is not a number of seconds above 0`);
}

function wholeNumber(flag: string, text: string, least = 0): number {
  if (/^\d+$/.test(text) && Number(text) >= least && Number(text) <= MAX_COUNT) return Number(text);
  throw usage(`${flag}: ${JSON.stringify(text)} is not a whole number from ${least} to ${MAX_COUNT}`);
}

function usage(message: string): CommandError {
  return new CommandError(ExitCode.usage, message);
}

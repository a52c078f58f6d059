import type { ChildProcess, ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import { killed, launch, runs } from "../../support/children.ts";
import { settled } from "../../support/until.ts";
import { now } from "./clock.ts";
import type { History } from "./history.ts";
import type { CandidateKey } from "./witness.ts";

/** What a node says of its use of the machine. */
export interface Usage {
  readonly at: number;
  readonly rss: number;
  readonly cpuMs: number;
  readonly handles: number;
}

/** What is left in use once all garbage is gone. */
export interface Rest {
  readonly at: number;
  readonly rss: number;
  readonly heap: number;
  readonly handles: number;
  /** On anything in the process. */
  readonly listeners: number;
}

/** A line that a node writes. */
export type Line =
  | { readonly t: "elected"; readonly token: string; readonly key: string; readonly at: number }
  | { readonly t: "held"; readonly token: string; readonly from: number; readonly to: number; readonly pid: number }
  | { readonly t: "over"; readonly token: string; readonly at: number; readonly code: string; readonly why: string }
  | { readonly t: "gap"; readonly from: number; readonly to: number }
  | { readonly t: "fence"; readonly token: string }
  | { readonly t: "wrote"; readonly token: string; readonly at: number; readonly accepted: boolean }
  | { readonly t: "unwritten"; readonly token: string; readonly at: number; readonly code: string }
  | { readonly t: "failed"; readonly at: number; readonly code: string; readonly message: string }
  | { readonly t: "done"; readonly at: number }
  | { readonly t: "event"; readonly at: number; readonly name: string; readonly text: string }
  | ({ readonly t: "rest" } & Rest)
  | ({ readonly t: "usage" } & Usage);

/** How to start a node: the program with its arguments. */
export type Command = readonly [program: string, ...args: string[]];

const stopTimeoutMs = 20_000;

/** A node under test: a process, started again under the same name after each end. */
export class Candidate {
  readonly index: number;
  readonly name: string;
  /** What it used, by process: a list for each start. */
  readonly usages: Usage[][] = [];
  /** What it had in use at rest, by the name of the process. */
  readonly rests: Map<string, Rest[]> = new Map();
  readonly #command: Command;
  readonly #history: History;
  #child: ChildProcessWithoutNullStreams | undefined;
  #holders = new Set<number>();
  #frozenAt: number | undefined;
  #runs = 0;
  #startedAt = 0;
  /** Processes that were asked or made to end. */
  readonly #ending = new WeakSet<ChildProcess>();

  constructor(index: number, command: Command, history: History) {
    this.index = index;
    this.name = `n${index}`;
    this.#command = command;
    this.#history = history;
  }

  /** The name of the process that runs now, such as `n1.2`: each start makes another one. */
  get process(): string {
    return `${this.name}.${this.#runs}`;
  }

  /** Whether a key is its own, put by the process that runs now; a peer that gives its key no value is not checked. */
  stands({ value, seenAt }: CandidateKey): boolean {
    return value === "" || (value === this.name && seenAt > this.#startedAt);
  }

  get running(): boolean {
    return this.#child !== undefined && runs(this.#child);
  }

  start(): void {
    this.#runs++;
    this.#startedAt = now();
    this.#holders = new Set();
    const usage: Usage[] = [];
    this.usages.push(usage);
    const name = this.process;
    const rests: Rest[] = [];
    this.rests.set(name, rests);
    const [program, ...args] = this.#command;
    const child = launch(program, args, { env: process.env });
    this.#child = child;
    child.stdin.on("error", () => undefined);
    createInterface({ input: child.stdout }).on("line", (text) => {
      const line = JSON.parse(text) as Line;
      if (line.t === "usage") usage.push(line);
      if (line.t === "rest") rests.push(line);
      if (line.t === "held") this.#holders.add(line.pid);
      this.#history.told(name, line);
    });
    createInterface({ input: child.stderr }).on("line", (text) => this.#history.complained(name, text));
    child.once("exit", () => this.#history.died(name, now()));
    // Only now all that it told has been heard, why it ended too.
    child.once("close", (code, signal) => {
      if (!this.#ending.has(child)) this.#history.endedByItself(name, signal ?? `code ${code}`);
    });
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#thawed();
    if (child !== undefined) {
      this.#ending.add(child);
      await killed(child);
    }
    // A supervisor that is killed leaves its program behind.
    for (const pid of this.#holders) if (pid !== child?.pid) killQuietly(pid);
  }

  /** Asks it to end, and waits until it has. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !runs(child)) return;
    this.#ending.add(child);
    const gone = this.ended();
    child.stdin.write(`${JSON.stringify({ do: "stop" })}\n`);
    await settled(gone, { what: `end of ${this.process}`, timeoutMs: stopTimeoutMs });
  }

  /** Fulfilled when it has ended, and all that it told has been heard. */
  async ended(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !runs(child)) return;
    await new Promise<void>((resolve) => child.once("close", () => resolve()));
  }

  freeze(): void {
    this.#frozenAt = now();
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
    this.#thawed();
  }

  /** Keeps its event loop from running. */
  block(durationMs: number): void {
    this.#child?.stdin.write(`${JSON.stringify({ do: "block", ms: durationMs })}\n`);
  }

  #thawed(): void {
    if (this.#frozenAt === undefined) return;
    this.#history.stoodStill(this.process, this.#frozenAt, now());
    this.#frozenAt = undefined;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended
  }
}

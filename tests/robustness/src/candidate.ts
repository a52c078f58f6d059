import type { ChildProcessWithoutNullStreams } from "node:child_process";
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
  readonly #command: Command;
  readonly #history: History;
  #child: ChildProcessWithoutNullStreams | undefined;
  #holders = new Set<number>();
  #frozenAt: number | undefined;
  #runs = 0;
  #startedAt = 0;
  #ending = false;

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
    this.#ending = false;
    this.#holders = new Set();
    const usage: Usage[] = [];
    this.usages.push(usage);
    const name = this.process;
    const [program, ...args] = this.#command;
    const child = launch(program, args, { env: process.env });
    this.#child = child;
    child.stdin.on("error", () => undefined);
    createInterface({ input: child.stdout }).on("line", (text) => {
      const line = JSON.parse(text) as Line;
      if (line.t === "usage") usage.push(line);
      if (line.t === "held") this.#holders.add(line.pid);
      this.#history.told(name, line);
    });
    createInterface({ input: child.stderr }).on("line", (text) => this.#history.complained(name, text));
    child.once("exit", (code, signal) => {
      this.#history.died(name, now());
      if (!this.#ending) this.#history.endedByItself(name, signal ?? `code ${code}`);
    });
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    this.#ending = true;
    this.#thawed();
    if (this.#child !== undefined) await killed(this.#child);
    // A supervisor that is killed leaves its program behind.
    for (const pid of this.#holders) if (pid !== this.#child?.pid) killQuietly(pid);
  }

  /** Asks it to end, and waits until it has. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !runs(child)) return;
    this.#ending = true;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.stdin.write(`${JSON.stringify({ do: "stop" })}\n`);
    await settled(gone, { what: `end of ${this.process}`, timeoutMs: stopTimeoutMs });
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

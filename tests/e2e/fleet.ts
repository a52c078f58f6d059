import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeProcess } from "../support/process.ts";
import { until } from "../support/until.ts";
import { lives, supervise } from "./supervised.ts";
import { keys, type Store } from "./tenure.ts";

/** A start of the program that a fleet supervises. */
export interface Start {
  readonly pid: number;
  readonly supervisor: number;
}

/** What can happen to the node that leads. */
export const FAULTS = ["program killed", "supervisor killed", "supervisor stopped", "supervisor frozen"] as const;
/** One of them. */
export type Fault = (typeof FAULTS)[number];

/** How often /proc is looked at for two programs that live at once. */
const CENSUS_MS = 10;
/** Programs that started before so many others were seen dead long ago. */
const CENSUS_STARTS = 8;
const SIZE = 3;
const LIMIT_MS = 20_000;

/** Three supervisors of one program, which must never run twice at once. */
export class Fleet implements AsyncDisposable {
  /** The programs that were seen alive at the same time; none, if all is well. */
  readonly overlaps: number[][] = [];
  readonly #store: Store;
  readonly #name: string;
  readonly #flags: readonly string[];
  readonly #folder = mkdtempSync(join(tmpdir(), "tenure-run-"));
  readonly #file = join(this.#folder, "starts");
  readonly #supervisors = new Map<number, NodeProcess>();
  readonly #census: NodeJS.Timeout;

  constructor(store: Store, name: string, flags: readonly string[]) {
    this.#store = store;
    this.#name = name;
    this.#flags = flags;
    appendFileSync(this.#file, "");
    for (let count = 0; count < SIZE; count++) this.#add();
    this.#census = setInterval(() => {
      const living = this.starts.slice(-CENSUS_STARTS).filter(({ pid }) => lives(pid));
      if (living.length > 1) this.overlaps.push(living.map(({ pid }) => pid));
    }, CENSUS_MS);
  }

  /** All starts of the program, the newest last; a line that is just being written is left out. */
  get starts(): Start[] {
    const lines = readFileSync(this.#file, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => ({ pid: Number(line.split(" ")[1]), supervisor: Number(line.split(" ")[2]) }));
  }

  #add(): void {
    // The program has a child in its group, and one that left it and has no parent.
    const script = `echo start $$ $PPID >> ${this.#file}; sleep 1000 & setsid -f sleep 1000; exec sleep 1000`;
    const supervisor = supervise(this.#store, this.#name, { flags: this.#flags, program: ["sh", "-c", script] });
    this.#supervisors.set(supervisor.pid, supervisor);
  }

  /** Waits until the program runs and the others stand by. */
  async settled(): Promise<Start> {
    const all = async (): Promise<boolean> =>
      (await keys(this.#store, `${this.#name}/`)).length === this.#supervisors.size;
    await until(all, { what: "candidates", timeoutMs: LIMIT_MS });
    const running = (): Start | false => {
      const last = this.starts.at(-1);
      return last !== undefined && lives(last.pid) && last;
    };
    return until(running, { what: "program", timeoutMs: LIMIT_MS });
  }

  /** Does it to the node that leads. Resolves when the program has started anew. */
  async inflict(fault: Fault, { pid, supervisor }: Start): Promise<Start> {
    const before = this.starts.length;
    if (fault === "program killed") process.kill(pid, "SIGKILL");
    if (fault === "supervisor killed") process.kill(supervisor, "SIGKILL");
    if (fault === "supervisor stopped") process.kill(supervisor, "SIGTERM");
    if (fault === "supervisor frozen") process.kill(supervisor, "SIGSTOP");
    return until(() => this.starts[before], { what: `start after: ${fault}`, timeoutMs: LIMIT_MS, intervalMs: 1 });
  }

  /** Has the supervisor take part again, or another in its place. */
  mend(fault: Fault, { supervisor }: Start): void {
    if (fault === "supervisor frozen") process.kill(supervisor, "SIGCONT");
    if (fault === "supervisor killed" || fault === "supervisor stopped") {
      this.#supervisors.delete(supervisor);
      this.#add();
    }
  }

  /** Stops all supervisors. Returns what is left of them: programs and keys. */
  async stop(): Promise<{ readonly programs: number[]; readonly keys: string[] }> {
    for (const supervisor of this.#supervisors.values()) supervisor.signal("SIGTERM");
    for (const supervisor of this.#supervisors.values()) await supervisor.exit();
    const programs = this.starts.map(({ pid }) => pid).filter(lives);
    return { programs, keys: await keys(this.#store, `${this.#name}/`) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#census);
    for (const each of this.#supervisors.values()) await each[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}

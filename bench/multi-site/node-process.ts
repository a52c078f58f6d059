import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { killed, launch, runs } from "../../tests/support/children.ts";
import { until } from "../../tests/support/until.ts";
import type { Line, NodeConfig, Order } from "./protocol.ts";

const program = fileURLToPath(new URL("./node.js", import.meta.url));
const startTimeoutMs = 30_000;
const logLength = 2_000;

let started = 0;

/** The lines of a kind. */
export type LineOf<T extends Line["t"]> = Extract<Line, { readonly t: T }>;

/** The process of a node, and all that it told. */
export class NodeProcess {
  readonly name: string;
  /** Another one for each process. */
  readonly id: number = ++started;
  readonly lines: Line[] = [];
  readonly #child: ChildProcessWithoutNullStreams;
  #orders = 0;
  #log = "";

  private constructor(name: string, config: NodeConfig) {
    this.name = name;
    this.#child = launch(process.execPath, [program, JSON.stringify(config)], { env: process.env });
    this.#child.stdin.on("error", () => undefined); // it has ended: whoever waits for it says so
    this.#child.once("error", (error) => (this.#log += error.message));
    this.#child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.#log = (this.#log + chunk).slice(-logLength);
    });
    createInterface({ input: this.#child.stdout }).on("line", (text) => this.lines.push(JSON.parse(text) as Line));
  }

  /** Starts one. It is `ready()` when it knows the way to each member. */
  static start(name: string, config: NodeConfig): NodeProcess {
    return new NodeProcess(name, config);
  }

  async ready(): Promise<void> {
    await this.told("ready", () => true, startTimeoutMs);
  }

  /** Has an order carried out. Returns what it measured, in milliseconds. */
  async order(order: Order, timeoutMs: number): Promise<readonly number[]> {
    const id = ++this.#orders;
    this.#child.stdin.write(`${JSON.stringify({ id, ...order })}\n`);
    const end = await this.#when(
      () => this.lines.find((line) => (line.t === "done" || line.t === "failed") && line.id === id),
      `answer to ${order.do}`,
      timeoutMs,
    );
    if (end.t === "failed") throw new Error(`${this.name}: ${order.do}: ${end.reason}`);
    return end.t === "done" ? end.values : [];
  }

  /** Waits for a line. */
  told<T extends Line["t"]>(t: T, isIt: (line: LineOf<T>) => boolean, timeoutMs: number): Promise<LineOf<T>> {
    return this.#when(() => this.all(t).find(isIt), `line "${t}"`, timeoutMs);
  }

  /** All lines of a kind so far. */
  all<T extends Line["t"]>(t: T): LineOf<T>[] {
    return this.lines.filter((line): line is LineOf<T> => line.t === t);
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    await killed(this.#child);
  }

  async #when<T>(find: () => T | undefined, what: string, timeoutMs: number): Promise<T> {
    let ended = false;
    const found = await until(
      () => {
        const value = find();
        ended = value === undefined && !runs(this.#child);
        return ended ? { value: undefined } : value !== undefined && { value };
      },
      { what: `${what} of ${this.name}`, timeoutMs },
    );
    if (found.value === undefined) throw new Error(`${this.name} has ended: ${this.#log}`);
    return found.value;
  }
}

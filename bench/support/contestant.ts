import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { killed, launch } from "../../tests/support/children.ts";
import { settled } from "../../tests/support/until.ts";
import type { Line, Order, PeerConfig } from "../peers/protocol.ts";
import type { StackConfig, StackOrder } from "../transport/protocol.ts";

const peerProgram = fileURLToPath(new URL("../peers/main.js", import.meta.url));
const stackProgram = fileURLToPath(new URL("../transport/main.js", import.meta.url));
const orderTimeoutMs = 120_000;
/** The kernel counts time in hundredths of a second. */
const ticksPerSecond = 100;
const bytesPerPage = 4096;

type LineOf<T extends Line["t"]> = Extract<Line, { readonly t: T }>;

interface Wait {
  readonly look: (line: Line) => boolean;
  readonly fail: (error: Error) => void;
}

/** A process that elects with one of the peers' libraries, or calls etcd by one of the gRPC stacks. */
export class Contestant {
  readonly #name: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Line[] = [];
  readonly #waiting = new Set<Wait>();
  #orders = 0;
  #log = "";
  #ended = false;

  /** @param goPeer the Go program */
  constructor(name: string, config: PeerConfig | StackConfig, goPeer: string) {
    this.#name = name;
    const [command, ...args] = commandOf(config, goPeer);
    this.#child = launch(command, [...args, JSON.stringify(config)], { env: process.env });
    this.#child.stdin.on("error", () => undefined); // it has ended: whoever waits for it hears so
    this.#child.once("error", (error) => (this.#log += error.message));
    this.#child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.#log = (this.#log + chunk).slice(-2_000);
    });
    const lines = createInterface({ input: this.#child.stdout });
    lines.on("line", (text) => this.#heard(JSON.parse(text) as Line));
    this.#child.once("close", () => {
      this.#ended = true;
      for (const { fail } of this.#waiting) fail(this.#endError());
    });
  }

  /** The process id: setpriv, which starts it, becomes it. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Resident memory in MB. */
  get residentMb(): number {
    const pages = Number(readFileSync(`/proc/${this.pid}/statm`, "utf8").split(" ")[1]);
    return (pages * bytesPerPage) / 1e6;
  }

  /** Milliseconds of CPU it took so far, system calls included. */
  get cpuMs(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
  }

  /** Has an order carried out, and returns its values. */
  async order(order: Order | StackOrder, timeoutMs: number = orderTimeoutMs): Promise<readonly number[]> {
    const id = ++this.#orders;
    const isIt = (line: Line): line is LineOf<"done" | "failed"> =>
      (line.t === "done" || line.t === "failed") && line.id === id;
    const answer = this.#next(isIt, `answer to ${order.do}`, timeoutMs);
    this.#child.stdin.write(`${JSON.stringify({ id, ...order })}\n`);
    const end = await answer;
    if (end.t === "failed") throw new Error(`${this.#name}: ${order.do}: ${end.reason}`);
    return end.values ?? [];
  }

  /** The first line of a kind that is the one wanted, also when it has been told already. */
  told<T extends "elected" | "leader" | "heard" | "drained">(
    t: T,
    wanted: (line: LineOf<T>) => boolean,
    timeoutMs: number = orderTimeoutMs,
  ): Promise<LineOf<T>> {
    return this.#next((line): line is LineOf<T> => line.t === t && wanted(line as LineOf<T>), `line "${t}"`, timeoutMs);
  }

  /** Ends it as a crash does. */
  kill(): Promise<void> {
    return killed(this.#child);
  }

  #next<T extends Line>(isIt: (line: Line) => line is T, what: string, timeoutMs: number): Promise<T> {
    const known = this.#lines.find(isIt);
    if (known !== undefined) return Promise.resolve(known);
    if (this.#ended) return Promise.reject(this.#endError());
    let wait: Wait | undefined;
    const found = new Promise<T>((resolve, reject) => {
      wait = {
        look: (line) => {
          if (!isIt(line)) return false;
          resolve(line);
          return true;
        },
        fail: reject,
      };
      this.#waiting.add(wait);
    });
    return settled(found, { what: `${what} of ${this.#name}`, timeoutMs }).finally(() => {
      if (wait !== undefined) this.#waiting.delete(wait);
    });
  }

  #heard(line: Line): void {
    this.#lines.push(line);
    for (const wait of this.#waiting) if (wait.look(line)) this.#waiting.delete(wait);
  }

  #endError(): Error {
    return new Error(`${this.#name} has ended: ${this.#log.trim()}`);
  }
}

function commandOf(config: PeerConfig | StackConfig, goPeer: string): readonly [string, ...string[]] {
  if ("stack" in config) return [process.execPath, stackProgram];
  return config.peer === "go" ? [goPeer] : [process.execPath, peerProgram];
}

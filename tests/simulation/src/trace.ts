import { createHash, type Hash } from "node:crypto";

/** What is kept of the history: nothing, its hash, or its lines as well. */
export type TraceMode = "off" | "hash" | "lines";

/** The history, one line for each event: the time, who, what. */
export class Trace {
  readonly mode: TraceMode;
  readonly lines: string[] = [];
  readonly #now: () => number;
  readonly #hash: Hash = createHash("sha256");

  constructor(mode: TraceMode, now: () => number) {
    this.mode = mode;
    this.#now = now;
  }

  /** @param what built only when somebody wants to know */
  add(who: string, what: () => string): void {
    if (this.mode === "off") return;
    const line = `${(this.#now() / 1000).toFixed(6).padStart(11)} ${who.padEnd(10)} ${what()}`;
    this.#hash.update(line);
    if (this.mode === "lines") this.lines.push(line);
  }

  /** The hash of all lines. To be asked for once, at the end. */
  digest(): string {
    return this.#hash.digest("hex");
  }
}

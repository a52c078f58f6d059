import { closeSync, constants, fstatSync, openSync, write, writeSync } from "node:fs";
import { systemClock } from "@tenure/etcd/runtime";
import { printable } from "../output.ts";

const STDERR = 2;
/** Lines that wait for a reader; what comes while there are more is dropped. */
const MAX_WAITING = 100;
const CLOSE_LIMIT_MS = 1000;
const CLOSE_CHECK_MS = 5;

/** Takes what is to be said. */
export interface Notes {
  note(text: string): void;
}

/**
 * What a supervisor says on stderr, without ever waiting for whoever reads it: a full pipe must not
 * cost the leadership.
 *
 * Not `process.stderr`: its mode is shared with the program, which must neither be made non-blocking by us nor make us
 * block. So a pipe or terminal is opened anew where the system can do that. For the rest, sockets above all, a thread
 * writes.
 */
export class Log implements Notes {
  readonly #descriptor: number | undefined = descriptor();
  readonly #waiting: string[] = [];
  #dropped = 0;
  #writing = false;

  note(text: string): void {
    const line = `tenure: ${printable(text)}\n`;
    if (this.#descriptor !== undefined) {
      this.#writeNow(this.#descriptor, line);
    } else if (this.#waiting.length < MAX_WAITING) {
      this.#waiting.push(line);
      this.#writeNext();
    }
  }

  /**
   * Waits a moment for what is not written yet. A thread that waits for a reader keeps a process from ending, whatever
   * it calls: then this kills the process, as all the rest is done.
   */
  async close(): Promise<void> {
    if (this.#descriptor !== undefined) {
      if (this.#descriptor !== STDERR) closeSync(this.#descriptor);
      return;
    }
    const giveUpAt = systemClock.now() + CLOSE_LIMIT_MS;
    while (this.#writing && systemClock.now() < giveUpAt) {
      await new Promise<void>((resolve) => void systemClock.after(CLOSE_CHECK_MS, resolve));
    }
    if (this.#writing) process.kill(process.pid, "SIGKILL");
  }

  #writeNow(descriptor: number, line: string): void {
    const missing = this.#dropped === 0 ? "" : `tenure: ${this.#dropped} lines were not read in time\n`;
    try {
      writeSync(descriptor, missing + line);
      this.#dropped = 0;
    } catch {
      this.#dropped++;
    }
  }

  #writeNext(): void {
    const line = this.#waiting[0];
    if (this.#writing || line === undefined) return;
    this.#writing = true;
    write(STDERR, line, () => {
      this.#writing = false;
      this.#waiting.shift();
      this.#writeNext();
    });
  }
}

/** Where a line can be written without waiting; undefined where that cannot be had. */
function descriptor(): number | undefined {
  try {
    const kind = fstatSync(STDERR);
    // Nobody has to read a file. It keeps its place in it together with the program.
    if (kind.isFile()) return STDERR;
    if (process.platform !== "linux" || kind.isSocket()) return undefined;
    return openSync("/proc/self/fd/2", constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // It is closed, or another user's terminal.
    return undefined;
  }
}

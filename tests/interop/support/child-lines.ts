import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { constants } from "node:os";
import { killed } from "../../support/children.ts";
import { settled } from "../../support/until.ts";

/** A child whose lines of stdout are collected. */
export interface ChildLines {
  readonly lines: readonly string[];
  /** Waits until it has printed at least so many lines. */
  count(wanted: number): Promise<void>;
  /** Sends SIGINT and waits for the exit code, 128 + n for a signal's end. */
  interrupt(): Promise<number>;
  /** Waits for the exit code. */
  exit(timeoutMs?: number): Promise<number>;
  readonly kill: () => Promise<void>;
}

/** Collects what a child prints; `onLine` is told of each line at once. */
export function childLines(child: ChildProcessWithoutNullStreams, onLine?: (line: string) => void): ChildLines {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let rest = "";
  let errors = "";
  let ended: number | undefined;
  const wake = (): void => {
    for (const look of waiting) look();
  };
  child.stdin.on("error", () => undefined); // it may end without reading its input
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) {
      lines.push(line);
      onLine?.(line);
    }
    wake();
  });
  const closed = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      ended = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      resolve(ended);
      wake();
    });
  });
  closed.catch(() => undefined); // reported by exit()
  const exit = (timeoutMs = 10_000): Promise<number> => settled(closed, { timeoutMs, what: "exit of a child" });

  return {
    lines,
    count: (wanted) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (lines.length >= wanted) resolve();
          else if (ended !== undefined) reject(new Error(`it ended with ${ended}: ${errors}`));
          else return;
          waiting.delete(look);
        };
        waiting.add(look);
        look();
      }),
    interrupt: () => {
      child.kill("SIGINT");
      return exit();
    },
    exit,
    kill: () => killed(child),
  };
}

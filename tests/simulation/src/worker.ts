import { SeedRun, type SeedResult } from "./run-seed.ts";
import type { TraceMode } from "./trace.ts";

/** What the parent asks of a worker. */
export interface Order {
  readonly seed: number;
  readonly mode: TraceMode;
}

// Errors are many here, and most of their cost is the stack.
Error.stackTraceLimit = 5;

let current: SeedRun | undefined;
// What nobody catches is a violation of the seed that runs.
const unhandled = (error: unknown): void => {
  current?.fail(`unhandled: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
};
process.on("unhandledRejection", unhandled);
process.on("uncaughtException", unhandled);

process.on("message", (order: Order) => void carryOut(order));

async function carryOut({ seed, mode }: Order): Promise<void> {
  const run = new SeedRun(seed, mode);
  current = run;
  const result: SeedResult = await run.run();
  current = undefined;
  process.send?.(result);
}

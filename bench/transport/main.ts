// A process that calls etcd by one of the gRPC stacks, and is told what to do on its stdin: see protocol.ts.
import { createInterface } from "node:readline";
import { pause } from "../../tests/support/until.ts";
import { type Line, now } from "../peers/protocol.ts";
import type { StackConfig, StackOrder } from "./protocol.ts";
import { connectStack } from "./stacks.ts";

/** As long as a small lease or value of an election. */
const value = "x".repeat(32);
/** Some stacks fail at once while there is no connection: without a pause this would measure how often. */
const gapMs = 5;

interface Outcome {
  readonly startedAt: number;
  readonly endedAt: number;
  readonly failed: boolean;
}

const { stack, endpoint } = JSON.parse(process.argv[2] ?? "{}") as StackConfig;
const put = connectStack(stack, endpoint);
const waiting = new Set<(outcome: Outcome) => void>();

const lines = createInterface({ input: process.stdin });
lines.on("line", (text) => {
  const { id, ...order } = JSON.parse(text) as StackOrder & { readonly id: number };
  carryOut(order).then(
    (values) => tell({ t: "done", id, values }),
    (error: unknown) => tell({ t: "failed", id, reason: String(error) }),
  );
});
lines.on("close", () => process.exit());

async function carryOut(order: StackOrder): Promise<number[]> {
  switch (order.do) {
    case "calls":
      return calls(order.calls, order.inFlight);
    case "keep-calling":
      void keepCalling(order.timeoutMs);
      return [];
    case "answered-after":
      return [(await next(({ endedAt, failed }) => !failed && endedAt > order.at)).endedAt];
    case "failed-after": {
      const { startedAt, endedAt } = await next((outcome) => outcome.failed && outcome.startedAt > order.at);
      return [endedAt - startedAt];
    }
  }
}

async function calls(count: number, inFlight: number): Promise<number[]> {
  const took: number[] = [];
  let begun = 0;
  const caller = async (): Promise<void> => {
    while (begun < count) {
      const key = `key-${begun++ % inFlight}`;
      const startedAt = now();
      await put(key, value);
      took.push(now() - startedAt);
    }
  };
  const cpuBefore = process.cpuUsage();
  const startedAt = now();
  await Promise.all(Array.from({ length: inFlight }, caller));
  const inAllMs = now() - startedAt;
  const { user, system } = process.cpuUsage(cpuBefore);
  return [inAllMs, (user + system) / 1_000, ...took];
}

async function keepCalling(timeoutMs: number): Promise<void> {
  for (;;) {
    const startedAt = now();
    const failed = await put("key", value, timeoutMs).then(
      () => false,
      () => true,
    );
    const outcome = { startedAt, endedAt: now(), failed };
    for (const look of waiting) look(outcome);
    await pause(gapMs);
  }
}

/** The next call that ends as it should. */
function next(isIt: (outcome: Outcome) => boolean): Promise<Outcome> {
  return new Promise((resolve) => {
    const look = (outcome: Outcome): void => {
      if (!isIt(outcome)) return;
      waiting.delete(look);
      resolve(outcome);
    };
    waiting.add(look);
  });
}

function tell(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

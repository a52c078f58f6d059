/**
 * One node of the demo: a process that works while it is elected (the first reference program of the examples), and
 * tells its parent about it.
 *
 * @module
 */
import { once } from "node:events";
import { systemClock } from "@tenure/etcd/runtime";
import { type Client, connect, TenureError, type Term } from "tenure";
import { type DemoMessage, type NodeMessage, nowNs, type StartMessage } from "./protocol.ts";

const stop = new AbortController();
/** Aborts when the demo wants the current term to end by resigning; a new one for each term. */
let resign = new AbortController();
process.on("SIGTERM", () => stop.abort());
// A Ctrl-C in the terminal reaches every process of it; the demo itself decides what its nodes do.
process.on("SIGINT", () => undefined);
// The demo is gone: nobody would end us.
process.on("disconnect", () => stop.abort());

const [start] = (await once(process, "message")) as [StartMessage];
process.on("message", (message: DemoMessage) => {
  if (message.t === "resign") resign.abort();
});
const client = connect(start.connect);
try {
  while (!stop.signal.aborted) await standOnce(client);
} catch (error) {
  if (!stop.signal.aborted) {
    tell({ t: "failed", reason: TenureError.from(error).message });
    process.exitCode = 1;
  }
} finally {
  await client.close();
  if (process.connected) process.disconnect();
}

/** Stands until elected, works a term, resigns. */
async function standOnce(client: Client): Promise<void> {
  const election = client.election(start.election, { ttlMs: start.ttlMs });
  await using term = await election.campaign(start.value, { signal: stop.signal });
  resign = new AbortController();
  tell({ t: "elected", token: term.token.toString(), atNs: nowNs().toString() });
  try {
    await work(term, AbortSignal.any([term.signal, stop.signal, resign.signal]));
  } catch (error) {
    if (resign.signal.aborted) tell({ t: "resigning", atNs: nowNs().toString() });
    else if (!stop.signal.aborted) tell({ t: "lost", reason: TenureError.from(error).message });
  }
}

/** A proclaim proves that the term still holds, then comes a unit of work; until the signal aborts. */
async function work(term: Term, signal: AbortSignal): Promise<void> {
  for (let unit = 1; ; unit++) {
    await term.proclaim(start.value);
    tell({ t: "worked", unit });
    await oneUnit(signal);
  }
}

/** Stands for real work: takes its time, and throws when it is told to stop. */
function oneUnit(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      cancel();
      signal.removeEventListener("abort", finish);
      if (signal.aborted) reject(TenureError.from(signal.reason));
      else resolve();
    };
    const cancel = systemClock.after(start.unitMs, finish);
    signal.addEventListener("abort", finish);
    if (signal.aborted) finish();
  });
}

function tell(message: NodeMessage): void {
  if (process.connected) process.send?.(message);
}

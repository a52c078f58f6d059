// What every node under test tells the harness, as JSON lines on stdout.
import { countListeners } from "./listeners.js";

/** Milliseconds by the monotonic clock, which all processes of a machine share. */
export function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Writes one line. On a pipe this is synchronous: what was told is told, even if the process is killed next. */
export function tell(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

const sampleMs = 20;
const gapMs = 200;
const usageMs = 1000;
const restMs = 5000;

/** Calls `held` every 20 ms, which gives the token of the term that is held at that instant, and tells what it gave. */
export function sample(held) {
  let last = now();
  setInterval(() => {
    // Before anything else: after a freeze this may be the first line that runs.
    const from = now();
    const token = held();
    const to = now();
    if (token !== undefined) tell({ t: "held", token: String(token), from, to, pid: process.pid });
    if (from - last > gapMs) tell({ t: "gap", from: last, to: from });
    last = from;
  }, sampleMs);
  setInterval(() => {
    const { user, system } = process.cpuUsage();
    const handles = process.getActiveResourcesInfo().length;
    tell({ t: "usage", at: now(), rss: process.memoryUsage.rss(), cpuMs: (user + system) / 1000, handles });
  }, usageMs);
  // What is left once all garbage is gone. Without --expose-gc there would be nothing to compare.
  if (globalThis.gc !== undefined) setInterval(tellRest, restMs);
}

function tellRest() {
  globalThis.gc();
  const { rss, heapUsed } = process.memoryUsage();
  const handles = process.getActiveResourcesInfo().length;
  tell({ t: "rest", at: now(), rss, heap: heapUsed, handles, listeners: countListeners() });
}

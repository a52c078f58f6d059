// Leads an election until its life is interrupted, and tells what the first line that runs afterwards sees.
// usage: node frozen-leader.js ENDPOINT ELECTION TTL_MS stopped|stops|blocks
// Each line on stdin takes it a step further: it stands for election, then it is interrupted.
import { createInterface } from "node:readline";
import { connect, put } from "tenure";

const [endpoint, name, ttl, how] = process.argv.slice(2);
const ttlMs = Number(ttl);
const orders = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const client = connect({ endpoints: [endpoint] });
tell({ t: "ready" });

await orders.next();
const term = await client.election(name, { ttlMs }).campaign("frozen");
tell({ t: "leads", token: String(term.token) });

// No line of this program takes longer than the lease, unless it was interrupted.
let last = performance.now();
const timer = how === "stopped" ? setInterval(look, 1) : undefined;
if (how !== "stopped") {
  await orders.next();
  last = performance.now();
  if (how === "stops") process.kill(process.pid, "SIGSTOP");
  // As good as a computation that takes so long, but leaves the processor to the others.
  else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * ttlMs);
  while (!look());
}

// Whether there was an interruption since the last look. One that comes between the two first lines shows in the next
// look only, so that the time never speaks of an interruption that `held` could not know of.
function look() {
  const now = performance.now();
  const held = term.held;
  const gapMs = now - last;
  last = now;
  if (gapMs < ttlMs) return false;
  clearInterval(timer);
  tell({ t: "back", held, gapMs });
  void write();
  return true;
}

// A program that does not look at `held` at all.
async function write() {
  const { succeeded } = await client
    .txn()
    .if(...term.guard())
    .success(put(`written/${name}`, "stale"))
    .commit({ timeoutMs: 20_000 });
  tell({ t: "wrote", succeeded, fired: term.signal.aborted, code: term.signal.reason?.code });
}

function tell(what) {
  console.log(JSON.stringify(what));
}

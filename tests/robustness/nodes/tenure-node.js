// A node under test: takes part in an election with `run`, and writes with its token while it leads.
// usage: node tenure-node.js CONFIG, as JSON. A line on stdin is an order: {"do":"block","ms":6000} or {"do":"stop"}.
import "./listeners.js";
import { subscribe } from "node:diagnostics_channel";
import { createInterface } from "node:readline";
import { connect, put } from "tenure";
import { now, sample, tell } from "./report.js";

const config = JSON.parse(process.argv[2]);
const writeMs = 100;
const writeTimeoutMs = 2000;

// The last of these, for whoever has to find out why a leadership was lost.
const channels = ["rpc:retried", "connection:opened", "connection:closed", "connection:failed"];
const more = ["granted", "doubted", "cleared", "ended"].map((name) => `session:${name}`);
const alive = ["sent", "answered", "silent"].map((name) => `keep-alive:${name}`);
const watches = ["opened", "created", "moved", "broken"].map((name) => `watch:${name}`);
for (const name of [...channels, ...more, ...alive, ...watches]) {
  subscribe(`tenure:${name}`, (event) => tell({ t: "event", at: now(), name, text: textOf(event) }));
}

const client = connect({ endpoints: config.endpoints, auth: config.auth, tls: config.tls });
const terms = [];

// A term that is over must stay so: the last few are asked as well.
sample(() => terms.find(({ held }) => held)?.token);

const node = client.election(config.election, { ttlMs: config.ttlMs }).run({ value: config.name, lead });
node.then(
  () => tell({ t: "done", at: now() }),
  (error) => {
    tell({ t: "failed", at: now(), code: String(error.code), message: String(error.message) });
    process.exitCode = 3;
  },
);
// Whatever ended it: nothing may keep the process alive but the sampling above.
void node.then(end, end);

createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  if (order.do === "stop") void node.stop({ timeoutMs: 20_000 }).catch(() => undefined);
  // As good as a computation that takes so long, but leaves the processor to the others.
  if (order.do === "block") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, order.ms);
});

async function lead(term) {
  const token = String(term.token);
  terms.unshift(term);
  terms.splice(3);
  tell({ t: "elected", token, key: term.key, at: now() });
  const ended = new Promise((resolve) => {
    const onEnd = () => {
      tell({ t: "over", token, at: now(), code: String(term.signal.reason?.code), why: String(term.signal.reason) });
      resolve();
    };
    if (term.signal.aborted) onEnd();
    else term.signal.addEventListener("abort", onEnd, { once: true });
  });
  let number = 0;
  let writing = false;
  const write = async () => {
    if (writing) return;
    writing = true;
    await guardedWrite(term, ++number);
    writing = false;
  };
  const timer = setInterval(() => void write(), writeMs);
  await ended;
  clearInterval(timer);
  // A program that does not look at its signal: the guard is what stops it.
  void guardedWrite(term, ++number);
}

async function guardedWrite(term, number) {
  const token = String(term.token);
  tell({ t: "fence", token });
  try {
    const { outcome } = await client
      .txn()
      .if(...term.guard())
      .success(put(config.register, `${token} ${number}`))
      .commit({ timeoutMs: writeTimeoutMs });
    tell({ t: "wrote", token, at: now(), accepted: outcome === "succeeded" });
  } catch (error) {
    tell({ t: "unwritten", token, at: now(), code: String(error.code) });
  }
}

function textOf(event) {
  return JSON.stringify(event, (_, value) => (typeof value === "bigint" ? value.toString(16) : value));
}

async function end() {
  await client.close();
  process.exit();
}

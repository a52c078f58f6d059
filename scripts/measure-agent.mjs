// Measures what `tenure agent` costs while nothing happens, with many services that all lead:
// `npm run measure:agent -- [--services N] [--seconds N] [--json]`, with 200 and 30 by default. Progress goes to
// stderr. Exit code 1 when a figure is beyond its limit. It reads /proc, so it needs Linux; and it wants a machine that
// does nothing else.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { connect, createServer } from "node:net";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { freePort, startStore } from "./lib/own-store.mjs";
import { main, note, root } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

/** What the figures must not exceed with 200 services. */
const limits = { leases: 1, connections: 4, rssMib: 120, cpuPercent: 2, scrapeMs: 20 };
const scrapes = 20;
/** Until what the start left behind is gone. */
const restMs = 5000;
const limitMs = 60_000;
const ticksPerSecond = 100;

await main(async () => {
  const { values } = parseArgs({
    options: {
      services: { type: "string", default: "200" },
      seconds: { type: "string", default: "30" },
      json: { type: "boolean", default: false },
    },
  });
  const [services, seconds] = [wholeOf("services", values.services), wholeOf("seconds", values.seconds)];
  if (process.platform !== "linux") throw new Error("this reads /proc, which only Linux has");
  await setup();
  const machine = { cpus: cpus().length, load: loadavg()[0], node: process.version };
  const { etcd, figures } = await measure(services, seconds);
  const missed = Object.keys(limits).filter((name) => figures[name] > limits[name]);
  const report = { machine, etcd, services, seconds, figures, limits, missed };
  if (values.json) console.log(JSON.stringify(report));
  else {
    console.table(Object.fromEntries(Object.entries(figures).map(([name, is]) => [name, { is, limit: limits[name] }])));
    note(`Node ${machine.node}, etcd ${etcd}, ${machine.cpus} cores, load at the start ${machine.load.toFixed(1)}`);
  }
  for (const name of missed) note(`beyond its limit: ${name}, ${figures[name]} where ${limits[name]} is allowed`);
  if (missed.length > 0) process.exitCode = 1;
});

async function measure(services, seconds) {
  const store = await startStore();
  const link = await countingLink(store.port);
  const dir = mkdtempSync(join(tmpdir(), "tenure-measure-"));
  const http = `127.0.0.1:${await freePort()}`;
  const startedAt = performance.now();
  const agent = startAgent(join(dir, "agent.yaml"), configOf(services, link.port, http));
  try {
    const scraper = new Agent({ keepAlive: true });
    const scrape = () => fetched(`http://${http}/metrics`, scraper);
    await untilAllLead(scrape, services, agent);
    const startMs = performance.now() - startedAt;
    note(`all ${services} lead`);
    const guard = guardOf(agent.pid);
    await pause(restMs);
    note(`looking for ${seconds} s`);
    const idle = await idleCost(agent.pid, guard, link, seconds);
    const leases = await leaseCount(store.endpoint);
    const connections = connectionsOf(agent.pid, link.port);
    const asked = await scrapeCost(scrape);
    // Last, so that what the scrapes take is in it.
    const memory = { rssMib: memoryMib(agent.pid, "VmRSS"), guardRssMib: memoryMib(guard, "VmRSS") };
    const stopMs = await stopped(agent);
    const figures = { leases, connections, ...memory, ...idle, ...asked, startMs, stopMs };
    return { etcd: store.version, figures: rounded(figures) };
  } finally {
    agent.kill("SIGKILL");
    link.close();
    await store.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

function configOf(services, port, http) {
  const program = { command: ["sleep", "3600"], "stop-timeout": 1 };
  const named = Array.from({ length: services }, (_, index) => [`service-${index}`, program]);
  // JSON is YAML too.
  return JSON.stringify({ endpoints: [`http://127.0.0.1:${port}`], http, services: Object.fromEntries(named) });
}

function startAgent(file, config) {
  writeFileSync(file, config);
  const args = [`${root}packages/cli/bin/tenure.js`, "agent", "--config", file];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TENURE|ETCDCTL)_/.test(name)));
  return spawn(process.execPath, [...process.execArgv, ...args], { env, stdio: ["ignore", "ignore", "ignore"] });
}

async function untilAllLead(scrape, services, agent) {
  const limit = performance.now() + limitMs;
  for (;;) {
    const page = await scrape().catch(() => "");
    const leading = page.match(/^tenure_child_up\{.*\} 1$/gm)?.length ?? 0;
    if (leading === services) return;
    if (agent.exitCode !== null) throw new Error(`the agent ended with ${agent.exitCode}`);
    if (performance.now() > limit) throw new Error(`${leading} of ${services} lead after ${limitMs / 1000} s`);
    await pause(50);
  }
}

/** What the agent and its guard take while nothing happens, and what goes to etcd and back. */
async function idleCost(pid, guard, link, seconds) {
  const before = { at: performance.now(), agent: cpuSeconds(pid), guard: cpuSeconds(guard), bytes: link.bytes };
  await pause(seconds * 1000);
  const tookSeconds = (performance.now() - before.at) / 1000;
  const percent = (now, earlier) => (100 * (now - earlier)) / tookSeconds;
  return {
    cpuPercent: percent(cpuSeconds(pid), before.agent),
    guardCpuPercent: percent(cpuSeconds(guard), before.guard),
    bytesPerSecond: (link.bytes - before.bytes) / tookSeconds,
  };
}

async function scrapeCost(scrape) {
  const all = [];
  let kib = 0;
  for (let round = 0; round < scrapes; round++) {
    const at = performance.now();
    const page = await scrape();
    all.push(performance.now() - at);
    kib = page.length / 1024;
    await pause(200);
  }
  return { scrapeMs: all.toSorted((a, b) => a - b)[scrapes / 2], scrapeKib: kib };
}

async function stopped(agent) {
  const at = performance.now();
  agent.kill("SIGTERM");
  await once(agent, "exit");
  return performance.now() - at;
}

async function leaseCount(endpoint) {
  const { EtcdClient } = await import(`${root}packages/etcd/dist/index.js`);
  const client = new EtcdClient({ endpoints: [endpoint] });
  try {
    return (await client.lease.list()).leases.length;
  } finally {
    await client.close();
  }
}

/** A way to a port that counts what goes over it. */
async function countingLink(port) {
  let bytes = 0;
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(from);
      from.setNoDelay();
      from.on("data", (chunk) => void (bytes += chunk.length));
      from.on("error", () => to.destroy());
      from.on("close", () => sockets.delete(from));
      from.pipe(to);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: server.address().port,
    get bytes() {
      return bytes;
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The guard among an agent's children. */
function guardOf(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
  const guard = children.find((child) => readFileSync(`/proc/${child}/cmdline`, "utf8").includes("guard.js"));
  if (guard === undefined) throw new Error("the agent has no guard");
  return guard;
}

/** Connections of a process to a port of loopback. */
function connectionsOf(pid, port) {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const rows = readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1);
  const inodes = rows.map((row) => row.trim().split(/\s+/)).filter(([, , remote]) => remote.endsWith(`:${hex}`));
  const sockets = new Set(inodes.map((fields) => `socket:[${fields[9]}]`));
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => sockets.has(linkOf(`/proc/${pid}/fd/${fd}`))).length;
}

function linkOf(path) {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

/** User and system time of all threads. */
function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function memoryMib(pid, field) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s*(\\d+)`, "m").exec(status)?.[1]) / 1024;
}

function fetched(url, agent) {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString()));
      response.on("error", reject);
    });
    request.on("error", reject);
  });
}

function rounded(figures) {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Math.round(value * 100) / 100]));
}

function pause(durationMs) {
  return new Promise((resolve) => void setTimeout(resolve, durationMs));
}

function wholeOf(name, text) {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new Error(`--${name} ${text}: must be a whole number above 0`);
}

// Kills `tenure dev --data-dir` at random moments under load and compares what it knows after each restart with what it
// acknowledged before. A request without an answer may have been carried out or not; nothing else may differ.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "./process.mjs";

const WORKERS = 24;
const KEYS_EACH = 5;
const LIFE_MS = { min: 30, max: 400 };
const START_LIMIT_MS = 20_000;

/** Kills so many times and returns a report. */
export async function killSoak({ kills, seed, note = () => undefined }) {
  const { put, EtcdClient } = await import(`${root}packages/etcd/dist/index.js`);
  const { seededRandom } = await import(`${root}packages/etcd/dist/runtime/index.js`);
  const directory = await mkdtemp(join(tmpdir(), "tenure-soak-"));
  const world = {
    put,
    random: seededRandom(seed),
    keys: new Map(),
    leases: new Map(),
    revision: 0n,
    clusterId: undefined,
    acknowledged: 0,
    compared: 0,
    problems: [],
    names: 0,
  };
  const startMs = [];
  try {
    for (let kill = 0; kill <= kills; kill += 1) {
      const server = await start(directory);
      startMs.push(server.startMs);
      const client = new EtcdClient({ endpoints: [server.endpoint] });
      await compare(world, client, kill);
      if (kill < kills) await loadUntilKilled(world, client, server);
      await client.close();
      await end(server.child);
      if (kill % 20 === 0) note(`${kill} kills, ${world.acknowledged} acknowledged, ${world.problems.length} problems`);
    }
  } catch (error) {
    world.problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const sorted = startMs.toSorted((a, b) => a - b);
  const { acknowledged, compared, problems } = world;
  const times = { median: sorted[sorted.length >> 1] ?? 0, max: sorted.at(-1) ?? 0 };
  return { kills, acknowledged, compared, problems, startMs: times };
}

async function start(directory) {
  const begin = performance.now();
  const args = [`${root}packages/cli/bin/tenure.js`, "dev", "--listen", "127.0.0.1:0", "--data-dir", directory];
  const child = spawn(process.execPath, [...args, "-o", "json"], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => (said += chunk));
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), "line", { signal: AbortSignal.timeout(START_LIMIT_MS) }),
    once(child, "exit").then(() => undefined),
  ]);
  if (line === undefined) throw new Error(`it did not start: ${said.trim()}`);
  return { child, endpoint: JSON.parse(line[0]).endpoint, startMs: performance.now() - begin };
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** Sees that each key and lease is as it was acknowledged, or as an unanswered request would have made it. */
async function compare(world, client, kill) {
  const { kvs, header } = await client.kv.range({ prefix: "s/" });
  const problem = (text) => world.problems.push(`after kill ${kill}: ${text}`);
  if (header.revision < world.revision) problem(`revision ${header.revision} is below ${world.revision}`);
  world.clusterId ??= header.clusterId;
  if (header.clusterId !== world.clusterId) problem("it has another cluster id");
  const found = new Map(kvs.map((kv) => [text(kv.key), text(kv.value)]));
  for (const [key, possible] of world.keys) {
    const value = found.get(key);
    if (!possible.has(value)) problem(`${key} is ${value}, not ${[...possible].join(" or ")}`);
    world.keys.set(key, new Set([value]));
    world.compared += 1;
  }
  for (const key of found.keys()) if (!world.keys.has(key)) problem(`${key} is there, which nobody put`);
  const leases = new Set((await client.lease.list()).leases.map(({ ID }) => ID));
  for (const [id, possible] of world.leases) {
    if (!possible.has(leases.has(id))) problem(`lease ${id} is ${leases.has(id) ? "" : "not "}there`);
    if (leases.has(id)) {
      const { TTL, grantedTTL } = await client.lease.timeToLive(id);
      if (TTL < grantedTTL - 5n) problem(`lease ${id} came back with ${TTL} of ${grantedTTL} s`);
      world.leases.set(id, new Set([true]));
    } else world.leases.delete(id);
    world.compared += 1;
  }
}

async function loadUntilKilled(world, client, { child }) {
  let isOver = false;
  const lifeMs = LIFE_MS.min + world.random.fraction() * (LIFE_MS.max - LIFE_MS.min);
  const exited = once(child, "exit").then(() => (isOver = true));
  const work = async (worker) => {
    while (!isOver) await act(world, client, worker);
  };
  const seen = watch(world, client, exited);
  const workers = Array.from({ length: WORKERS }, (_, worker) => work(worker));
  setTimeout(() => child.kill("SIGKILL"), lifeMs);
  await Promise.all([exited, seen, ...workers]);
}

/** What a watch shows must be there after a restart, whoever was told that it is kept. */
async function watch(world, client, exited) {
  const ending = new AbortController();
  void exited.then(() => ending.abort());
  try {
    for await (const message of client.watch.watch({ prefix: "s/" }, { signal: ending.signal })) {
      const { events = [] } = message;
      for (const { kv } of events)
        if (kv !== undefined && kv.modRevision > world.revision) world.revision = kv.modRevision;
    }
  } catch {
    // The server was killed.
  }
}

/** One request of a worker, which has keys of its own. */
async function act(world, client, worker) {
  const pick = (count) => Math.floor(world.random.fraction() * count);
  const key = `s/${worker}/${pick(KEYS_EACH)}`;
  const value = `${(world.names += 1)}`;
  const dice = pick(20);
  if (dice < 12) return attempt(world, new Map([[key, value]]), () => client.kv.put(key, value.padEnd(pick(200))));
  if (dice < 14) return attempt(world, new Map([[key, undefined]]), () => client.kv.delete(key));
  if (dice < 17) {
    const other = `s/${worker}/pair`;
    const both = new Map([key, other].map((each) => [each, value]));
    return attempt(world, both, () => client.kv.txn().success(world.put(key, value), world.put(other, value)).commit());
  }
  if (dice < 19) return leaseAct(world, client, worker, key, value);
  const revision = world.revision - BigInt(pick(50));
  if (worker !== 0 || revision <= 0n) return undefined;
  return attempt(world, new Map(), () => client.kv.compact(revision));
}

/** Grants a lease and puts a key on it, or revokes one with its key. */
async function leaseAct(world, client, worker, key, value) {
  const own = [...world.leases].find(([id, possible]) => Number(id >> 32n) === worker + 1 && possible.size === 1);
  if (own === undefined) {
    const id = (BigInt(worker + 1) << 32n) | BigInt(value);
    world.leases.set(id, new Set([true, false]));
    if (await attempt(world, new Map(), () => client.lease.grant(600n, { id }))) world.leases.set(id, new Set([true]));
    return;
  }
  const [id] = own;
  const leased = `s/${worker}/leased`;
  if (!(await attempt(world, new Map([[leased, value]]), () => client.kv.put(leased, value, { leaseId: id })))) return;
  if (key.endsWith("0")) return;
  world.leases.set(id, new Set([true, false]));
  const isDone = await attempt(world, new Map([[leased, undefined]]), () => client.lease.revoke(id));
  if (isDone) world.leases.delete(id);
}

/** Makes a request, and remembers what it may have made of keys, or has made of them once it is acknowledged. */
async function attempt(world, changes, request) {
  const before = new Map();
  for (const [key, value] of changes) {
    before.set(key, world.keys.get(key) ?? new Set([undefined]));
    world.keys.set(key, new Set([...before.get(key), value]));
  }
  try {
    const { header } = await request();
    if (header.revision > world.revision) world.revision = header.revision;
    world.acknowledged += 1;
    for (const [key, value] of changes) world.keys.set(key, new Set([value]));
    return true;
  } catch (error) {
    // Refused, as by a compaction that is done already: nothing changed. Without an answer, anything may be.
    if (error.code !== "unavailable") for (const [key, possible] of before) world.keys.set(key, possible);
    return false;
  }
}

function text(bytes) {
  return Buffer.from(bytes).toString().trimEnd();
}

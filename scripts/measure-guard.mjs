// Compares two guards of a process: the one that Tenure has, and one for /bin/sh that only waits for the end of the
// pipe and starts Node then: `npm run measure:guard -- [--rounds N] [--json]`. From SIGKILL of the guarded process to
// the end of its key, asked for again and again; and what each costs in memory until then. Alternating rounds on one
// etcd.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { startStore } from "./lib/own-store.mjs";
import { main, note, root } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const leaseGuard = `${root}packages/tenure/dist/guard/lease-guard.js`;
const flags = ["--max-semi-space-size=1", "--max-old-space-size=64", "--no-opt", "--optimize-for-size", "--max-lazy"];
// It keeps what it is told, and hands it on when the pipe ends.
const shell = 'all=; while IFS= read -r line; do all="$all$line\n"; done; printf "$all" | exec "$@"';
const guards = {
  node: [process.execPath, ...flags, leaseGuard],
  sh: ["/bin/sh", "-c", shell, "sh", process.execPath, ...flags, leaseGuard],
};
// Something to guard: it starts a guard, hands it our words, says the guard's pid, and stays.
const guarded = `
  const { spawn } = require("node:child_process");
  const { words, argv } = JSON.parse(process.argv[1]);
  const guard = spawn(argv[0], argv.slice(1), { detached: true, stdio: ["pipe", "ignore", "inherit"] });
  guard.stdin.write(words);
  console.log(guard.pid);
  setInterval(() => undefined, 60_000);`;
const settleMs = 1000;
const limitMs = 20_000;

await main(async () => {
  const { values } = parseArgs({
    options: { rounds: { type: "string", default: "20" }, json: { type: "boolean", default: false } },
  });
  const rounds = Number(values.rounds);
  if (!(Number.isInteger(rounds) && rounds > 0 && rounds <= 1000)) throw new Error("--rounds: a number from 1 to 1000");
  await setup();
  const { EtcdClient } = await import(`${root}packages/etcd/dist/index.js`);
  const store = await startStore();
  const { endpoint, version } = store;
  const client = new EtcdClient({ endpoints: [endpoint] });
  try {
    const results = { node: [], sh: [] };
    for (let round = 0; round < rounds; round++) {
      for (const name of round % 2 === 0 ? ["node", "sh"] : ["sh", "node"]) {
        results[name].push(await measure(client, endpoint, guards[name]));
      }
      note(`round ${round + 1} of ${rounds}`);
    }
    const rows = Object.entries(results).map(([guard, each]) => ({ guard, rounds, etcd: version, ...summary(each) }));
    if (values.json) console.log(JSON.stringify(rows));
    else console.table(Object.fromEntries(rows.map(({ guard, ...row }) => [guard, row])));
  } finally {
    await client.close();
    await store.stop();
  }
});

async function measure(client, endpoint, argv) {
  const { ID } = await client.lease.grant(60n);
  const key = `guarded/${ID.toString(16)}`;
  await client.kv.put(key, "", { lease: ID });
  // The pid of nobody's parent: each guard is about to be orphaned, and must not find that out by itself here.
  const words = [
    { t: "process", pid: -1, store: { endpoints: [endpoint] } },
    { t: "lease", id: ID.toString(16), ttlMs: 60_000 },
  ];
  const job = JSON.stringify({ argv, words: words.map((each) => `${JSON.stringify(each)}\n`).join("") });
  const child = spawn(process.execPath, ["-e", guarded, job], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [text] = await once(child.stdout, "data");
    await new Promise((resolve) => void setTimeout(resolve, settleMs));
    const memory = memoryOf(Number(String(text)));
    const killedAt = performance.now();
    child.kill("SIGKILL");
    await untilGone(client, key);
    return { ...memory, handOverMs: performance.now() - killedAt };
  } finally {
    child.kill("SIGKILL");
  }
}

// In KiB: what nobody shares, and its part of what is shared with the other Node processes.
function memoryOf(pid) {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const field = (name) => Number(new RegExp(`^${name}: *(\\d+)`, "m").exec(rollup)?.[1]);
  return { ownKib: field("Private_Clean") + field("Private_Dirty"), pssKib: field("Pss") };
}

async function untilGone(client, key) {
  const stop = AbortSignal.timeout(limitMs);
  while ((await client.kv.get(key, { signal: stop })) !== undefined);
}

function summary(each) {
  const median = (name) =>
    quantile(
      each.map((one) => one[name]),
      0.5,
    );
  return {
    ownMib: round(median("ownKib") / 1024),
    pssMib: round(median("pssKib") / 1024),
    handOverMedianMs: round(median("handOverMs")),
    handOverMaxMs: round(Math.max(...each.map(({ handOverMs }) => handOverMs))),
  };
}

function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function round(number) {
  return Math.round(number * 10) / 10;
}

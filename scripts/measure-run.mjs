// Measures how `tenure run` fails over: `npm run measure:run -- [--rounds N] [--faults N] [--json]`, with 20 and 200 by
// default. Progress goes to stderr. Exit code 1 when a figure is beyond its limit. It wants a machine that does nothing
// else, and takes about 15 minutes.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { main, note, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

/** Milliseconds that the median must not exceed. */
const limitsMs = {
  "program killed: next start": 300,
  "supervisor killed: tree dead": 100,
  "supervisor killed: next start": 500,
  "SIGINT while waiting: exit": 200,
};

await main(async () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "20" },
      faults: { type: "string", default: "200" },
      json: { type: "boolean", default: false },
    },
  });
  const [rounds, faults] = [wholeOf("rounds", values.rounds), wholeOf("faults", values.faults)];
  await setup({ tests: true });
  const machine = { cpus: cpus().length, load: loadavg()[0], node: process.version };
  const report = { machine, ...reportOf(await measure(rounds, faults)) };
  console.log(values.json ? JSON.stringify(report) : tableOf(report));
  for (const what of report.missed) note(`beyond its limit: ${what}`);
  if (report.missed.length > 0) process.exitCode = 1;
});

async function measure(rounds, faults) {
  const dir = mkdtempSync(join(tmpdir(), "tenure-measure-"));
  try {
    const file = join(dir, "figures.json");
    const env = {
      ...process.env,
      TENURE_MEASURE_ROUNDS: rounds,
      TENURE_MEASURE_FAULTS: faults,
      TENURE_MEASURE_FILE: file,
    };
    const args = ["node_modules/vitest/vitest.mjs", "run", "--project", "measure"];
    if ((await run(process.execPath, args, { env })) !== 0)
      throw new Error("something was not as it must be, see above");
    return JSON.parse(readFileSync(file, "utf8"));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function reportOf({ etcd, measured, counted }) {
  const figures = Object.entries(measured).map(([what, all]) => {
    const sorted = all.toSorted((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    return { what, times: all.length, medianMs: median, maxMs: sorted.at(-1), limitMs: limitsMs[what] };
  });
  const counts = Object.entries(counted).map(([what, each]) => ({ what, ...each }));
  const slow = figures.filter(({ medianMs, limitMs }) => medianMs > limitMs);
  const wrong = counts.filter(({ good, of }) => good < of);
  return { etcd, figures, counts, missed: [...slow, ...wrong].map(({ what }) => what) };
}

function tableOf({ machine, etcd, figures, counts }) {
  const width = Math.max(...[...figures, ...counts].map(({ what }) => what.length));
  const ms = (value) => `${Math.round(value)} ms`.padStart(8);
  const head = `${"".padEnd(width)}  ${["times", "median", "max", "limit"].map((each) => each.padStart(8)).join("")}`;
  const rows = figures.map(({ what, times, medianMs, maxMs, limitMs }) => {
    const limit = limitMs === undefined ? "" : ms(limitMs);
    return `${what.padEnd(width)}  ${String(times).padStart(8)}${ms(medianMs)}${ms(maxMs)}${limit}`;
  });
  const sums = counts.map(({ what, good, of }) => `${what.padEnd(width)}  ${good} of ${of}`);
  const { cpus: cores, load, node } = machine;
  const where = `Node ${node}, etcd ${etcd}, ${cores} cores, load at the start ${load.toFixed(1)}`;
  return [head, ...rows, ...sums, where].join("\n");
}

function wholeOf(name, text) {
  if (/^[1-9]\d*$/.test(text)) return text;
  throw new Error(`--${name} ${text}: must be a whole number above 0`);
}

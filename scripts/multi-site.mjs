// Measures what elections cost when sites are far apart: `npm run bench:multi-site -- [--rounds N] [--rtt 0,40,100]
// [--only TOPOLOGY,TOPOLOGY] [--quick] [--json] [--write]`. Progress goes to stderr. `--quick` leaves the faults out,
// `--write` also puts the tables into docs/multi-site.md. Exit code 1 when something could not be measured.
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { findEtcd } from "./lib/etcd.mjs";
import { bin, main, note, root, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const roundsMax = 1000;
const rttMaxMs = 500;
const page = `${root}docs/multi-site.md`;
const measured = /(?<=<!-- measured -->\n)[^]*?(?=<!-- \/measured -->)/;

await main(async () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "20" },
      rtt: { type: "string", default: "0,40,100" },
      only: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
    },
  });
  const rounds = wholeOf("rounds", values.rounds, 1, roundsMax);
  const rttsMs = values.rtt.split(",").map((text) => wholeOf("rtt", text, 0, rttMaxMs));
  if (values.write && (values.quick || values.only !== undefined)) {
    throw new Error("--write: only whole tables go there");
  }
  await setup();
  if ((await run(bin("tsc"), ["-b", "bench"])) !== 0) throw new Error("the build failed, see above");
  const { runMultiSite, tablesOf, topologies } = await import(`${root}bench/dist/bench/multi-site.js`);
  const only = values.only?.split(",");
  const unknown = only?.find((name) => topologies.every((topology) => topology.name !== name));
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: there are ${topologies.map(({ name }) => name).join(", ")}`);
  }
  const { etcd, version } = await findEtcd();
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());
  const { quick } = values;
  const report = await runMultiSite({ etcd, version, rounds, rttsMs, only, quick, signal: stop.signal, tell: note });
  for (const failure of report.failures) note(`not measured: ${failure}`);
  if (report.failures.length > 0) process.exitCode = 1;
  const tables = `${headOf(report)}\n\n${tablesOf(report.rows)}\n`;
  if (values.write && report.failures.length === 0) {
    const text = readFileSync(page, "utf8");
    writeFileSync(page, text.replace(measured, `\n${tables}\n`));
  }
  console.log(values.json ? JSON.stringify(report) : tables);
});
// Everything has been stopped, but Node cannot reset a socket after its end, and such a one keeps it awake for ever.
process.exit();

function headOf({ etcd, node, durationMs, clusters }) {
  const command = ["npm run bench:multi-site --", ...process.argv.slice(2)].join(" ");
  const minutes = (durationMs / 60_000).toFixed(1);
  const elections = clusters.reduce((sum, { quiet }) => sum + quiet.elections, 0);
  return (
    `\`${command}\`: ${minutes} minutes, etcd ${etcd}, Node.js ${node}, ${availableParallelism()} cores. ` +
    `Elections of etcd while nothing was broken: ${elections}.`
  );
}

function wholeOf(name, text, min, max) {
  const number = Number(text);
  if (text.trim() !== "" && Number.isInteger(number) && number >= min && number <= max) return number;
  throw new Error(`--${name} ${text}: must be a whole number from ${min} to ${max}`);
}

// Compares Tenure with Go's client and npm etcd3 on one real etcd: `npm run bench -- [--only QUESTION,QUESTION]
// [--rounds N] [--rtt 0,5,20] [--json] [--write]`. Progress goes to stderr. `--write` also writes bench/RESULTS.md
// and bench/results.svg.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { findEtcd } from "./lib/etcd.mjs";
import { findGoPeer } from "./lib/go.mjs";
import { bin, main, note, root, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const roundsMax = 1000;
const rttMaxMs = 500;

await main(async () => {
  if (process.platform !== "linux") throw new Error("this needs Linux: it reads what processes take in /proc");
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      rounds: { type: "string", default: "20" },
      rtt: { type: "string", default: "0,5,20" },
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
    },
  });
  const rounds = wholeOf("rounds", values.rounds, 1, roundsMax);
  const rttsMs = values.rtt.split(",").map((text) => wholeOf("rtt", text, 0, rttMaxMs));
  await setup();
  if ((await run(bin("tsc"), ["-b", "bench"])) !== 0) throw new Error("the build failed, see above");
  const { plotOf, questions, reportOf, runBench } = await import(`${root}bench/dist/bench/bench.js`);
  const only = values.only?.split(",");
  const unknown = only?.find((name) => questions.every((question) => question.name !== name));
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: there are ${questions.map(({ name }) => name).join(", ")}`);
  }
  const { etcd, version } = await findEtcd();
  const goPeer = await findGoPeer("bench/peers/peer.go");
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());
  const report = await runBench({ etcd, version, goPeer, rounds, rttsMs, only, signal: stop.signal, tell: note });
  const page = reportOf(report, ["npm run bench --", ...process.argv.slice(2)].join(" "));
  if (values.write && !report.stopped) {
    writeFileSync(`${root}bench/RESULTS.md`, page);
    writeFileSync(`${root}bench/results.svg`, plotOf(report.rows));
  }
  console.log(values.json ? JSON.stringify(report) : page);
  if (report.failures.length > 0) process.exitCode = 1;
});
// Everything has been stopped, but Node cannot reset a socket after its end, and such a one keeps it awake for ever.
process.exit();

function wholeOf(name, text, min, max) {
  const number = Number(text);
  if (text.trim() !== "" && Number.isInteger(number) && number >= min && number <= max) return number;
  throw new Error(`--${name} ${text}: must be a whole number from ${min} to ${max}`);
}

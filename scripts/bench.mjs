// Compares Tenure with Go's client and npm etcd3 on one real etcd: `npm run bench -- [--only QUESTION,QUESTION]
// [--rounds N] [--rtt 0,5,20] [--quick] [--json] [--write]`. Progress goes to stderr, the result to stdout. A whole run
// also writes bench/RESULTS.md, bench/results.svg and bench/growth.svg; with `--write` a part of it does so too.
// `--quick` leaves the greatest numbers out. Exit code 1 when something could not be measured, or it was ended early.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { findEtcd } from "./lib/etcd.mjs";
import { findGoPeer } from "./lib/go.mjs";
import { bin, main, note, root, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const roundsMax = 1000;
const rttMaxMs = 500;
const usual = { rounds: "15", rtt: "0,5,20" };
const quickly = { rounds: "3", rtt: "0,20" };

await main(async () => {
  if (process.platform !== "linux") throw new Error("this needs Linux: it reads what processes take in /proc");
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      rounds: { type: "string" },
      rtt: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
    },
  });
  const { quick } = values;
  const defaults = quick ? quickly : usual;
  const rounds = wholeOf("rounds", values.rounds ?? defaults.rounds, 1, roundsMax);
  const rttsMs = (values.rtt ?? defaults.rtt).split(",").map((text) => wholeOf("rtt", text, 0, rttMaxMs));
  await setup();
  if ((await run(bin("tsc"), ["-b", "bench"])) !== 0) throw new Error("the build failed, see above");
  const bench = await import(`${root}bench/dist/bench/bench.js`);
  const only = values.only?.split(",");
  const unknown = only?.find((name) => bench.questions.every((question) => question.name !== name));
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: there are ${bench.questions.map(({ name }) => name).join(", ")}`);
  }
  const { etcd, version } = await findEtcd();
  const goPeer = await findGoPeer("bench/peers/peer.go");
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());
  const settings = { etcd, version, goPeer, rounds, quick, rttsMs, only, signal: stop.signal, tell: note };
  const report = await bench.runBench(settings);
  const page = bench.reportOf(report, ["npm run bench --", ...process.argv.slice(2)].join(" ").replace(/ --$/, ""));
  const whole = only === undefined && !quick && values.rtt === undefined;
  if ((whole || values.write) && !report.stopped && report.failures.length === 0) {
    writeFileSync(`${root}bench/RESULTS.md`, page);
    writeFileSync(`${root}bench/results.svg`, bench.plotOf(report.rows));
    writeFileSync(`${root}bench/growth.svg`, bench.growthPlotOf(report.rows));
  }
  console.log(values.json ? JSON.stringify(report) : page);
  if (report.stopped) throw new Error("ended early");
  if (report.failures.length > 0) process.exitCode = 1;
});
// Everything has been stopped, but Node cannot reset a socket after its end, and such a one keeps it awake for ever.
process.exit();

function wholeOf(name, text, min, max) {
  const number = Number(text);
  if (text.trim() !== "" && Number.isInteger(number) && number >= min && number <= max) return number;
  throw new Error(`--${name} ${text}: must be a whole number from ${min} to ${max}`);
}

// Compares the embedded etcd with a real one under the same load: `npm run bench:embed -- [--only QUESTION,QUESTION]
// [--rounds N] [--quick] [--json]`. Progress goes to stderr. Exit code 1 when something could not be measured.
import { parseArgs } from "node:util";
import { findEtcd } from "./lib/etcd.mjs";
import { bin, main, note, root, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const roundsMax = 1000;

await main(async () => {
  if (process.platform !== "linux") throw new Error("this needs Linux: it reads what processes take in /proc");
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      only: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const rounds = wholeOf("rounds", values.rounds, 1, roundsMax);
  await setup();
  if ((await run(bin("tsc"), ["-b", "bench"])) !== 0) throw new Error("the build failed, see above");
  const { questions, runEmbedBench, tablesOf } = await import(`${root}bench/dist/bench/embed.js`);
  const only = values.only?.split(",");
  const unknown = only?.find((name) => questions.every((question) => question.name !== name));
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: there are ${questions.map(({ name }) => name).join(", ")}`);
  }
  const { etcd, version } = await findEtcd();
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());
  const { quick } = values;
  const report = await runEmbedBench({ etcd, version, rounds, only, quick, signal: stop.signal, tell: note });
  for (const failure of report.failures) note(`not measured: ${failure}`);
  if (report.failures.length > 0) process.exitCode = 1;
  console.log(values.json ? JSON.stringify(report) : `${headOf(report)}\n\n${tablesOf(report.rows)}`);
});
// Everything has been stopped, but Node cannot reset a socket after its end, and such a one keeps it awake for ever.
process.exit();

function headOf({ machine, node, etcd, durationMs, loadBefore }) {
  const command = ["npm run bench:embed --", ...process.argv.slice(2)].join(" ");
  const minutes = (durationMs / 60_000).toFixed(1);
  return (
    `\`${command}\`: ${minutes} minutes, ${machine}, etcd ${etcd}, Node.js ${node}, load average before the start ` +
    `${loadBefore.toFixed(1)}. Median of all rounds, in brackets the least and the most; x: compared with etcd.`
  );
}

function wholeOf(name, text, min, max) {
  const number = Number(text);
  if (text.trim() !== "" && Number.isInteger(number) && number >= min && number <= max) return number;
  throw new Error(`--${name} ${text}: must be a whole number from ${min} to ${max}`);
}

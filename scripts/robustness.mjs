// Breaks real clusters of three members and the nodes that elect on them: `npm run robustness -- [--minutes M]
// [--seed S] [--only KIND,KIND] [--worlds N] [--peer etcdctl-lock|etcd3] [--json] [--trace] [--list]`. Progress goes to
// stderr. Exit code 1 when a promise was broken; with --peer, when the other client did not break the one that it is
// known to break.
import { parseArgs } from "node:util";
import { findEtcd } from "./lib/etcd.mjs";
import { bin, main, note, root, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const dist = `${root}tests/robustness/dist/robustness/src/`;

await main(async () => {
  if (process.platform !== "linux") throw new Error("the robustness tests need Linux: they look into /proc");
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      seed: { type: "string", default: "1" },
      only: { type: "string" },
      worlds: { type: "string" },
      peer: { type: "string" },
      json: { type: "boolean", default: false },
      trace: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
    },
  });
  await setup();
  if ((await run(bin("tsc"), ["-b", "tests/robustness"])) !== 0) throw new Error("the build failed, see above");
  const { contestantNames, faultKinds, runRobustness, tableOf } = await import(`${dist}main.js`);
  if (values.list) return listKinds(faultKinds);
  if (values.peer !== undefined && !contestantNames.includes(values.peer)) {
    throw new Error(`--peer ${values.peer}: there are ${contestantNames.slice(1).join(", ")}`);
  }
  const { etcd, etcdctl, version } = await findEtcd();
  const report = await runRobustness({
    etcd,
    etcdctl,
    version,
    dir: `${root}tests/robustness/nodes/`,
    minutes: numberOf("minutes", values.minutes),
    seed: wholeOf("seed", values.seed),
    ...(values.only !== undefined && { only: values.only.split(",") }),
    ...(values.worlds !== undefined && { worlds: wholeOf("worlds", values.worlds) }),
    ...(values.peer !== undefined && { peer: values.peer }),
    trace: values.trace,
    tell: note,
  });
  for (const { kind, rule, text } of report.violationList) note(`${kind}: ${rule}: ${text}`);
  console.log(values.json ? JSON.stringify(report) : tableOf(report));
  const peer = values.peer !== undefined && values.peer !== "tenure";
  process.exitCode = (peer ? report.overlaps === 0 : report.violations > 0) ? 1 : 0;
});
// Everything has been stopped, also after an error, but Node cannot reset a socket after its end, and such a one keeps
// it awake for ever.
process.exit();

function listKinds(kinds) {
  for (const { name, says, onlyByName } of kinds) {
    console.log(`${name.padEnd(24)} ${says}${onlyByName ? " (only by name)" : ""}`);
  }
}

function numberOf(name, text) {
  const number = Number(text);
  if (!(number > 0) || number === Infinity) throw new Error(`--${name} ${text}: must be a number above 0`);
  return number;
}

function wholeOf(name, text) {
  const number = numberOf(name, text);
  if (!Number.isSafeInteger(number)) throw new Error(`--${name} ${text}: must be a whole number`);
  return number;
}

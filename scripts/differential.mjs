// Compares the embedded server with a real etcd, operation by operation:
// `npm run differential -- [--minutes M] [--operations N] [--seed S] [--json] [--replay FILE] [--bug NAME]
// [--list-bugs]`. Progress goes to stderr. Exit code 1 when they differ and nothing explains it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { findEtcd } from "./lib/etcd.mjs";
import { bin, main, root, run } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const dist = `${root}tests/differential/dist/differential/src/`;
const usualOperations = 5000;

await main(async () => {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string" },
      operations: { type: "string" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
      replay: { type: "string" },
      bug: { type: "string" },
      "list-bugs": { type: "boolean", default: false },
    },
  });
  limitsOf(values, usualOperations);
  if (values.replay !== undefined && !existsSync(values.replay)) {
    throw new Error(`--replay ${values.replay}: there is no such file`);
  }
  await setup();
  if ((await run(bin("tsc"), ["-b", "tests/differential"])) !== 0) throw new Error("the build failed, see above");
  const { plantedBugs } = await import(`${dist}planted-bugs.js`);
  if (values["list-bugs"]) {
    for (const { name, says } of plantedBugs) console.log(`${name.padEnd(26)} ${says}`);
    return;
  }
  const bug = plantedBugs.find(({ name }) => name === values.bug);
  if (values.bug !== undefined && bug === undefined) throw new Error(`--bug ${values.bug}: see --list-bugs`);
  const limits = limitsOf(values, bug?.within ?? usualOperations);
  const { etcd, version } = await findEtcd();
  const { json, replay } = values;
  const withExpiries = bug === undefined && replay === undefined;
  process.exitCode = await compare({ ...limits, json, replay, etcd, version, withExpiries }, bug?.name);
});

function limitsOf({ minutes, operations, seed }, usual) {
  const most = operations ?? (minutes === undefined ? usual : undefined);
  return {
    seed: numberOf("seed", seed, true),
    ...(most !== undefined && { operations: numberOf("operations", most, true) }),
    ...(minutes !== undefined && { minutes: numberOf("minutes", minutes, false) }),
  };
}

function numberOf(name, text, whole) {
  const number = Number(text);
  if (!(number > 0) || number === Infinity || (whole && !Number.isSafeInteger(number))) {
    throw new Error(`--${name} ${text}: must be a ${whole ? "whole " : ""}number above 0`);
  }
  return number;
}

// In a process of its own, since a planted bug comes in while Node loads the product.
function compare(options, bug) {
  const planted = bug === undefined ? [] : ["--import", `file://${dist}plant.js`];
  const env = { ...process.env, ...(bug !== undefined && { PLANTED_BUG: bug }) };
  const args = ["--no-warnings", ...planted, `${dist}command.js`, JSON.stringify(options)];
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "inherit", "inherit"] });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

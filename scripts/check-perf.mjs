// Lets etcdctl check how fast `tenure dev` is, as it checks any etcd: `npm run check:perf -- [--load s|m|l|xl]`. That
// takes a minute. Exit code 1 when it does not pass.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { findEtcd } from "./lib/etcd.mjs";
import { main, note, root } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

const loads = ["s", "m", "l", "xl"];

await main(async () => {
  const { load } = parseArgs({ options: { load: { type: "string", default: "s" } } }).values;
  if (!loads.includes(load)) throw new Error(`--load ${load}: must be one of ${loads.join(", ")}`);
  await setup();
  const { etcdctl } = await findEtcd();
  const { endpoint, stop } = await startDev();
  try {
    note(`etcdctl check perf --load=${load} of tenure dev: a minute`);
    process.exitCode = await check(etcdctl, endpoint, load);
  } finally {
    await stop();
  }
});

function check(etcdctl, endpoint, load) {
  // Its bar of progress, on stderr, is for terminals.
  const args = [`--endpoints=${endpoint}`, "check", "perf", `--load=${load}`];
  const child = spawn(etcdctl, args, { stdio: ["ignore", "pipe", "ignore"] });
  createInterface(child.stdout).on("line", (line) => {
    const [, verdict] = /((?:PASS|FAIL).*)$/.exec(line) ?? [];
    if (verdict !== undefined) console.log(verdict);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

async function startDev() {
  const args = [`${root}packages/cli/bin/tenure.js`, "dev", "--listen=127.0.0.1:0", "-o", "json"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => reject(new Error(`tenure dev ended with ${code}`)));
    createInterface(child.stdout).once("line", resolve);
  });
  return { endpoint: JSON.parse(line).endpoint, stop: () => ended(child) };
}

function ended(child) {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("close", resolve);
    child.kill("SIGKILL");
    return undefined;
  });
}

// `npm start [-- FLAGS]`: set-up, then `tenure demo FLAGS`. `--example NAME` runs that example instead of the demo.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { main, root } from "./lib/process.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  const [program, ...args] = command(process.argv.slice(2));
  await setup();
  if (!existsSync(program)) throw new Error(`there is no ${program.slice(root.length)}`);
  await become([program, ...args]);
});

function command([first, ...rest]) {
  if (first !== "--example") {
    return [`${root}packages/cli/bin/tenure.js`, "demo", ...(first === undefined ? [] : [first, ...rest])];
  }
  const [name, ...args] = rest;
  if (name === undefined || !/^[a-z-]+$/.test(name)) throw new Error("--example needs the name of an example");
  return [`${root}examples/dist/${name}.js`, ...args];
}

// Node has no exec(): the child takes the terminal, this process lives as long as the child and ends as it did.
function become(args) {
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  // On a terminal Ctrl-C reaches the child by itself; a second SIGINT would tell it not to end cleanly.
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  process.on("SIGHUP", () => child.kill("SIGHUP"));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (signal === null) process.exit(code);
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
      resolve();
    });
  });
}

// Loaded into `tenure run` by NODE_OPTIONS: blocks the event loop for BLOCK_MS when the file BLOCK_FILE appears, and
// deletes it just before. As good as a computation that takes so long, but leaves the processor to the others.
import { existsSync, unlinkSync } from "node:fs";

const { BLOCK_FILE = "", BLOCK_MS } = process.env;
// The guard and other programs that inherit this go on as they are.
if (process.argv[1]?.endsWith("/tenure.js")) setInterval(look, 10).unref();

function look() {
  if (!existsSync(BLOCK_FILE)) return;
  unlinkSync(BLOCK_FILE);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(BLOCK_MS));
}

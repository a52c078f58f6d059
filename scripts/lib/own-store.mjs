// An etcd of one member on loopback, for scripts that measure: its data goes with it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findEtcd } from "./etcd.mjs";

const startLimitMs = 20_000;

/** Starts it and waits until it answers: `{ endpoint, port, version, stop }`. */
export async function startStore() {
  const { etcd, version } = await findEtcd();
  const dir = mkdtempSync(join(tmpdir(), "tenure-measure-"));
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const store = spawn(etcd, flagsOf(endpoint, join(dir, "data")), { stdio: "ignore" });
  const stop = async () => {
    store.kill("SIGKILL");
    if (store.exitCode === null && store.signalCode === null) await once(store, "exit");
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await untilHealthy(endpoint);
    return { endpoint, port, version, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A port of loopback that nobody listens on. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

function flagsOf(endpoint, dir) {
  const peer = "http://127.0.0.1:0";
  return [
    `--data-dir=${dir}`,
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=${peer}`,
    "--unsafe-no-fsync",
    "--log-level=error",
  ];
}

async function untilHealthy(endpoint) {
  const limit = performance.now() + startLimitMs;
  for (;;) {
    try {
      const answer = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(1000) });
      if (/"health":\s*"?true/.test(await answer.text())) return;
    } catch (error) {
      if (performance.now() > limit) throw new Error("etcd does not start", { cause: error });
    }
    await new Promise((resolve) => void setTimeout(resolve, 50));
  }
}

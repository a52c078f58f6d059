import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startEmbed } from "@tenure/embed";
import { killed, launch } from "../../tests/support/children.ts";
import { reservePorts } from "../../tests/support/ports.ts";
import { until } from "../../tests/support/until.ts";
import type { Measure } from "./protocol.ts";
import { paths, RawClient } from "./raw-client.ts";
import { putRequest } from "./requests.ts";
import { etcdCommand } from "./servers.ts";

const cli = fileURLToPath(new URL("../../../../packages/cli/bin/tenure.js", import.meta.url));
const intervalMs = 2;
const startTimeoutMs = 20_000;

/** How long `startEmbed()` takes in this process, which has done it before. */
export async function startInProcess(): Promise<Measure[]> {
  const startedAt = performance.now();
  const server = await startEmbed();
  const value = performance.now() - startedAt;
  await server.close();
  return [{ what: "startEmbed() in a process that has done it before", unit: "ms", value }];
}

/** How long `tenure dev` takes from its start until it accepts a connection, and until it has taken a put. */
export async function startDev(): Promise<Measure[]> {
  const [port] = await reservePorts(1);
  const endpoint = `http://127.0.0.1:${port?.port}`;
  try {
    return await timed(process.execPath, [cli, "dev", "--listen", new URL(endpoint).host], process.env, endpoint);
  } finally {
    port?.release();
  }
}

/** The same of etcd. */
export async function startRealEtcd(etcd: string): Promise<Measure[]> {
  const dir = await mkdtemp(join(tmpdir(), "tenure-bench-embed-"));
  const { endpoint, args, env, release } = await etcdCommand([`--data-dir=${dir}`, "--unsafe-no-fsync"]);
  try {
    return await timed(etcd, args, env, endpoint);
  } finally {
    release();
    await rm(dir, { recursive: true, force: true });
  }
}

async function timed(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  endpoint: string,
): Promise<Measure[]> {
  const startedAt = performance.now();
  const child = launch(command, args, { env });
  child.stdout.resume();
  child.stderr.resume();
  const limit = { timeoutMs: startTimeoutMs, intervalMs };
  try {
    await until(() => accepts(endpoint), { what: "connection", ...limit });
    const accepted = performance.now() - startedAt;
    await until(() => takesPut(endpoint), { what: "put", ...limit });
    return [
      { what: "from exec to the first connection", unit: "ms", value: accepted },
      { what: "from exec to the first put", unit: "ms", value: performance.now() - startedAt },
    ];
  } finally {
    await killed(child);
  }
}

function accepts(endpoint: string): Promise<boolean> {
  const { hostname: host, port } = new URL(endpoint);
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) });
    const end = (accepted: boolean) => (): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once("connect", end(true));
    socket.once("error", end(false));
  });
}

async function takesPut(endpoint: string): Promise<boolean> {
  const client = new RawClient(endpoint);
  try {
    await Promise.race([client.ask(paths.put, putRequest(0, Buffer.from("x"))), client.broken()]);
    return true;
  } finally {
    client.close();
  }
}

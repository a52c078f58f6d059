import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killed, launch } from "../../tests/support/children.ts";
import { reservePorts } from "../../tests/support/ports.ts";
import { until } from "../../tests/support/until.ts";

/** A real etcd of one member with an empty store. */
export interface Store {
  readonly endpoint: string;
  /** Sums of its own counters by name, labels left out unless `label` names the text that they must hold. */
  metric(name: string, label?: string): Promise<number>;
  stop(): Promise<void>;
}

const startTimeoutMs = 20_000;

/** Starts etcd without fsync, so that the disk does not hide what clients take. */
export async function startStore(etcd: string): Promise<Store> {
  const dir = await mkdtemp(join(tmpdir(), "tenure-bench-"));
  const ports = await reservePorts(2);
  const [client, peer] = ports.map(({ port }) => `http://127.0.0.1:${port}`);
  const endpoint = client ?? "";
  const flags = [
    `--data-dir=${dir}`,
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    "--unsafe-no-fsync",
    "--log-level=error",
  ];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD")));
  const child = launch(etcd, flags, { env });
  let log = "";
  child.once("error", (error) => (log += error.message));
  child.stdout.resume();
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (log = (log + chunk).slice(-2_000)));
  const stop = async (): Promise<void> => {
    await killed(child);
    for (const port of ports) port.release();
    await rm(dir, { recursive: true, force: true });
  };
  const metrics = async (): Promise<string> => {
    const response = await fetch(`${endpoint}/metrics`, { signal: AbortSignal.timeout(5_000) });
    return response.text();
  };
  const healthy = async (): Promise<boolean> => {
    const response = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(2_000) });
    return /"health":\s*"?true/.test(await response.text());
  };
  try {
    await until(healthy, { what: "etcd", timeoutMs: startTimeoutMs });
  } catch (error) {
    await stop();
    throw new Error(`etcd does not start: ${String(error)}\n${log}`, { cause: error });
  }
  return {
    endpoint,
    metric: async (name, label = "") => sumOf(await metrics(), name, label),
    stop,
  };
}

function sumOf(metrics: string, name: string, label: string): number {
  let sum = 0;
  for (const line of metrics.split("\n")) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (line.includes(label)) sum += Number(line.slice(line.lastIndexOf(" ") + 1));
  }
  return sum;
}

import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killed, launch, runs } from "../../support/children.ts";
import { until } from "../../support/until.ts";

/** A real etcd of one member. */
export interface EtcdProcess {
  readonly endpoint: string;
  /** What it said last, when it has ended by itself, or does so in an instant; undefined while it runs. */
  lastWords(): Promise<string | undefined>;
  stop(): Promise<void>;
}

const startTimeoutMs = 20_000;
const endTimeoutMs = 500;
const attempts = 5;

/** Starts an etcd with an empty store and waits until it serves. */
export async function startEtcd(binary: string, moreFlags: readonly string[] = []): Promise<EtcdProcess> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(binary, moreFlags);
    } catch (error) {
      // Between our look and its bind another process may take the port.
      if (attempt === attempts || !/address already in use/.test(String(error))) throw error;
    }
  }
}

async function startOnce(binary: string, moreFlags: readonly string[]): Promise<EtcdProcess> {
  const dir = await mkdtemp(join(tmpdir(), "tenure-differential-"));
  const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  const flags = [
    "--name=differential",
    `--data-dir=${dir}/data`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=differential=${peer}`,
    "--log-level=error",
    "--unsafe-no-fsync",
    // Its hashes of passwords take 70 ms otherwise.
    "--bcrypt-cost=4",
    ...moreFlags,
  ];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^ETCD(CTL)?_/.test(name)));
  const child = launch(binary, flags, { env });
  let log = "";
  child.stdout.resume();
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (log = (log + chunk).slice(-4_000)));
  const stop = async (): Promise<void> => {
    await killed(child);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const ready = async (): Promise<"healthy" | "gone" | false> => {
      if (!runs(child)) return "gone";
      const answer = await fetch(`${client}/health`, { signal: AbortSignal.timeout(2_000) });
      return /"health":\s*"?true/.test(await answer.text()) && "healthy";
    };
    const state = await until(ready, { timeoutMs: startTimeoutMs, what: "answer from etcd", intervalMs: 25 });
    if (state === "gone") throw new Error("etcd ended at its start");
    const lastWords = async (): Promise<string | undefined> => {
      const ended = await until(() => !runs(child), { timeoutMs: endTimeoutMs, what: "end" }).catch(() => false);
      return ended ? log : undefined;
    };
    return { endpoint: client, stop, lastWords };
  } catch (error) {
    await stop();
    throw new Error(`etcd does not start: ${String(error)}\n${log}`, { cause: error });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  return port;
}

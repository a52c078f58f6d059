import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { killed, launch } from "../../tests/support/children.ts";
import { reservePorts } from "../../tests/support/ports.ts";
import { settled, until } from "../../tests/support/until.ts";
import type { ServerName } from "./protocol.ts";

/** A server in a process of its own, with an empty store. */
export interface Server {
  readonly name: ServerName;
  readonly endpoint: string;
  readonly pid: number;
  /** Ends it and removes what it wrote. */
  stop(): Promise<void>;
}

const floor = fileURLToPath(new URL("./floor.js", import.meta.url));
const cli = fileURLToPath(new URL("../../../../packages/cli/bin/tenure.js", import.meta.url));
const dev = [cli, "dev", "--listen", "127.0.0.1:0", "--output", "json"];
const startTimeoutMs = 20_000;
const logLength = 2_000;

/**
 * Starts a server.
 *
 * @param etcd the binary of the real one
 */
export async function startServer(name: ServerName, etcd: string): Promise<Server> {
  const dir = await mkdtemp(join(tmpdir(), "tenure-bench-embed-"));
  const dataDir = join(dir, "data");
  const remove = (): Promise<void> => rm(dir, { recursive: true, force: true });
  try {
    const stop = remove;
    switch (name) {
      case "floor":
        return await startOwn(name, [floor], stop);
      case "embed":
        return await startOwn(name, dev, stop);
      case "embed, durable":
        return await startOwn(name, [...dev, "--data-dir", dataDir], stop);
      case "etcd, no fsync":
        return await startEtcd(name, etcd, ["--unsafe-no-fsync", `--data-dir=${dataDir}`], stop);
      case "etcd, fsync":
        return await startEtcd(name, etcd, [`--data-dir=${dataDir}`], stop);
    }
  } catch (error) {
    await remove();
    throw error;
  }
}

async function startOwn(name: ServerName, args: readonly string[], removed: () => Promise<void>): Promise<Server> {
  const child = launch(process.execPath, args, { env: process.env });
  const log = logOf(child);
  const stop = (): Promise<void> => killed(child).then(removed);
  try {
    const line = await settled(firstLine(child), { what: `${name}`, timeoutMs: startTimeoutMs });
    const { endpoint } = JSON.parse(line) as { readonly endpoint: string };
    return { name, endpoint, pid: child.pid ?? 0, stop };
  } catch (error) {
    await killed(child);
    throw new Error(`${name} does not start: ${log.text}`, { cause: error });
  }
}

/** How etcd is started, and where it listens then. */
export interface EtcdCommand {
  readonly endpoint: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Gives its ports back. */
  readonly release: () => void;
}

/** A way to start etcd on free ports. */
export async function etcdCommand(flags: readonly string[]): Promise<EtcdCommand> {
  const ports = await reservePorts(2);
  const [endpoint = "", peer = ""] = ports.map(({ port }) => `http://127.0.0.1:${port}`);
  const own = [
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    "--log-level=error",
  ];
  const release = (): void => ports.forEach((port) => port.release());
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD")));
  return { endpoint, args: [...own, ...flags], env, release };
}

async function startEtcd(
  name: ServerName,
  binary: string,
  flags: readonly string[],
  removed: () => Promise<void>,
): Promise<Server> {
  const { endpoint, args, env, release } = await etcdCommand(flags);
  const child = launch(binary, args, { env });
  const log = logOf(child);
  child.stdout.resume();
  const stop = async (): Promise<void> => {
    await killed(child);
    release();
    await removed();
  };
  const healthy = async (): Promise<boolean> => {
    const response = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(2_000) });
    return /"health":\s*"?true/.test(await response.text());
  };
  try {
    await until(healthy, { what: "etcd", timeoutMs: startTimeoutMs });
  } catch (error) {
    await stop();
    throw new Error(`etcd does not start: ${String(error)}\n${log.text}`, { cause: error });
  }
  return { name, endpoint, pid: child.pid ?? 0, stop };
}

/** The first line a process prints. */
export function firstLine(child: ChildProcessWithoutNullStreams): Promise<string> {
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("close", () => reject(new Error("it has ended")));
    child.once("error", reject);
  });
}

/** What a process says on stderr. */
export function logOf(child: ChildProcessWithoutNullStreams): { readonly text: string } {
  const log = { text: "" };
  child.once("error", (error) => (log.text += error.message));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (log.text = (log.text + chunk).slice(-logLength)));
  return log;
}

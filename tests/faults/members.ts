import { type ChildProcess, execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findEtcd } from "../../scripts/lib/etcd.mjs";
import { killed, launch } from "../support/children.ts";
import { reservePorts } from "../support/ports.ts";
import { until } from "../support/until.ts";

/** A real etcd of several members on loopback. */
export interface RealMembers extends AsyncDisposable {
  /** Where each member listens. */
  readonly endpoints: readonly string[];
  /** Runs etcdctl against the first member; throws when it fails. */
  etcdctl(...args: string[]): Promise<void>;
  /** Kills a member at once. */
  kill(member: number): Promise<void>;
}

/** How the members are started. */
export interface MembersOptions {
  /** The client URLs that a member tells others of; by default the one where it listens. */
  readonly advertised?: (member: number, endpoint: string) => string;
}

/** Starts three members and waits until each of them serves. */
export async function startMembers({ advertised }: MembersOptions = {}): Promise<RealMembers> {
  const { etcd, etcdctl } = await findEtcd("3.5");
  const dir = await mkdtemp(join(tmpdir(), "tenure-members-"));
  const ports = await reservePorts(6);
  const urls = ports.map(({ port }) => `http://127.0.0.1:${port}`);
  const endpoints = urls.slice(0, 3);
  const peers = urls.slice(3);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD")));
  const children: ChildProcess[] = endpoints.map((endpoint, member) => {
    const child = launch(
      etcd,
      [
        `--name=m${member}`,
        `--data-dir=${dir}/m${member}`,
        `--listen-client-urls=${endpoint}`,
        `--advertise-client-urls=${advertised?.(member, endpoint) ?? endpoint}`,
        `--listen-peer-urls=${peers[member]}`,
        `--initial-advertise-peer-urls=${peers[member]}`,
        `--initial-cluster=${peers.map((peer, index) => `m${index}=${peer}`).join(",")}`,
        "--initial-cluster-state=new",
        "--log-level=error",
        "--unsafe-no-fsync", // processes are killed here, not machines
      ],
      { env },
    );
    child.stdout.resume();
    child.stderr.resume();
    return child;
  });
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(killed));
    for (const port of ports) port.release();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    for (const endpoint of endpoints) {
      await until(() => healthy(endpoint), { what: `answer of ${endpoint}`, timeoutMs: 20_000, intervalMs: 50 });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoints,
    etcdctl: async (...args) => {
      const flags = [`--endpoints=${endpoints[0]}`, ...args];
      await promisify(execFile)(etcdctl, flags, { env: { ...env, ETCDCTL_API: "3" }, timeout: 20_000 });
    },
    kill: (member) => killed(children[member] as ChildProcess),
    [Symbol.asyncDispose]: stop,
  };
}

async function healthy(endpoint: string): Promise<boolean> {
  const response = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(2_000) });
  return /"health":\s*"?true/.test(await response.text());
}

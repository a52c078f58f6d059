import { readdirSync, readFileSync } from "node:fs";
import { findEtcd } from "../../scripts/lib/etcd.mjs";
import { launch } from "../support/children.ts";
import { type NodeProcess, run, type RunResult, spawnNode, tenureBin } from "../support/process.ts";
import { type EtcdctlResult, type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled } from "../support/until.ts";

/** Environment variables for a command, beside the ones of this process. */
export type Env = Readonly<Record<string, string | undefined>>;

/** A store to run the command on. */
export interface Store extends AsyncDisposable {
  readonly endpoint: string;
  etcdctl(...args: string[]): Promise<EtcdctlResult>;
}

/** The stores on which the command must behave the same. */
export const stores: readonly { readonly name: string; readonly start: () => Promise<Store> }[] = [
  { name: "etcd 3.5", start: startEtcd },
  { name: "the embedded etcd", start: startDev },
];

/** Runs `tenure ...args` to its end. */
export function tenure(args: readonly string[], env: Env = {}): Promise<RunResult> {
  return run([tenureBin, ...args], { env: environment(env), timeoutMs: 30_000 });
}

/** Starts `tenure ...args`. */
export function startTenure(args: readonly string[], env: Env = {}): NodeProcess {
  return spawnNode([tenureBin, ...args], { env: environment(env) });
}

/** Starts `tenure elect` and waits until it leads: the key it printed. */
export async function elected(elect: NodeProcess): Promise<string> {
  return elect.line(/\/[0-9a-f]+$/);
}

/** Starts `tenure dev` on a free port. */
async function startDev(): Promise<Store> {
  const { etcdctl } = await findEtcd("3.5");
  const dev = startTenure(["dev", "--listen", "127.0.0.1:0", "-o", "json"]);
  const { endpoint } = JSON.parse(await dev.line(/^\{/)) as { endpoint: string };
  return {
    endpoint,
    etcdctl: (...args) => controlled(etcdctl, args, endpoint),
    [Symbol.asyncDispose]: () => dev[Symbol.asyncDispose](),
  };
}

/** The keys under a prefix. */
export async function keys(store: Pick<RealEtcd, "etcdctl">, prefix: string): Promise<string[]> {
  const { stdout } = await store.etcdctl("get", prefix, "--prefix", "--keys-only");
  return stdout.split("\n").filter((line) => line !== "");
}

/** The leases of a store, in hex as in keys. */
export async function leases(store: Pick<RealEtcd, "etcdctl">): Promise<string[]> {
  const { stdout } = await store.etcdctl("lease", "list");
  const ids = stdout.split("\n").filter((line) => /^[0-9a-f]+$/.test(line));
  return ids.map((id) => id.replace(/^0+/, "")); // etcdctl pads them
}

/** The lines of a text, without the empty one after the last line break. */
export function linesOf(text: string): string[] {
  return text.replace(/\n$/, "").split("\n");
}

/** The processes that were started with this variable in their environment, by themselves or by a parent. */
export function processesWith(name: string, value: string): number[] {
  const wanted = `${name}=${value}`;
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(wanted);
      } catch {
        return false; // it ended meanwhile, or is another user's
      }
    })
    .map(Number);
}

// The developer's own settings would point the command elsewhere.
function environment(env: Env): Env {
  const names = Object.keys(process.env).filter((name) => /^(TENURE|ETCDCTL)_/.test(name));
  return { ...Object.fromEntries(names.map((name) => [name, undefined])), ...env };
}

async function controlled(etcdctl: string, args: readonly string[], endpoint: string): Promise<EtcdctlResult> {
  const child = launch(etcdctl, args, {
    env: { PATH: process.env["PATH"], ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: endpoint },
  });
  let stdout = "";
  let stderr = "";
  child.stdin.on("error", () => undefined).end();
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  const closed = new Promise<number>((resolve) => void child.once("close", (code) => resolve(code ?? -1)));
  const code = await settled(closed, { timeoutMs: 20_000, what: `end of etcdctl ${args.join(" ")}` });
  return { stdout, stderr, code };
}

import type { ChildProcess, ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findEtcd } from "../../scripts/lib/etcd.mjs";
import { killed, launch, runs } from "./children.ts";
import { reservePorts, type ReservedPort } from "./ports.ts";
import { until } from "./until.ts";

/** What etcdctl printed and its exit code. */
export interface EtcdctlResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/** A real etcd of one member on loopback. */
export interface RealEtcd extends AsyncDisposable {
  /** Its client endpoint, `http://127.0.0.1:port`, or `https://`; it stays over a restart. */
  readonly endpoint: string;
  /** Its full version, such as "3.5.16". */
  readonly version: string;
  /** The process id of the running server. */
  readonly pid: number;
  /** Runs etcdctl against it. */
  etcdctl(...args: string[]): Promise<EtcdctlResult>;
  /** Starts etcdctl against it with piped stdio; it is killed at the end at the latest. */
  spawnEtcdctl(...args: string[]): ChildProcessWithoutNullStreams;
  /** Freezes it: its connections stay open and nobody answers. */
  pause(): void;
  /** Ends a freeze. */
  resume(): void;
  /** Kills it at once; its data stays. */
  kill(): Promise<void>;
  /** Kills it when it runs, and starts it again with the same data and address. */
  restart(): Promise<void>;
  /** Kills it and removes its data. */
  stop(): Promise<void>;
}

/** Which etcd to start. */
export interface StartEtcdOptions {
  /** "3.5" by default. */
  readonly version?: "3.4" | "3.5";
  /** Further flags of the server. */
  readonly args?: readonly string[];
  /** Makes it speak TLS. */
  readonly tls?: EtcdTls;
}

/** The files of an etcd that speaks TLS, in PEM. */
export interface EtcdTls {
  /** The authority that both sides trust. The server reads it when it starts. */
  readonly caFile: string;
  /** The server's certificate, which it reads for each connection. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Given, the server wants such a certificate of everybody, and etcdctl shows this one. */
  readonly client?: { readonly certFile: string; readonly keyFile: string };
}

const startTimeoutMs = 20_000;
const etcdctlTimeoutMs = 20_000;
const attempts = 5;

/** Starts a real etcd with an empty store and waits until it serves. */
export async function startEtcd({ version = "3.5", args = [], tls }: StartEtcdOptions = {}): Promise<RealEtcd> {
  const binaries = await findEtcd(version);
  for (let attempt = 1; ; attempt++) {
    const dir = await mkdtemp(join(tmpdir(), "tenure-etcd-"));
    const ports = await reservePorts(3);
    const [clientPort, peerPort, plainPort] = ports.map(({ port }) => port);
    const endpoint = `${tls === undefined ? "http" : "https"}://127.0.0.1:${clientPort}`;
    // The health of a server that wants certificates is asked for where it wants none.
    const healthUrl = tls === undefined ? endpoint : `http://127.0.0.1:${plainPort}`;
    const flags = [
      ...serverFlags(dir, endpoint, `http://127.0.0.1:${peerPort}`, version),
      ...(tls === undefined ? [] : [...tlsFlags(tls), `--listen-metrics-urls=${healthUrl}`]),
      ...args,
    ];
    try {
      const child = await serve(binaries.etcd, flags, healthUrl);
      return member(binaries, { child, flags, endpoint, healthUrl, dir, ports, env: tlsEnv(tls) });
    } catch (error) {
      for (const each of ports) each.release();
      await rm(dir, { recursive: true, force: true });
      // A program that knows nothing of reservations may have taken the port.
      if (attempt < attempts && /address already in use/.test(String(error))) continue;
      throw error;
    }
  }
}

interface Member {
  child: ChildProcess;
  readonly flags: readonly string[];
  readonly endpoint: string;
  readonly healthUrl: string;
  readonly dir: string;
  readonly ports: readonly ReservedPort[];
  /** What etcdctl needs to know beside the endpoint. */
  readonly env: NodeJS.ProcessEnv;
}

function member(binaries: { etcd: string; etcdctl: string; version: string }, state: Member): RealEtcd {
  const { endpoint, healthUrl, flags, dir, ports } = state;
  const controls = new Set<ChildProcess>();
  const env = { ...cleanEnv(), ...state.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: endpoint };

  function spawnEtcdctl(...args: string[]): ChildProcessWithoutNullStreams {
    const child = launch(binaries.etcdctl, args, { env });
    controls.add(child);
    child.once("close", () => controls.delete(child));
    return child;
  }
  async function stop(): Promise<void> {
    await Promise.all([state.child, ...controls].map(killed));
    for (const each of ports) each.release();
    await rm(dir, { recursive: true, force: true });
  }
  return {
    endpoint,
    version: binaries.version,
    get pid() {
      return state.child.pid ?? -1;
    },
    etcdctl: (...args) => finished(spawnEtcdctl(...args), args),
    spawnEtcdctl,
    pause: () => void state.child.kill("SIGSTOP"),
    resume: () => void state.child.kill("SIGCONT"),
    kill: () => killed(state.child),
    restart: async () => {
      await killed(state.child);
      state.child = await serve(binaries.etcd, flags, healthUrl);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function serverFlags(dir: string, client: string, peer: string, version: string): string[] {
  return [
    "--name=test",
    `--data-dir=${dir}/data`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=test=${peer}`,
    "--log-level=warn",
    // 3.4 has no such flag; the tests kill processes, not machines.
    ...(version === "3.4" ? ["--logger=zap"] : ["--unsafe-no-fsync"]),
  ];
}

function tlsFlags({ caFile, certFile, keyFile, client }: EtcdTls): string[] {
  const flags = [`--cert-file=${certFile}`, `--key-file=${keyFile}`];
  return client === undefined ? flags : [...flags, "--client-cert-auth", `--trusted-ca-file=${caFile}`];
}

function tlsEnv(tls: EtcdTls | undefined): NodeJS.ProcessEnv {
  if (tls === undefined) return {};
  const { caFile, client } = tls;
  const own = client && { ETCDCTL_CERT: client.certFile, ETCDCTL_KEY: client.keyFile };
  return { ETCDCTL_CACERT: caFile, ...own };
}

async function serve(etcd: string, flags: readonly string[], healthUrl: string): Promise<ChildProcess> {
  const child = launch(etcd, flags, { env: cleanEnv() });
  let log = "";
  child.stdout.resume();
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    log = (log + chunk).slice(-4_000); // enough to say why it does not start
  });
  let failure: Error | undefined;
  child.once("error", (error) => {
    failure = error;
  });
  try {
    await until(
      async () => {
        if (failure !== undefined || !runs(child)) return "gone";
        return (await healthy(healthUrl)) && "healthy";
      },
      { timeoutMs: startTimeoutMs, what: "answer from etcd", intervalMs: 25 },
    );
    if (failure !== undefined || !runs(child)) throw failure ?? new Error("etcd ended at its start");
    return child;
  } catch (error) {
    await killed(child);
    throw new Error(`etcd does not start: ${String(error)}\n${log}`, { cause: error });
  }
}

async function healthy(url: string): Promise<boolean> {
  const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000) });
  return /"health":\s*"?true/.test(await response.text());
}

function finished(child: ChildProcessWithoutNullStreams, args: readonly string[]): Promise<EtcdctlResult> {
  let stdout = "";
  let stderr = "";
  child.stdin.on("error", () => undefined).end();
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`etcdctl ${args.join(" ")}: no end within ${etcdctlTimeoutMs} ms\n${stdout}${stderr}`));
    }, etcdctlTimeoutMs);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ stdout, stderr, code: code ?? -1 });
    });
  });
}

// etcd and etcdctl read flags from their environment, and the developer's would point them elsewhere.
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^ETCD(CTL)?_/.test(name)));
}

import type { ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";
import { killed, launch, runs } from "../../support/children.ts";
import { settled, until } from "../../support/until.ts";
import { now } from "./clock.ts";
import { Gateway } from "./gateway.ts";
import type { Trace } from "./history.ts";
import type { Security } from "./security.ts";

/** Where a member is, and how it is started. */
export interface MemberSettings {
  readonly etcd: string;
  readonly name: string;
  readonly dir: string;
  readonly clientPort: number;
  readonly peerPort: number;
  /** What the others are told to reach it by. */
  readonly advertisedPeerUrl: string;
  readonly initialCluster: string;
  readonly security: Security | undefined;
  readonly trace: Trace;
  /** Hears that the process goes on after it was stopped. */
  readonly onThaw: () => void;
}

const startTimeoutMs = 60_000; // a machine may be very busy; one that cannot start ends at once
const retryMs = 200;
const hangUpMs = 50;
/** Some times what a cluster stores between two compactions, and soon filled on purpose. */
export const quotaBytes: number = 16 * 1024 * 1024;
const logLength = 4_000; // enough to say why it ended

/** A process of a real etcd cluster. */
export class Member {
  readonly name: string;
  /** Its own address, not a link of the network. */
  readonly endpoint: string;
  readonly gateway: Gateway;
  readonly #settings: MemberSettings;
  #child: ChildProcess | undefined;
  #wanted = false;
  /** What it wrote, over all its starts. */
  #log = "";
  /** How it ended when nobody had asked it to. */
  readonly #ends: string[] = [];

  constructor(settings: MemberSettings) {
    this.#settings = settings;
    this.name = settings.name;
    this.endpoint = `${settings.security === undefined ? "http" : "https"}://127.0.0.1:${settings.clientPort}`;
    this.gateway = new Gateway(this.endpoint, settings.security?.adminTls);
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  /** What went wrong with the process itself, in its own words; undefined while it runs as it was told. */
  get trouble(): string | undefined {
    const last = this.#ends.at(-1);
    if (last === undefined) return undefined;
    const often = this.#ends.length === 1 ? "once" : `${this.#ends.length} times`;
    return `${this.name} ended by itself ${often}, at last with ${last}:\n${this.#log}`;
  }

  /** Starts the process, and again whenever it ends by itself. */
  start(): void {
    this.#wanted = true;
    this.#settings.trace(now(), `${this.name} starts`);
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD")));
    const child = launch(this.#settings.etcd, this.#flags(), { env });
    this.#child = child;
    child.stdout.resume();
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.#log = (this.#log + chunk).slice(-logLength);
    });
    child.once("error", (error) => this.#ends.push(error.message));
    // Not at "exit": only now all that it wrote has been read.
    child.once("close", (code, signal) => {
      if (!this.#wanted || this.#child !== child) return;
      this.#ends.push(signal ?? `code ${code}`);
      setTimeout(() => this.#wanted && this.#child === child && this.start(), retryMs);
    });
  }

  /** Waits until it serves. One that ends by itself instead is an error at once. */
  async serving(timeoutMs: number = startTimeoutMs): Promise<void> {
    const before = this.#ends.length;
    const served = async () => this.#ends.length > before || (await this.gateway.healthy());
    await until(served, { what: `answer of ${this.name}`, timeoutMs, intervalMs: 50 }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.trouble ?? this.#log}`, { cause: error });
    });
    if (this.#ends.length > before) throw new Error(this.trouble);
  }

  /** Ends it as a crash does; its data stays. */
  async kill(): Promise<void> {
    this.#settings.trace(now(), `${this.name} is killed`);
    this.#wanted = false;
    if (this.#child !== undefined) await killed(this.#child);
  }

  /** Ends it as an administrator does, and starts it again. */
  async restart(): Promise<void> {
    this.#wanted = false;
    const child = this.#child;
    if (child !== undefined && runs(child)) {
      const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.kill("SIGTERM");
      // It waits for those who still listen; the nodes are told to go, and the witness does not know.
      const hangingUp = setInterval(() => this.gateway.hangUp(), hangUpMs);
      await settled(gone, { what: `end of ${this.name}`, timeoutMs: startTimeoutMs }).finally(() =>
        clearInterval(hangingUp),
      );
    }
    this.start();
  }

  freeze(): void {
    this.#settings.trace(now(), `${this.name} is stopped`);
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#settings.trace(now(), `${this.name} goes on`);
    this.#settings.onThaw();
    this.#child?.kill("SIGCONT");
  }

  /** Kills it and removes its data. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#settings.dir, { recursive: true, force: true });
  }

  #flags(): string[] {
    const { name, dir, clientPort, peerPort, advertisedPeerUrl, initialCluster, security } = this.#settings;
    const scheme = security === undefined ? "http" : "https";
    return [
      `--name=${name}`,
      `--data-dir=${dir}/data`,
      `--listen-client-urls=${scheme}://127.0.0.1:${clientPort}`,
      `--advertise-client-urls=${scheme}://127.0.0.1:${clientPort}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-advertise-peer-urls=${advertisedPeerUrl}`,
      `--initial-cluster=${initialCluster}`,
      "--initial-cluster-state=new",
      "--log-level=error",
      `--quota-backend-bytes=${quotaBytes}`,
      "--unsafe-no-fsync", // processes are killed here, not machines
      ...(security?.etcdFlags ?? []),
    ];
  }
}

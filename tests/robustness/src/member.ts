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

const startTimeoutMs = 20_000;
const retryMs = 200;

/** A process of a real etcd cluster. */
export class Member {
  readonly name: string;
  /** Its own address, not a link of the network. */
  readonly endpoint: string;
  readonly gateway: Gateway;
  readonly #settings: MemberSettings;
  #child: ChildProcess | undefined;
  #wanted = false;
  #log = "";

  constructor(settings: MemberSettings) {
    this.#settings = settings;
    this.name = settings.name;
    this.endpoint = `${settings.security === undefined ? "http" : "https"}://127.0.0.1:${settings.clientPort}`;
    this.gateway = new Gateway(this.endpoint, settings.security?.adminTls);
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  /** Starts the process, again and again until it stays: its port may be taken for a moment. */
  start(): void {
    this.#wanted = true;
    this.#log = "";
    this.#settings.trace(now(), `${this.name} starts`);
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD")));
    const child = launch(this.#settings.etcd, this.#flags(), { env });
    this.#child = child;
    child.stdout.resume();
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.#log = (this.#log + chunk).slice(-4_000);
    });
    child.once("error", () => undefined); // no process, no answer: whoever waits for it says so
    child.once("exit", () => {
      if (this.#wanted && this.#child === child) setTimeout(() => this.#wanted && this.start(), retryMs);
    });
  }

  /** Waits until it serves. */
  async serving(timeoutMs: number = startTimeoutMs): Promise<void> {
    await until(() => this.gateway.healthy(), { what: `answer of ${this.name}`, timeoutMs, intervalMs: 50 }).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}\n${this.#log}`, { cause: error });
      },
    );
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
      await settled(gone, { what: `end of ${this.name}`, timeoutMs: startTimeoutMs });
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
      "--unsafe-no-fsync", // processes are killed here, not machines
      ...(security?.etcdFlags ?? []),
    ];
  }
}

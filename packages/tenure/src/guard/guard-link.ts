import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { backoffMs, systemClock, systemRandom } from "@tenure/etcd/runtime";
import { TenureError } from "../errors.ts";
import { type GuardedStore, type GuardMessage, type OtherMessage, readLines } from "./protocol.ts";

/** Hears of the leases of a process, to revoke them when it dies. */
export interface LeaseGuard {
  /** A lease was granted. */
  lease(leaseId: bigint, ttlMs: number): void;
  /** A lease is revoked, or left to its end. */
  released(leaseId: bigint): void;
}

/** What a guard is made of. */
export interface GuardLinkOptions {
  /** The guard's program, which calls `guardParent`. Default: one that revokes leases and does nothing else. */
  readonly program?: URL | undefined;
  readonly store: GuardedStore;
  /** Told when a guard ended, and another one is started. */
  readonly onLost: (why: string) => void;
  /** Told when the guard reports something. */
  readonly onReport?: ((report: OtherMessage) => void) | undefined;
  /** Whether it writes to our stderr. Default: false. */
  readonly speaks?: boolean | undefined;
}

/** From the death of a guard to the next one; the longer, the more often it dies. */
const RESTART_BOUNDS = { firstMs: 200, maxMs: 5000 };
/** A guard that lived for longer is not failing at its start. */
const AT_WORK_MS = 10_000;
/** A guard with so much unread, beside what it was told at its start, is frozen. */
const MAX_UNREAD_BYTES = 64 * 1024;
/** A guard runs little code, and seldom: what Node takes to run it fast is not needed. A quarter less memory. */
const NODE_FLAGS = [
  "--max-semi-space-size=1",
  "--max-old-space-size=64",
  "--no-opt",
  "--optimize-for-size",
  "--max-lazy",
];
/** All that a guard may need of our environment, which may hold the secrets of others. */
const ENVIRONMENT = ["PATH", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "TENURE_DEBUG", "SystemRoot"];

/**
 * A process's side of its guard: keeps one alive, and tells each new one all that counts.
 *
 * It keeps nothing alive: neither the guard nor the pipe to it is a reason for the process to go on.
 */
export class GuardLink implements LeaseGuard {
  readonly #options: GuardLinkOptions;
  readonly #program: string;
  /** What a new guard has to know, by what it is about. */
  readonly #kept = new Map<string, GuardMessage | OtherMessage>();
  #child: ChildProcess | undefined;
  /** How much of what the guard was told at its start it may not have read yet, in bytes. */
  #toldAtStart = 0;
  #cancelRestart: () => void = () => undefined;
  #deaths = 0;
  #closed = false;

  /** Starts a guard. Throws `invalid-argument` when its program is missing, as in a bundle. */
  constructor(options: GuardLinkOptions) {
    this.#options = options;
    this.#program = fileURLToPath(options.program ?? new URL("./lease-guard.js", import.meta.url));
    if (!existsSync(this.#program)) {
      throw new TenureError(
        "invalid-argument",
        `the guard's program is missing at ${this.#program}: is this a bundle?`,
      );
    }
    this.keep("process", { t: "process", pid: process.pid, store: readable(options.store) });
    this.#start();
  }

  /** A lease to revoke when this process dies. */
  lease(leaseId: bigint, ttlMs: number): void {
    const id = leaseId.toString(16);
    this.keep(`lease ${id}`, { t: "lease", id, ttlMs });
  }

  /** A lease that needs no revocation any more. */
  released(leaseId: bigint): void {
    const id = leaseId.toString(16);
    this.drop(`lease ${id}`, { t: "released", id });
  }

  /** Tells the guard, and each one after it, until it is dropped or replaced by another message about the same. */
  keep(about: string, message: GuardMessage | OtherMessage): void {
    this.#kept.set(about, message);
    this.#send(message);
  }

  /** The same about several things that one message says at once; a new guard is told of each by itself. */
  keepEach(all: Iterable<readonly [about: string, message: OtherMessage]>, told: OtherMessage): void {
    for (const [about, message] of all) this.#kept.set(about, message);
    this.#send(told);
  }

  /** Tells the guard that something does not count any more. */
  drop(about: string, message: GuardMessage | OtherMessage): void {
    if (this.#kept.delete(about)) this.#send(message);
  }

  /** Ends the guard: there is nothing left to guard. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelRestart();
    this.#send({ t: "done" });
    this.#child?.stdin?.end();
  }

  #start(): void {
    const startedAt = systemClock.now();
    // Loaded by those who have a guard.
    const { spawn } = process.getBuiltinModule("node:child_process");
    // A session of its own, so that nothing that ends our group ends the guard; a folder that nobody wants to remove.
    const child = spawn(process.execPath, [...NODE_FLAGS, this.#program], {
      detached: true,
      windowsHide: true,
      cwd: dirname(this.#program),
      env: Object.fromEntries(ENVIRONMENT.map((name) => [name, process.env[name]])),
      stdio: ["pipe", "pipe", this.#options.speaks === true ? 2 : "ignore"],
    });
    this.#child = child;
    child.stdin?.on("error", () => undefined);
    void readLines(child.stdout, (line) => this.#options.onReport?.(JSON.parse(line) as OtherMessage));
    let over = false;
    const lost = (why: string): void => {
      // A process that could not be started tells so, and may tell its exit as well.
      if (!over && !this.#closed) this.#lost(why, systemClock.now() - startedAt);
      over = true;
    };
    child.once("exit", (code, signal) => lost(signal ?? `exit code ${code}`));
    child.on("error", (error) => lost(error.message));
    child.unref();
    // Pipes are sockets in Node, whatever their types say.
    for (const pipe of [child.stdin, child.stdout]) (pipe as Socket | null)?.unref();
    const told = Array.from(this.#kept.values(), lineOf).join("");
    this.#toldAtStart = Buffer.byteLength(told);
    child.stdin?.write(told, () => {
      if (this.#child === child) this.#toldAtStart = 0;
    });
  }

  #send(message: GuardMessage | OtherMessage): void {
    const stdin = this.#child?.stdin;
    if (this.#child === undefined || !stdin?.writable) return;
    stdin.write(lineOf(message));
    if (stdin.writableLength > this.#toldAtStart + MAX_UNREAD_BYTES) this.#child.kill("SIGKILL");
  }

  #lost(why: string, livedMs: number): void {
    if (livedMs > AT_WORK_MS) this.#deaths = 0;
    const pauseMs = backoffMs(this.#deaths++, RESTART_BOUNDS, systemRandom);
    this.#cancelRestart = systemClock.after(pauseMs, () => this.#start());
    this.#options.onLost(why);
  }
}

/** A message as it goes over the pipe. */
function lineOf(message: GuardMessage | OtherMessage): string {
  return `${JSON.stringify(message)}\n`;
}

/** What JSON can hold: PEM is text, and a resolver of our own is nothing that could be sent. */
function readable({ endpoints, discoverySrv, discoverMembers, tls, auth }: GuardedStore): GuardedStore {
  const text = (pem: string | Uint8Array | undefined): string | undefined =>
    pem === undefined || typeof pem === "string" ? pem : Buffer.from(pem).toString("latin1");
  return {
    endpoints,
    discoverySrv: discoverySrv && { ...discoverySrv, resolver: undefined },
    discoverMembers,
    auth,
    tls: tls && { ...tls, ca: text(tls.ca), cert: text(tls.cert), key: text(tls.key) },
  };
}

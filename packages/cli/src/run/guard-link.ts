import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { systemClock } from "@tenure/etcd/runtime";
import type { ConnectOptions } from "tenure";
import { TREE_VARIABLE, type TreeMark } from "./census.ts";
import { type GuardMessage, momentIn } from "./guard-protocol.ts";
import type { Log } from "./log.ts";

/** From the death of a guard to the next one. */
const RESTART_MS = 200;
/** A guard with so much unread is frozen. */
const MAX_UNREAD_BYTES = 64 * 1024;
/** A deadline that moved by less is the same: a clock that is read twice. */
const SAME_DEADLINE_MS = 20;
/** A guard needs no more, and most of what Node takes is not needed. */
const NODE_FLAGS = ["--max-semi-space-size=1", "--max-old-space-size=64"];

/** A supervisor's side of its guard: keeps one alive, and tells each new one all that counts. */
export class GuardLink {
  readonly #connect: ConnectOptions;
  readonly #log: Log;
  readonly #onFired: () => void;
  readonly #trees = new Map<string, TreeMark>();
  #lease: GuardMessage | undefined;
  #deadline: (GuardMessage & { readonly t: "deadline" }) | undefined;
  #child: ChildProcess;
  /** The last one that ended: it may tell so twice. */
  #lostChild: ChildProcess | undefined;
  #closed = false;

  /** @param onFired told when the guard kills what it guards, because the deadline has passed */
  constructor(connect: ConnectOptions, log: Log, onFired: () => void) {
    this.#connect = connect;
    this.#log = log;
    this.#onFired = onFired;
    this.#child = this.#start();
  }

  /** The lease to revoke when this process dies. */
  lease(leaseId: bigint, ttlMs: number): void {
    this.#lease = { t: "lease", id: leaseId.toString(16), ttlMs };
    this.#send(this.#lease);
  }

  /** A tree that must not outlive this process; told again when its group is known. */
  tree(tree: TreeMark): void {
    this.#trees.set(tree.id, tree);
    this.#send({ t: "tree", tree });
  }

  /** Nothing of a tree lives any more. */
  gone(id: string): void {
    this.#trees.delete(id);
    this.#send({ t: "gone", id });
  }

  /** All trees are to be killed in so many milliseconds, unless told otherwise by then; undefined: never. */
  deadline(durationMs: number | undefined): void {
    const at = durationMs === undefined ? null : momentIn(durationMs);
    const before = this.#deadline?.at;
    if (at === before) return;
    if (at && before && Math.abs(at.monotonicMs - before.monotonicMs) < SAME_DEADLINE_MS) return;
    this.#deadline = { t: "deadline", at };
    this.#send(this.#deadline);
  }

  /** Ends the guard: there is nothing left to guard. */
  close(): void {
    this.#closed = true;
    this.#send({ t: "done" });
    this.#child.stdin?.end();
    this.#child.unref();
  }

  #start(): ChildProcess {
    const env = { ...process.env };
    for (const name of Object.keys(env)) {
      if (/^(TENURE|ETCDCTL)_/.test(name) && name !== "TENURE_DEBUG") delete env[name];
    }
    delete env[TREE_VARIABLE];
    // A session of its own, so that nothing that ends the supervisor's group ends the guard.
    const child = spawn(process.execPath, [...NODE_FLAGS, fileURLToPath(new URL("./guard.js", import.meta.url))], {
      detached: true,
      env,
      stdio: ["pipe", "pipe", 2],
    });
    child.stdin?.on("error", () => undefined);
    child.stdout?.on("data", () => this.#onFired());
    child.once("exit", (code, signal) => this.#lost(child, signal ?? `exit code ${code}`));
    child.on("error", (error) => this.#lost(child, error.message));
    this.#child = child;
    const { endpoints, tls, auth } = this.#connect;
    this.#send({ t: "store", connect: { endpoints, tls, auth } });
    if (this.#lease !== undefined) this.#send(this.#lease);
    for (const tree of this.#trees.values()) this.#send({ t: "tree", tree });
    if (this.#deadline !== undefined) this.#send(this.#deadline);
    return child;
  }

  #send(message: GuardMessage): void {
    const { stdin } = this.#child;
    if (stdin === null || !stdin.writable) return;
    stdin.write(`${JSON.stringify(message)}\n`);
    if (stdin.writableLength > MAX_UNREAD_BYTES) this.#child.kill("SIGKILL");
  }

  #lost(child: ChildProcess, why: string): void {
    if (this.#closed || this.#lostChild === child) return;
    this.#lostChild = child;
    this.#log.note(`the guard ended (${why}); starting another`);
    systemClock.after(RESTART_MS, () => {
      if (!this.#closed) this.#start();
    });
  }
}

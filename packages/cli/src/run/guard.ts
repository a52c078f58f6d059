/**
 * The guard of a supervisor: a process that kills what the supervisor started, when the supervisor cannot.
 *
 * It is told what lives, and until when, over a pipe. When the pipe ends the supervisor is dead: the guard kills all
 * trees at once, and when it has seen that nothing of them lives, revokes the lease, so that others need not wait for
 * its end. When the deadline passes the supervisor is frozen or blocked: the guard kills all trees, and leaves the
 * lease to run out, as the supervisor may go on any moment. So it can make a term shorter, never longer.
 *
 * @module
 */
import { backoffMs, systemClock, systemRandom } from "@tenure/etcd/runtime";
import type { EtcdClient } from "@tenure/etcd";
import { removeCgroup } from "./cgroup.ts";
import { killTree, type TreeMark } from "./census.ts";
import { type GuardMessage, type GuardReport, type Moment, untilMoment } from "./guard-protocol.ts";
import { Log } from "./log.ts";

const REVOKE_BOUNDS = { firstMs: 20, maxMs: 500 };
/** A lease that was not revoked by then is left to its TTL; only a first answer says how long that is. */
const REVOKE_TIMEOUT_MS = 2000;

const trees = new Map<string, TreeMark>();
const log = new Log();
let client: Promise<EtcdClient> | undefined;
let lease: { readonly id: bigint; readonly ttlMs: number } | undefined;
let deadline: Moment | undefined;
let cancelTimer: () => void = () => undefined;

function receive(message: GuardMessage): void {
  switch (message.t) {
    case "store":
      // Loaded while there is time: the files may be replaced by an update.
      client = import("@tenure/etcd").then(({ EtcdClient }) => new EtcdClient(message.connect));
      // Reported when it is needed.
      client.catch(() => undefined);
      return;
    case "lease":
      lease = { id: BigInt(`0x${message.id}`), ttlMs: message.ttlMs };
      return;
    case "tree":
      trees.set(message.tree.id, message.tree);
      return;
    case "gone":
      trees.delete(message.id);
      return;
    case "deadline":
      deadline = message.at ?? undefined;
      armDeadline();
      return;
    case "done":
      process.exit(0);
  }
}

function armDeadline(): void {
  cancelTimer();
  if (deadline === undefined) return;
  cancelTimer = systemClock.after(Math.max(0, untilMoment(deadline)), () => {
    // If we were the ones who stood still, a later deadline may lie in the pipe: that is read before this runs.
    setImmediate(() => {
      if (deadline === undefined) return;
      if (untilMoment(deadline) > 0) armDeadline();
      else void fire();
    });
  });
}

async function fire(): Promise<void> {
  deadline = undefined;
  process.stdout.write(`${JSON.stringify({ t: "fired" } satisfies GuardReport)}\n`);
  await killAll();
}

/** Kills every tree; false when something may be left. */
async function killAll(): Promise<boolean> {
  const limitMs = lease?.ttlMs ?? REVOKE_TIMEOUT_MS;
  const outcomes = await Promise.all([...trees.values()].map((tree) => killTree(tree, limitMs)));
  for (const { cgroup } of trees.values()) if (cgroup !== undefined) removeCgroup(cgroup);
  return outcomes.every(({ dead }) => dead);
}

async function supervisorDied(): Promise<void> {
  cancelTimer();
  deadline = undefined;
  const diedAt = systemClock.now();
  if (!(await killAll())) return log.note("guard: not everything could be killed; the lease is left to run out");
  if (lease === undefined || client === undefined) return;
  const store = await client;
  const { id, ttlMs } = lease;
  for (let attempt = 0; systemClock.now() < diedAt + ttlMs; attempt++) {
    try {
      await store.lease.revoke(id, { timeoutMs: REVOKE_TIMEOUT_MS });
      return;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "not-found") return;
      const pauseMs = backoffMs(attempt, REVOKE_BOUNDS, systemRandom);
      await new Promise<void>((resolve) => void systemClock.after(pauseMs, resolve));
    }
  }
}

async function main(): Promise<void> {
  // The terminal's Ctrl-C, and a service manager that ends all processes of a service: the supervisor says what to do.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) process.on(name, () => undefined);
  process.stdout.on("error", () => undefined);
  let rest = "";
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) receive(JSON.parse(line) as GuardMessage);
  });
  await new Promise<void>((resolve) => {
    for (const event of ["end", "error", "close"]) process.stdin.once(event, () => resolve());
  });
  try {
    await supervisorDied();
  } catch (error) {
    log.note(`guard: the lease is left to run out: ${error instanceof Error ? error.message : String(error)}`);
  }
  process.exit(0);
}

await main();

import { writeFileSync } from "node:fs";
import { EtcdClient, EtcdError } from "@tenure/etcd";
import { backoffMs, systemClock, systemRandom } from "@tenure/etcd/runtime";
import { type GuardedStore, type GuardMessage, type OtherMessage, readLines } from "./protocol.ts";

/** What a guard does besides revoking leases. */
export interface Duties {
  /** Is given every message that is not about leases. */
  readonly receive?: ((message: OtherMessage) => void) | undefined;
  /** The process is gone: ends what it left behind. False when something may be left: the leases run out then. */
  readonly finish?: (() => Promise<boolean>) | undefined;
  /** Told why leases are left to run out. */
  readonly note: (text: string) => void;
}

const REVOKE_BOUNDS = { firstMs: 20, maxMs: 500 };
/** A first answer says how long this usually takes. */
const REVOKE_TIMEOUT_MS = 2000;
/** A process that is being killed closes its files a moment before it is dead. */
const DEATH_BOUNDS = { firstMs: 1, maxMs: 50 };
/** Processes with a lower score are killed later when memory is short; lowering it takes a right that we may lack. */
const OOM_SCORE_ADJ = "-500";

/**
 * The whole life of a guard: waits until the process that started it is dead, then revokes its leases, so that others
 * need not wait for their end. The process tells over a pipe what its leases are; the end of the pipe is the sign, and
 * the death is confirmed before anything is revoked. So a guard can make a term shorter, never longer.
 */
export async function guardParent({ receive, finish = () => Promise.resolve(true), note }: Duties): Promise<never> {
  const leases = new Map<string, number>();
  let guarded: { readonly pid: number; readonly etcd: EtcdClient } | undefined;
  preferOthersForKilling();
  // The terminal's Ctrl-C, and a service manager that ends all processes of a service: our process says what to do.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) process.on(name, () => undefined);
  process.stdout.on("error", () => undefined);
  await readLines(process.stdin, (line) => {
    const message = JSON.parse(line) as GuardMessage;
    if (message.t === "process") guarded ??= { pid: message.pid, etcd: storeOf(message.store) };
    else if (message.t === "lease") {
      if (leases.size === 0) warmUp(guarded?.etcd, message.id);
      leases.set(message.id, message.ttlMs);
    } else if (message.t === "released") leases.delete(message.id);
    else if (message.t === "done") process.exit(0);
    else receive?.(message);
  });
  try {
    if (!(await finish())) note("guard: not everything could be killed; the lease is left to run out");
    else if (guarded !== undefined && (await dead(guarded.pid, longest(leases)))) await revokeAll(guarded.etcd, leases);
  } catch (error) {
    note(`guard: the lease is left to run out: ${error instanceof Error ? error.message : String(error)}`);
  }
  process.exit(0);
}

function storeOf({ endpoints, discoverySrv, discoverMembers, tls, auth }: GuardedStore): EtcdClient {
  return new EtcdClient({ endpoints, discoverySrv, discoverMembers, tls, auth });
}

/** Makes the connection that the revocation will need, and has the code run once: that is most of what it takes. */
function warmUp(etcd: EtcdClient | undefined, leaseId: string): void {
  // Nothing depends on it.
  etcd?.lease.timeToLive(idOf(leaseId)).catch(() => undefined);
}

function idOf(hex: string): bigint {
  return BigInt(`0x${hex}`);
}

/** Waits until a process is dead; false if it is not within the limit, as one that closed the pipe and lives on. */
async function dead(pid: number, limitMs: number): Promise<boolean> {
  const giveUpAt = systemClock.now() + limitMs;
  for (let attempt = 0; !isDead(pid); attempt++) {
    if (systemClock.now() >= giveUpAt) return false;
    await pause(backoffMs(attempt, DEATH_BOUNDS, systemRandom));
  }
  return true;
}

/** Whether our parent is dead. A child of a dead process gets another parent; on Windows it does not. */
function isDead(pid: number): boolean {
  if (process.platform !== "win32") return process.ppid !== pid;
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

async function revokeAll(etcd: EtcdClient, leases: ReadonlyMap<string, number>): Promise<void> {
  await Promise.all([...leases].map(([id, ttlMs]) => revoke(etcd, idOf(id), ttlMs)));
}

/** Revokes a lease, trying again until it must have run out by itself. */
async function revoke(etcd: EtcdClient, leaseId: bigint, ttlMs: number): Promise<void> {
  const expiredAt = systemClock.now() + ttlMs;
  for (let attempt = 0; systemClock.now() < expiredAt; attempt++) {
    try {
      await etcd.lease.revoke(leaseId, { timeoutMs: REVOKE_TIMEOUT_MS });
      return;
    } catch (error) {
      const { code } = EtcdError.from(error);
      if (code === "not-found" || code === "permission-denied") return;
      await pause(backoffMs(attempt, REVOKE_BOUNDS, systemRandom));
    }
  }
}

function longest(leases: ReadonlyMap<string, number>): number {
  return Math.max(0, ...leases.values());
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => void systemClock.after(durationMs, resolve));
}

function preferOthersForKilling(): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
  } catch {
    // Not Linux, or not allowed: it is small, which protects it as well.
  }
}

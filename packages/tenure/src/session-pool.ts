import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { abortedError } from "./errors.ts";
import type { LeaseGuard } from "./guard/guard-link.ts";
import { grantSession, type Session } from "./session.ts";
import { pause, Retry } from "./wait.ts";

/** One user's hold on a shared session. */
export interface SessionHold {
  readonly session: Session;
  /** Gives the session back; the lease of a session that nobody holds is revoked. Idempotent. */
  readonly release: () => void;
  /** Lets nobody else join this session: something on its lease is in doubt. */
  readonly retire: () => void;
}

interface Shared {
  readonly granted: Promise<Session>;
  /** Once it is there, for those who need not wait. */
  session: Session | undefined;
  readonly cancelGrant: AbortController;
  users: number;
}

const MAX_ENDED = 1000;
const REVOKE_BOUNDS = { firstMs: 50, maxMs: 1000 };

/** Shares one session for each TTL among all candidacies of a client. */
export class SessionPool {
  readonly #etcd: EtcdClient;
  /** Runs something that must be finished before the client closes. */
  readonly #inBackground: (work: Promise<void>) => void;
  readonly #guard: LeaseGuard | undefined;
  readonly #shared = new Map<number, Shared>();
  readonly #live = new Set<Session>();
  /** Leases of sessions that ended last. */
  readonly #endedIds = new Set<bigint>();

  /** @param guard hears of every lease that has to be revoked should this process die */
  constructor(etcd: EtcdClient, inBackground: (work: Promise<void>) => void, guard: LeaseGuard | undefined) {
    this.#etcd = etcd;
    this.#guard = guard;
    this.#inBackground = inBackground;
    etcd.lineage.onChanged((reason) => {
      for (const session of this.#live) session.end("cluster-changed", reason);
    });
  }

  /** Whether this lease is one of ours, or was, not too many sessions ago. */
  owns(leaseId: bigint): boolean {
    for (const session of this.#live) if (session.leaseId === leaseId) return true;
    return this.#endedIds.has(leaseId);
  }

  /** Joins the session for this TTL, granting a lease if there is none. */
  async acquire(ttlMs: number, signal: AbortSignal | undefined): Promise<SessionHold> {
    if (signal?.aborted === true) throw abortedError(signal);
    const shared = this.#shared.get(ttlMs) ?? this.#grant(ttlMs);
    shared.users++;
    const release = once(() => this.#release(ttlMs, shared));
    try {
      const session = shared.session ?? (await unlessAborted(shared.granted, signal));
      return { session, release, retire: () => this.#retire(ttlMs, shared) };
    } catch (error) {
      release();
      throw error;
    }
  }

  #grant(ttlMs: number): Shared {
    const cancelGrant = new AbortController();
    const granted = grantSession(this.#etcd, ttlMs, cancelGrant.signal);
    const shared: Shared = { granted, session: undefined, cancelGrant, users: 0 };
    this.#shared.set(ttlMs, shared);
    granted.then(
      (session) => {
        shared.session = session;
        this.#live.add(session);
        this.#guard?.lease(session.leaseId, session.ttlMs);
        const ended = (): void => {
          this.#live.delete(session);
          this.#remember(session.leaseId);
          // One that is given back is revoked next, which this process may not live to see.
          if (session.error?.sessionEnd !== "closed") this.#guard?.released(session.leaseId);
          this.#retire(ttlMs, shared);
        };
        session.ended.add(ended);
        if (session.error !== undefined) ended();
      },
      () => this.#retire(ttlMs, shared),
    );
    return shared;
  }

  /** A key outlives its session by a TTL or so, in which there are not that many sessions. */
  #remember(leaseId: bigint): void {
    const [oldest] = this.#endedIds;
    if (oldest !== undefined && this.#endedIds.size >= MAX_ENDED) this.#endedIds.delete(oldest);
    this.#endedIds.add(leaseId);
  }

  #retire(ttlMs: number, shared: Shared): void {
    if (this.#shared.get(ttlMs) === shared) this.#shared.delete(ttlMs);
  }

  #release(ttlMs: number, shared: Shared): void {
    if (--shared.users > 0) return;
    this.#retire(ttlMs, shared);
    if (shared.session === undefined) shared.cancelGrant.abort();
    this.#inBackground(this.#giveBack(shared, ttlMs));
  }

  /** Ends a session and its lease, once it is known whether there is one. */
  async #giveBack(shared: Shared, ttlMs: number): Promise<void> {
    const session = await shared.granted.catch(() => undefined);
    // A session that ended runs out by itself: revoking its lease would take the margin to stop in from its user.
    if (session === undefined || session.error !== undefined) return;
    session.end("closed", "the session was given back");
    // In another turn: in this one somebody may be elected by the same event, whose work goes first.
    await pause(this.#etcd.clock, 0, this.#etcd.closed);
    await this.#revoke(session.leaseId, ttlMs);
    this.#guard?.released(session.leaseId);
  }

  /** Revokes a lease, trying again until it must have expired by itself. */
  async #revoke(leaseId: bigint, ttlMs: number): Promise<void> {
    const { clock, random, lease, closed } = this.#etcd;
    const retry = new Retry(clock, random, REVOKE_BOUNDS);
    const expiresAt = clock.now() + ttlMs;
    while (clock.now() < expiresAt && !closed.aborted) {
      try {
        await lease.revoke(leaseId);
        return;
      } catch (error) {
        // Gone already, or refused for good: its TTL takes care of what is left.
        const { code } = EtcdError.from(error);
        if (code === "not-found" || code === "permission-denied") return;
        await retry.pause(closed);
      }
    }
  }
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    action();
  };
}

/** The promise's outcome, or `aborted` as soon as the signal says so. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortedError(signal));
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

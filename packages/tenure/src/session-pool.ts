import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { offAbort, onAbort } from "@tenure/etcd/runtime";
import { abortedError } from "./errors.ts";
import type { LeaseGuard } from "./guard/guard-link.ts";
import { grantSession, type Session } from "./session.ts";
import { pause, Retry } from "./wait.ts";

/** One user's hold on a shared session. */
export class SessionHold {
  readonly session: Session;
  readonly #shared: Shared;
  #released = false;

  /** Use {@link SessionPool.acquire}. */
  constructor(session: Session, shared: Shared) {
    this.session = session;
    this.#shared = shared;
  }

  /** Gives the session back; the lease of a session that nobody holds is revoked. Idempotent. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#shared.release();
  }

  /** Lets nobody else join this session: something on its lease is in doubt. */
  retire(): void {
    this.#shared.retire();
  }
}

interface Shared {
  /** One of its users does without it from now on. */
  readonly release: () => void;
  /** Nobody else may join it. */
  readonly retire: () => void;
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

  /** Joins the session for this TTL, granting a lease if there is none; at once where there is one. */
  acquire(ttlMs: number, signal: AbortSignal): SessionHold | Promise<SessionHold> {
    if (signal.aborted) throw abortedError(signal);
    const shared = this.#shared.get(ttlMs) ?? this.#grant(ttlMs);
    shared.users++;
    return shared.session === undefined ? this.#granted(shared, signal) : new SessionHold(shared.session, shared);
  }

  async #granted(shared: Shared, signal: AbortSignal): Promise<SessionHold> {
    try {
      return new SessionHold(await unlessAborted(shared.granted, signal), shared);
    } catch (error) {
      shared.release();
      throw error;
    }
  }

  #grant(ttlMs: number): Shared {
    const cancelGrant = new AbortController();
    const granted = grantSession(this.#etcd, ttlMs, cancelGrant.signal);
    const shared: Shared = {
      granted,
      session: undefined,
      cancelGrant,
      users: 0,
      release: () => this.#release(ttlMs, shared),
      retire: () => this.#retire(ttlMs, shared),
    };
    this.#shared.set(ttlMs, shared);
    granted.then((session) => {
      shared.session = session;
      this.#live.add(session);
      this.#guard?.lease(session.leaseId, session.ttlMs);
      const ended = (): void => {
        this.#live.delete(session);
        this.#remember(session.leaseId);
        // One that is given back is revoked next, which this process may not live to see.
        if (session.error?.sessionEnd !== "closed") this.#guard?.released(session.leaseId);
        shared.retire();
      };
      session.ended.add(ended);
      if (session.error !== undefined) ended();
    }, shared.retire);
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
    // In another turn: in this one somebody may be elected by the same event, whose work goes first.
    await pause(this.#etcd.clock, 0, this.#etcd.closed);
    // A session that ended runs out by itself: revoking its lease would take the margin to stop in from its user.
    if (session === undefined || session.error !== undefined) return;
    session.end("closed", "the session was given back");
    await this.#revoke(session.leaseId, ttlMs);
    this.#guard?.released(session.leaseId);
  }

  /** Revokes a lease, trying again until it must have expired by itself. */
  async #revoke(leaseId: bigint, ttlMs: number): Promise<void> {
    const { clock, random, lease, closed } = this.#etcd;
    const retry = new Retry(clock, random, REVOKE_BOUNDS);
    // What a suspend adds to it the store tells: there is no such lease then.
    const expiresAt = clock.monotonic() + ttlMs;
    while (!closed.aborted) {
      try {
        await lease.revoke(leaseId);
        return;
      } catch (error) {
        // Gone already, or refused for good: its TTL takes care of what is left.
        const { code } = EtcdError.from(error);
        if (code === "not-found" || code === "permission-denied") return;
        await retry.pause(closed);
        if (clock.monotonic() >= expiresAt) return;
      }
    }
  }
}

/** The promise's outcome, or `aborted` as soon as the signal says so. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(abortedError(signal));
    if (signal.aborted) return abort();
    onAbort(signal, abort);
    const settled = (): void => offAbort(signal, abort);
    promise.then(resolve, reject);
    promise.then(settled, settled);
  });
}

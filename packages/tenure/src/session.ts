import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { offAbort, onAbort } from "@tenure/etcd/runtime";
import { abortedError, type SessionEnd, TenureError, type TenureErrorCode } from "./errors.ts";
import {
  publishKeepAliveAnswered,
  publishSessionCleared,
  publishSessionDoubted,
  publishSessionEnded,
  publishSessionGranted,
} from "./events.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { beatIntervalMs, marginMs, provenUntil, ttlSeconds } from "./lease-timing.ts";
import { Listeners } from "./listeners.ts";
import { newLeaseId } from "./names.ts";
import { Retry } from "./wait.ts";

type State =
  | {
      readonly t: "live";
      readonly provenUntil: number;
      /** When the lease came into doubt; it stays there until a keep-alive sent later is answered. */
      readonly doubtSince: number | undefined;
    }
  | { readonly t: "ended"; readonly error: TenureError };

const CODES: Readonly<Record<SessionEnd, TenureErrorCode>> = {
  expired: "session-ended",
  revoked: "session-ended",
  closed: "session-ended",
  "cluster-changed": "cluster-changed",
  auth: "permission-denied",
};

/** Lease ids that a first grant found taken before this gives up: a collision of random 39-bit numbers. */
const MAX_COLLISIONS = 3;
const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };

/**
 * A lease that is kept alive: what a candidate's key lives on.
 *
 * It is *proven* until a local deadline counted from the sending of the last answered grant or keep-alive, and ends by
 * itself then, before etcd can give what it holds to another. {@link proven} compares the clock at the moment of the
 * call, so it is right even when every timer is late. A session that ended never comes back.
 *
 * After a suspend, or a stall of the process beyond the margin, the lease is *in doubt* until a keep-alive sent since
 * then is answered: not proven, though not lost either. What the process did not see happen meanwhile may be a lot, and
 * what it reads first may be old.
 */
export class Session {
  readonly leaseId: bigint;
  /** Milliseconds etcd granted, which may be more than was asked for. */
  readonly ttlMs: number;
  /** Told once, when the session ends. */
  readonly ended: Listeners<TenureError> = new Listeners();
  /** Told when the lease is out of doubt again. */
  readonly cleared: Listeners<void> = new Listeners();
  readonly #etcd: EtcdClient;
  readonly #keeper: LeaseKeeper;
  #state: State;
  /** When the last grant or keep-alive that was answered was sent. */
  #provenAt: number;
  /** When the clock was looked at last: long ago means that the process stood still. */
  #beatAt: number;
  #cancelDeadline: (() => void) | undefined;
  #cancelBeat: (() => void) | undefined;

  /** Use {@link grantSession}. */
  constructor(etcd: EtcdClient, leaseId: bigint, ttlMs: number, sentAt: number) {
    this.#etcd = etcd;
    this.leaseId = leaseId;
    this.ttlMs = ttlMs;
    this.#state = { t: "live", provenUntil: provenUntil(sentAt, ttlMs), doubtSince: undefined };
    this.#provenAt = sentAt;
    this.#beatAt = etcd.clock.now();
    onAbort(etcd.closed, this.#onClosed);
    this.#keeper = new LeaseKeeper(etcd, leaseId, ttlMs, sentAt, {
      renewed: (renewalSentAt, renewedTtlMs) => this.#renewed(renewalSentAt, renewedTtlMs),
      refused: (error) =>
        this.end("auth", `etcd does not let ${userOf(etcd)} keep the lease alive: ${error.message}`, error),
    });
    this.#armBeat();
    // Last: a grant that took too long ends the session here.
    this.#armDeadline();
  }

  /** Whether the lease certainly lives at this instant. */
  get proven(): boolean {
    return this.#state.t === "live" && this.#state.doubtSince === undefined && this.#intactAt(this.#etcd.clock.now());
  }

  /** Whether the deadline has passed, as it has for a session that ended. In doubt it may still be ahead. */
  get overdue(): boolean {
    return this.#state.t === "ended" || this.#etcd.clock.now() >= this.#state.provenUntil;
  }

  /** Milliseconds until the deadline; 0 once it is over. */
  get leftMs(): number {
    return this.#state.t === "ended" ? 0 : Math.max(0, this.#state.provenUntil - this.#etcd.clock.now());
  }

  /** When the whole TTL is over since the lease was proven last: etcd may end it from then on, by clocks that agree. */
  get lapsesAt(): number {
    return this.#provenAt + this.ttlMs;
  }

  /** Why it ended; undefined while it lives. */
  get error(): TenureError | undefined {
    return this.#state.t === "ended" ? this.#state.error : undefined;
  }

  /** Ends the session here; the lease is left to whoever revokes it, or to its TTL. */
  end(why: SessionEnd, message: string, cause?: unknown): void {
    if (this.#state.t === "live") publishSessionEnded(this, why, message);
    this.#setState({ t: "ended", error: new TenureError(CODES[why], message, { cause, sessionEnd: why }) });
  }

  /** Every change of state happens here. */
  #setState(next: State): void {
    const before = this.#state;
    if (before.t === "ended") return;
    this.#state = next;
    if (next.t === "live") {
      if (before.doubtSince !== undefined && next.doubtSince === undefined) {
        publishSessionCleared(this);
        this.cleared.emit();
      }
      return;
    }
    this.#cancelDeadline?.();
    this.#cancelBeat?.();
    offAbort(this.#etcd.closed, this.#onClosed);
    this.#keeper.stop();
    this.ended.emit(next.error);
  }

  readonly #onClosed = (): void => {
    this.end("closed", "the client is closed");
  };

  /** One timer is enough: when it fires early because the lease was renewed meanwhile, it is set again. */
  #armDeadline(): void {
    if (this.#state.t === "ended") return;
    const leftMs = this.#state.provenUntil - this.#etcd.clock.now();
    if (leftMs <= 0) return this.#expire();
    this.#cancelDeadline = this.#etcd.clock.after(leftMs, () => this.#armDeadline());
  }

  /** Whether nothing ran here for longer than the margin, whatever the reason: half of it is the usual. */
  #stalledAt(now: number): boolean {
    return now - this.#beatAt > marginMs(this.ttlMs);
  }

  /** By one look at the clock, which takes some microseconds, neither stalled nor overdue. */
  #intactAt(now: number): boolean {
    return this.#state.t === "live" && !this.#stalledAt(now) && now < this.#state.provenUntil;
  }

  #armBeat(): void {
    this.#cancelBeat = this.#etcd.clock.after(beatIntervalMs(this.ttlMs), () => {
      this.#beat();
      if (this.#state.t === "live") this.#armBeat();
    });
  }

  /** Looks at the clock: a stall puts the lease in doubt, and the deadline may have passed meanwhile. */
  #beat(): void {
    if (this.#state.t === "ended") return;
    const now = this.#etcd.clock.now();
    if (now >= this.#state.provenUntil) return this.#expire();
    const stalled = this.#stalledAt(now);
    const beforeStall = this.#beatAt;
    this.#beatAt = now;
    if (!stalled) return;
    publishSessionDoubted(this, this.#beatAt - beforeStall);
    this.#setState({ ...this.#state, doubtSince: this.#beatAt });
    this.#keeper.hurry();
  }

  #expire(): void {
    this.end("expired", `the lease ${this.leaseId.toString(16)} is over: no keep-alive was answered in time`);
  }

  #renewed(sentAt: number, ttlMs: number): void {
    // First of all: an answer that waited out a stall says nothing about the time since.
    this.#beat();
    if (this.#state.t === "ended") return;
    if (ttlMs <= 0) return this.end("revoked", `the lease ${this.leaseId.toString(16)} is over: etcd does not know it`);
    const { doubtSince } = this.#state;
    publishKeepAliveAnswered(this.leaseId, this.#etcd.clock, sentAt, this.#state.provenUntil);
    this.#provenAt = Math.max(this.#provenAt, sentAt);
    this.#setState({
      t: "live",
      provenUntil: Math.max(this.#state.provenUntil, provenUntil(sentAt, ttlMs)),
      doubtSince: doubtSince !== undefined && sentAt >= doubtSince ? undefined : doubtSince,
    });
    if (this.#state.doubtSince !== undefined) this.#keeper.hurry();
  }
}

/**
 * Grants a lease and keeps it alive. Repeats a grant whose answer was lost, with the same id, until the signal aborts;
 * a grant under way is not cancelled by it, because its lease would be left behind.
 *
 * @throws TenureError the code of what etcd refuses for good, or `aborted`
 */
export async function grantSession(etcd: EtcdClient, ttlMs: number, signal: AbortSignal): Promise<Session> {
  const seconds = ttlSeconds(ttlMs);
  const retry = new Retry(etcd.clock, etcd.random, RETRY_BOUNDS);
  let id = newLeaseId(etcd.random);
  let collisions = 0;
  /** Whether an earlier grant of this id may have been carried out. */
  let maybeGranted = false;
  while (!signal.aborted && !etcd.closed.aborted) {
    const sentAt = etcd.clock.now();
    try {
      const granted = await etcd.lease.grant(seconds, { id });
      const session = new Session(etcd, id, Number(granted.TTL) * 1000, sentAt);
      publishSessionGranted(session);
      // The client may have been closed meanwhile, and then nobody would tell the session.
      if (etcd.closed.aborted) session.end("closed", "the client is closed");
      return session;
    } catch (thrown) {
      const error = EtcdError.from(thrown);
      const taken = error.code === "failed-precondition" && error.message.includes("already exists");
      if (taken && (maybeGranted || ++collisions <= MAX_COLLISIONS)) {
        // Ours from an attempt whose answer was lost, or another's: either way nothing is proven, so a new id is taken.
        // The old lease, if it is ours, holds no key; giving it back is a courtesy, it runs out by itself.
        if (maybeGranted) etcd.lease.revoke(id).catch(() => undefined);
        id = newLeaseId(etcd.random);
        maybeGranted = false;
        continue;
      }
      if (!error.mayHaveApplied && error.code !== "unavailable") throw TenureError.from(error);
      maybeGranted ||= error.mayHaveApplied;
      await retry.pause(signal);
    }
  }
  if (maybeGranted) await etcd.lease.revoke(id).catch(() => undefined);
  throw abortedError(signal);
}

function userOf({ user }: EtcdClient): string {
  return user === undefined ? "this client" : `user "${user}"`;
}

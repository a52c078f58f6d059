import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { abortedError, TenureError } from "./errors.ts";
import { keepAliveIntervalMs, keepAliveTimeoutMs, provenUntil, ttlSeconds } from "./lease-timing.ts";
import { Listeners } from "./listeners.ts";
import { newLeaseId } from "./names.ts";
import { pause, Retry } from "./wait.ts";

/** Why a session ended. */
export type SessionEnd =
  /** Its lease could not be proven in time, or the server said that it is over. */
  | "expired"
  /** It was given back. */
  | "closed"
  | "cluster-changed"
  | "auth";

type State =
  | { readonly t: "live"; readonly provenUntil: number }
  | { readonly t: "ended"; readonly why: SessionEnd; readonly error: TenureError };

/** Lease ids that a first grant found taken before this gives up: a collision of random 39-bit numbers. */
const MAX_COLLISIONS = 3;
const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };

/**
 * A lease that is kept alive: what a candidate's key lives on.
 *
 * It is *proven* until a local deadline counted from the sending of the last answered grant or keep-alive, and ends by
 * itself then, before etcd can give what it holds to another. {@link proven} compares the clock at the moment of the
 * call, so it is right even when every timer is late. A session that ended never comes back.
 */
export class Session {
  readonly leaseId: bigint;
  /** Milliseconds etcd granted, which may be more than was asked for. */
  readonly ttlMs: number;
  /** Told once, when the session ends. */
  readonly ended: Listeners<TenureError> = new Listeners();
  readonly #etcd: EtcdClient;
  readonly #closing = new AbortController();
  #state: State;
  #cancelDeadline: (() => void) | undefined;

  /** Use {@link grantSession}. */
  constructor(etcd: EtcdClient, leaseId: bigint, ttlMs: number, sentAt: number) {
    this.#etcd = etcd;
    this.leaseId = leaseId;
    this.ttlMs = ttlMs;
    this.#state = { t: "live", provenUntil: provenUntil(sentAt, ttlMs) };
    etcd.closed.addEventListener("abort", this.#onClosed);
    this.#armDeadline();
    void this.#keepAlive(sentAt);
  }

  /** Whether the lease certainly lives at this instant. */
  get proven(): boolean {
    return this.#state.t === "live" && this.#etcd.clock.now() < this.#state.provenUntil;
  }

  /** Why it ended; undefined while it lives. */
  get error(): TenureError | undefined {
    return this.#state.t === "ended" ? this.#state.error : undefined;
  }

  /** Ends the session here; the lease is left to whoever revokes it, or to its TTL. */
  end(why: SessionEnd, error: TenureError): void {
    this.#setState({ t: "ended", why, error });
  }

  /** Every change of state happens here. */
  #setState(next: State): void {
    if (this.#state.t === "ended") return;
    this.#state = next;
    if (next.t === "live") return;
    this.#cancelDeadline?.();
    this.#etcd.closed.removeEventListener("abort", this.#onClosed);
    this.#closing.abort();
    this.ended.emit(next.error);
  }

  readonly #onClosed = (): void => {
    this.end("closed", new TenureError("session-ended", "the client is closed"));
  };

  /** One timer is enough: when it fires early because the lease was renewed meanwhile, it is set again. */
  #armDeadline(): void {
    if (this.#state.t === "ended") return;
    const leftMs = this.#state.provenUntil - this.#etcd.clock.now();
    if (leftMs <= 0) return this.#expire("no keep-alive was answered in time");
    this.#cancelDeadline = this.#etcd.clock.after(leftMs, () => this.#armDeadline());
  }

  #expire(reason: string): void {
    this.end("expired", new TenureError("session-ended", `the lease ${this.leaseId.toString(16)} is over: ${reason}`));
  }

  /** Keeps one stream of keep-alives open, and opens another when it breaks or falls silent. */
  async #keepAlive(grantSentAt: number): Promise<void> {
    const { clock, random } = this.#etcd;
    const { signal } = this.#closing;
    const retry = new Retry(clock, random, RETRY_BOUNDS);
    // Counted from the grant's sending like everything else: a slow grant has used up some of the time already.
    await pause(clock, Math.max(0, grantSentAt + keepAliveIntervalMs(this.ttlMs) - clock.now()), signal);
    while (this.#state.t === "live") {
      const round = new KeepAliveRound(this.#etcd, this.leaseId, this.ttlMs, (sentAt, ttlMs) => {
        retry.reset();
        this.#renewed(sentAt, ttlMs);
      });
      const startedAt = clock.now();
      const error = await round.run(signal);
      if (signal.aborted) return;
      if (error.code === "permission-denied") {
        this.end("auth", new TenureError("permission-denied", error.message, { cause: error }));
        return;
      }
      // A stream that fell silent has cost time already: only one that failed at once is given a pause.
      if (clock.now() - startedAt < keepAliveTimeoutMs(this.ttlMs)) await retry.pause(signal);
    }
  }

  #renewed(sentAt: number, ttlMs: number): void {
    if (this.#state.t === "ended") return;
    if (ttlMs <= 0) return this.#expire("etcd does not know it any more");
    // What was not proven for a moment is over, even if the timer that says so is late.
    if (!this.proven) return this.#expire("no keep-alive was answered in time");
    const proven = Math.max(this.#state.provenUntil, provenUntil(sentAt, ttlMs));
    this.#setState({ t: "live", provenUntil: proven });
  }
}

/** One stream of keep-alives: sends, matches answers to requests in order, and fails when one stays away. */
class KeepAliveRound {
  readonly #etcd: EtcdClient;
  readonly #leaseId: bigint;
  readonly #onRenewed: (sentAt: number, ttlMs: number) => void;
  readonly #controller = new AbortController();
  /** When the requests without an answer were sent, oldest first. */
  readonly #unanswered: number[] = [];
  readonly #ttlMs: number;
  #cancelTimer: () => void = () => undefined;

  constructor(etcd: EtcdClient, leaseId: bigint, ttlMs: number, onRenewed: (sentAt: number, ttlMs: number) => void) {
    this.#etcd = etcd;
    this.#leaseId = leaseId;
    this.#ttlMs = ttlMs;
    this.#onRenewed = onRenewed;
  }

  /** Sends at once, then at a third of the TTL each; resolves with what ended the stream. */
  async run(sessionSignal: AbortSignal): Promise<EtcdError> {
    const stop = (): void => this.#controller.abort(new EtcdError("aborted", "the session ended"));
    sessionSignal.addEventListener("abort", stop);
    const stream = this.#etcd.lease.keepAlive(this.#controller.signal);
    this.#request(stream.send);
    try {
      for await (const answer of stream.answers) this.#answered(Number(answer.TTL) * 1000, stream.send);
      return new EtcdError("unavailable", "the server ended the stream of keep-alives");
    } catch (error) {
      return EtcdError.from(error);
    } finally {
      sessionSignal.removeEventListener("abort", stop);
      this.#cancelTimer();
      stop();
    }
  }

  #request(send: (leaseId: bigint) => void): void {
    // The deadline of the lease counts from here: before the request leaves.
    this.#unanswered.push(this.#etcd.clock.now());
    send(this.#leaseId);
    this.#cancelTimer = this.#etcd.clock.after(keepAliveTimeoutMs(this.#ttlMs), () => {
      this.#controller.abort(new EtcdError("deadline-exceeded", "a keep-alive was not answered in time"));
    });
  }

  #answered(ttlMs: number, send: (leaseId: bigint) => void): void {
    const sentAt = this.#unanswered.shift();
    if (sentAt === undefined) return;
    this.#cancelTimer();
    this.#onRenewed(sentAt, ttlMs);
    if (this.#controller.signal.aborted) return;
    const waitMs = sentAt + keepAliveIntervalMs(this.#ttlMs) - this.#etcd.clock.now();
    this.#cancelTimer = this.#etcd.clock.after(Math.max(0, waitMs), () => this.#request(send));
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
      // The client may have been closed meanwhile, and then nobody would tell the session.
      if (etcd.closed.aborted) session.end("closed", new TenureError("session-ended", "the client is closed"));
      return session;
    } catch (thrown) {
      const error = EtcdError.from(thrown);
      const taken = error.code === "failed-precondition" && error.message.includes("already exists");
      if (taken && (maybeGranted || ++collisions <= MAX_COLLISIONS)) {
        // Ours from an attempt whose answer was lost, or another's: either way nothing is proven, so a new id is taken.
        // The old lease, if it is ours, holds no key and runs out by itself.
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

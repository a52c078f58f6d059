import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { KeepAlive, type KeepAliveListener } from "./keep-alive.ts";
import { hedgeIntervalMs, keepAliveIntervalMs, keepAliveTimeoutMs } from "./lease-timing.ts";
import { Retry } from "./wait.ts";

/** Who hears how a lease fares. */
export interface LeaseListener {
  /** A keep-alive sent at `sentAt` was answered with this TTL. */
  readonly renewed: (sentAt: number, ttlMs: number) => void;
  /** The store does not let us keep the lease alive. */
  readonly refused: (error: EtcdError) => void;
}

const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };
/** Streams open at a time, the silent ones included. */
const MAX_STREAMS = 6;

/**
 * Keeps a lease alive: over one stream, and while an answer is overdue, over one more again and again, each to another
 * endpoint or over a new connection. The first to answer goes on alone. So neither a member that froze nor one that is
 * slow, nor a change of etcd's leader, costs the lease as long as some way answers in time.
 */
export class LeaseKeeper {
  readonly #etcd: EtcdClient;
  readonly #leaseId: bigint;
  readonly #ttlMs: number;
  readonly #listener: LeaseListener;
  readonly #retry: Retry;
  /** Oldest first. */
  readonly #streams = new Set<KeepAlive>();
  readonly #heard: KeepAliveListener = {
    answered: (stream, sentAt, ttlMs) => this.#answered(stream, sentAt, ttlMs),
    silent: () => this.#silent(),
    ended: (stream, error) => this.#ended(stream, error),
  };
  /** When the next stream will be opened, by the clock; undefined while none is due. */
  #openingAt: number | undefined;
  #cancelOpening: () => void = () => undefined;
  /** Whether some request waits for its answer for too long. */
  #overdue = false;
  #stopped = false;

  /** @param grantSentAt when the grant was sent: a slow one has used up some of the time to the first keep-alive */
  constructor(etcd: EtcdClient, leaseId: bigint, ttlMs: number, grantSentAt: number, listener: LeaseListener) {
    this.#etcd = etcd;
    this.#leaseId = leaseId;
    this.#ttlMs = ttlMs;
    this.#listener = listener;
    this.#retry = new Retry(etcd.clock, etcd.random, RETRY_BOUNDS);
    this.#openIn(Math.max(0, grantSentAt + keepAliveIntervalMs(ttlMs) - etcd.clock.now()));
  }

  /** Sends a keep-alive sooner than at its time. */
  hurry(): void {
    if (this.#stopped) return;
    if (this.#streams.size === 0) return this.#open();
    for (const stream of this.#streams) stream.hurry();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelOpening();
    for (const stream of this.#streams) stream.close(new EtcdError("aborted", "the session ended"));
  }

  /** Opens a stream in a while, or at the earlier time for which one is due already. */
  #openIn(waitMs: number): void {
    const at = this.#etcd.clock.now() + waitMs;
    if (this.#openingAt !== undefined && this.#openingAt <= at) return;
    this.#cancelOpening();
    this.#openingAt = at;
    this.#cancelOpening = this.#etcd.clock.after(waitMs, () => this.#open());
  }

  #open(): void {
    this.#notDue();
    const [oldest] = this.#streams;
    if (oldest !== undefined && this.#streams.size >= MAX_STREAMS) this.#giveUp(oldest);
    // Whoever has not answered so far is not asked over the same connection again.
    for (const stream of this.#streams) stream.suspect();
    this.#streams.add(new KeepAlive(this.#etcd, this.#leaseId, this.#ttlMs, this.#heard));
    if (this.#overdue) this.#openIn(hedgeIntervalMs(this.#ttlMs));
  }

  #notDue(): void {
    this.#cancelOpening();
    this.#openingAt = undefined;
  }

  #answered(answering: KeepAlive, sentAt: number, ttlMs: number): void {
    this.#retry.reset();
    this.#overdue = false;
    this.#notDue();
    for (const stream of this.#streams) if (stream !== answering) this.#giveUp(stream);
    this.#listener.renewed(sentAt, ttlMs);
  }

  /** The reason makes the transport give up a connection that was silent all the while. */
  #giveUp(stream: KeepAlive): void {
    this.#streams.delete(stream);
    // One that was asked just now is not to blame for the silence of the others.
    const isLate = this.#etcd.clock.now() - stream.openedAt >= keepAliveTimeoutMs(this.#ttlMs);
    stream.close(new EtcdError(isLate ? "deadline-exceeded" : "aborted", "a keep-alive was not answered in time"));
  }

  #silent(): void {
    if (this.#overdue || this.#stopped) return;
    this.#overdue = true;
    this.#open();
  }

  #ended(stream: KeepAlive, error: EtcdError): void {
    // One that we gave up ourselves is replaced already.
    if (!this.#streams.delete(stream) || this.#stopped) return;
    // A token that is merely outdated comes as `unavailable`, so neither of these passes by itself.
    if (error.code === "permission-denied" || error.code === "unauthenticated") return this.#listener.refused(error);
    if (this.#streams.size > 0 && !this.#overdue) return;
    // A stream that was open for long has cost time already: only one that failed at once is given a pause.
    const lastedMs = this.#etcd.clock.now() - stream.openedAt;
    this.#openIn(lastedMs < keepAliveTimeoutMs(this.#ttlMs) ? this.#retry.nextMs() : 0);
  }
}

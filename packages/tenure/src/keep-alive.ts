import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { publishKeepAliveSent, publishKeepAliveSilent } from "./events.ts";
import { keepAliveIntervalMs, keepAliveTimeoutMs } from "./lease-timing.ts";

/** Who hears what happens on a stream of keep-alives. */
export interface KeepAliveListener {
  /** A request was answered. */
  readonly answered: (stream: KeepAlive, sentAt: number, ttlMs: number) => void;
  /** An answer is overdue. It may yet come. */
  readonly silent: (stream: KeepAlive) => void;
  /** The stream is over, whoever ended it. */
  readonly ended: (stream: KeepAlive, error: EtcdError) => void;
}

/** One stream of keep-alives: sends, and matches answers to requests in order. */
export class KeepAlive {
  /** By the clock. */
  readonly openedAt: number;
  readonly #etcd: EtcdClient;
  readonly #leaseId: bigint;
  readonly #ttlMs: number;
  readonly #listener: KeepAliveListener;
  readonly #controller = new AbortController();
  /** When the requests without an answer were sent, oldest first. */
  readonly #unanswered: number[] = [];
  readonly #send: (leaseId: bigint) => void;
  readonly #suspect: () => void;
  #isSuspect = false;
  #cancelTimer: () => void = () => undefined;

  /** Sends at once, then at a third of the TTL each. */
  constructor(etcd: EtcdClient, leaseId: bigint, ttlMs: number, listener: KeepAliveListener) {
    this.#etcd = etcd;
    this.#leaseId = leaseId;
    this.#ttlMs = ttlMs;
    this.#listener = listener;
    this.openedAt = etcd.clock.now();
    const { send, answers, suspect } = etcd.lease.keepAlive(this.#controller.signal);
    this.#send = send;
    this.#suspect = suspect;
    this.#request();
    void this.#read(answers);
  }

  /** While a request is without an answer: calls that start now go to another endpoint, or over a new connection. */
  suspect(): void {
    if (this.#isSuspect || this.#unanswered.length === 0) return;
    this.#isSuspect = true;
    this.#suspect();
  }

  /** Ends the stream. A code of `deadline-exceeded` says that its member is to blame. */
  close(error: EtcdError): void {
    this.#controller.abort(error);
  }

  /** Sends the next request at once; one without an answer is waited for. */
  hurry(): void {
    if (this.#unanswered.length > 0 || this.#controller.signal.aborted) return;
    this.#cancelTimer();
    this.#request();
  }

  async #read(answers: AsyncIterable<{ readonly TTL: bigint }>): Promise<void> {
    let end = new EtcdError("unavailable", "the server ended the stream of keep-alives");
    try {
      for await (const { TTL } of answers) this.#answered(Number(TTL) * 1000);
    } catch (error) {
      end = EtcdError.from(error);
    }
    this.#cancelTimer();
    this.close(end);
    this.#listener.ended(this, end);
  }

  #request(): void {
    const { clock } = this.#etcd;
    // The deadline of the lease counts from here: before the request leaves.
    this.#unanswered.push(clock.now());
    this.#send(this.#leaseId);
    publishKeepAliveSent(this.#leaseId);
    this.#armTimeout();
  }

  #armTimeout(): void {
    const { clock } = this.#etcd;
    const timeoutMs = keepAliveTimeoutMs(this.#ttlMs);
    const dueAt = clock.now() + timeoutMs;
    this.#cancelTimer = clock.after(timeoutMs, () => {
      // A timer that is late itself says that the process stood still: the answer may be here, unread.
      if (clock.now() - dueAt > timeoutMs) return this.#armTimeout();
      publishKeepAliveSilent(this.#leaseId, timeoutMs);
      this.suspect();
      this.#listener.silent(this);
    });
  }

  #answered(ttlMs: number): void {
    const sentAt = this.#unanswered.shift();
    if (sentAt === undefined || this.#controller.signal.aborted) return;
    this.#isSuspect = false;
    this.#cancelTimer();
    // Set before the answer is told: that may ask for haste.
    const waitMs = sentAt + keepAliveIntervalMs(this.#ttlMs) - this.#etcd.clock.now();
    this.#cancelTimer = this.#etcd.clock.after(Math.max(0, waitMs), () => this.#request());
    this.#listener.answered(this, sentAt, ttlMs);
  }
}

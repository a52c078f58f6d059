/** A lease as etcd's leader counts it. */
interface CountedLease {
  readonly ttlMs: number;
  expiresAt: number;
  /** Whether its end was proposed. */
  ending: boolean;
  /** Keep-alives that came too late: they are answered when the lease is gone, or lives again. */
  readonly waiting: ((ttlSeconds: number) => void)[];
}

/** What etcd's new leader adds to each lease: its election timeout. */
const EXTENSION_MS = 1000;

/** The leases as the leader of the cluster counts them, by its own clock. Times are real ones. */
export class LeaseTable {
  readonly #leases = new Map<bigint, CountedLease>();
  /** Milliseconds of the leader's clock for each real one. */
  #rate = 1;

  get size(): number {
    return this.#leases.size;
  }

  granted(id: bigint, ttlSeconds: number, now: number): void {
    const ttlMs = ttlSeconds * 1000;
    this.#leases.set(id, { ttlMs, expiresAt: now + ttlMs / this.#rate, ending: false, waiting: [] });
  }

  revoked(id: bigint): void {
    const lease = this.#leases.get(id);
    this.#leases.delete(id);
    for (const answer of lease?.waiting ?? []) answer(0);
  }

  /** Renews a lease and answers its TTL in seconds: 0 when there is none, later when it has run out. */
  keepAlive(id: bigint, now: number, answer: (ttlSeconds: number) => void): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return answer(0);
    if (lease.expiresAt <= now) {
      lease.waiting.push(answer);
      return;
    }
    lease.expiresAt = now + lease.ttlMs / this.#rate;
    answer(lease.ttlMs / 1000);
  }

  /** Seconds left, -1 when there is no such lease. */
  remaining(id: bigint, now: number): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return -1;
    return Math.max(0, Math.floor(((lease.expiresAt - now) * this.#rate) / 1000));
  }

  /** The leases that have run out and whose end was not proposed yet. */
  takeExpired(now: number): readonly bigint[] {
    const expired: bigint[] = [];
    for (const [id, lease] of this.#leases) {
      if (lease.expiresAt > now || lease.ending) continue;
      lease.ending = true;
      expired.push(id);
    }
    return expired;
  }

  /** The end that was proposed did not come about. */
  notEnded(id: bigint): void {
    const lease = this.#leases.get(id);
    if (lease !== undefined) lease.ending = false;
  }

  /** A new leader counts: each lease has its full TTL again, and some more. */
  promoted(rate: number, now: number): void {
    this.#rate = rate;
    for (const lease of this.#leases.values()) {
      lease.expiresAt = now + (lease.ttlMs + EXTENSION_MS) / rate;
      lease.ending = false;
      for (const answer of lease.waiting.splice(0)) answer(lease.ttlMs / 1000);
    }
  }
}

import type { Clock, Random } from "@tenure/etcd/runtime";

import { refusal } from "./errors.ts";
import type { LeaseAttachments } from "./kvstore.ts";

/** A promise to keep some keys for a while. */
export interface Lease {
  readonly id: bigint;
  /** Granted seconds: what was asked for, or the minimum. */
  readonly ttlSeconds: number;
  /** The clock's time from which on the lease may be ended. */
  readonly expiresAtMs: number;
  readonly keys: ReadonlySet<string>;
}

interface HeldLease extends Lease {
  expiresAtMs: number;
  readonly keys: Set<string>;
}

/** What etcd derives from its default election timeout of 1 s. */
const MIN_TTL_SECONDS = 2;
const MAX_TTL_SECONDS = 9_000_000_000;
const ID_BITS = 63;

/** Keeps the leases: which there are, when each runs out, and which keys are on it. It does not delete those keys. */
export class Lessor implements LeaseAttachments {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #leases = new Map<bigint, HeldLease>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Grants a lease. An id of 0n lets the lessor choose; a TTL below 2 s is raised to that.
   *
   * @throws EtcdServerError when the id is taken or the TTL is above 9,000,000,000 s.
   */
  grant(requestedId: bigint, ttlSeconds: number): Lease {
    if (ttlSeconds > MAX_TTL_SECONDS) throw refusal("leaseTtlTooLarge");
    const id = requestedId === 0n ? this.#freeId() : requestedId;
    if (this.#leases.has(id)) throw refusal("leaseExists");
    const granted = Math.max(ttlSeconds, MIN_TTL_SECONDS);
    const lease = {
      id,
      ttlSeconds: granted,
      expiresAtMs: this.#clock.now() + granted * 1000,
      keys: new Set<string>(),
    };
    this.#leases.set(id, lease);
    return lease;
  }

  lookup(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  /** Gives the lease its full TTL again, from now. Undefined when it is unknown or has run out already. */
  renew(id: bigint): Lease | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined || this.#remainingMs(lease) <= 0) return undefined;
    lease.expiresAtMs = this.#clock.now() + lease.ttlSeconds * 1000;
    return lease;
  }

  /** Gives every lease its full TTL again and some time more, as etcd does when a member becomes its leader. */
  extendAll(byMs: number): void {
    for (const lease of this.#leases.values()) lease.expiresAtMs = this.#clock.now() + lease.ttlSeconds * 1000 + byMs;
  }

  /** Whole seconds left, rounded down; 0 when the lease has run out and waits to be ended. */
  remainingSeconds(lease: Lease): number {
    return Math.max(0, Math.floor(this.#remainingMs(lease) / 1000));
  }

  /** All leases, the one that runs out next first. */
  list(): readonly Lease[] {
    return [...this.#leases.values()].toSorted((a, b) => a.expiresAtMs - b.expiresAtMs);
  }

  /** The leases that have run out. They stay until {@link remove}. */
  expired(): readonly Lease[] {
    const now = this.#clock.now();
    const expired: Lease[] = [];
    for (const lease of this.#leases.values()) if (lease.expiresAtMs <= now) expired.push(lease);
    return expired;
  }

  /** Forgets a lease and returns its keys in byte order, for the caller to delete. Undefined when it is unknown. */
  remove(id: bigint): readonly string[] | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    this.#leases.delete(id);
    return sortedKeys(lease);
  }

  attach(id: bigint, key: string): void {
    this.#leases.get(id)?.keys.add(key);
  }

  detach(id: bigint, key: string): void {
    this.#leases.get(id)?.keys.delete(key);
  }

  #remainingMs(lease: Lease): number {
    return lease.expiresAtMs - this.#clock.now();
  }

  #freeId(): bigint {
    for (;;) {
      const id = this.#random.bits(ID_BITS);
      if (id !== 0n && !this.#leases.has(id)) return id;
    }
  }
}

/** The keys on a lease in byte order. */
export function sortedKeys(lease: Lease): readonly string[] {
  // The default order of strings is by code unit, which for keys is byte order.
  return [...lease.keys].toSorted();
}

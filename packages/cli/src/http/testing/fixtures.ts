import { ManualClock } from "@tenure/etcd/runtime";
import type { LeaderSeen } from "../store-facts.ts";
import { Service, type ServedTerm, type ServiceEvent } from "../service.ts";

/** A term whose lease is proven until a moment of a clock, and that no timer ends. */
export class FakeTerm implements ServedTerm {
  readonly key = "job/aa";
  readonly leaseId = 0xaan;
  readonly ttlMs = 10_000;
  readonly token: bigint;
  value = "node-a";
  lost = false;
  readonly #now: () => number;
  readonly #until: number;

  constructor(now: () => number, until: number, token = 7n) {
    this.#now = now;
    this.#until = until;
    this.token = token;
  }

  get held(): boolean {
    return !this.lost && this.#now() < this.#until;
  }

  get provenForMs(): number {
    return Math.max(0, this.#until - this.#now());
  }
}

/** What a service hears of the store, by hand. */
export class FakeStore {
  /** The token of our candidate in the queue. */
  token: bigint | undefined;
  seen: LeaderSeen | undefined;

  /** Whether its lease is proven. */
  proven = true;

  readonly standsWith = (): bigint | undefined => (this.proven ? this.token : undefined);
  readonly newestToken = (): bigint | undefined => this.token;
  /** How many stand. */
  count = 0;

  readonly candidates = (): number => this.count;
  readonly leaderSeen = (): LeaderSeen | undefined => this.seen;
}

/** A service on a clock that stands still, and all that can be done to it. */
export class ServiceBench {
  readonly clock: ManualClock = new ManualClock();
  readonly store: FakeStore = new FakeStore();
  readonly events: ServiceEvent[] = [];
  closing = false;
  readonly service: Service;

  constructor(name = "job") {
    this.service = new Service({
      name,
      prefix: `${name}/`,
      store: this.store,
      closing: () => this.closing,
      onEvent: (event) => this.events.push(event),
      clock: this.clock,
    });
  }

  /** A term of this service that is proven for so long. */
  term(provenForMs = 9000, token = 7n): FakeTerm {
    return new FakeTerm(() => this.clock.now(), this.clock.now() + provenForMs, token);
  }

  /** Elected, and its program started. */
  lead(provenForMs?: number): FakeTerm {
    const term = this.term(provenForMs);
    this.service.elected(term);
    this.service.promoted(() => true);
    return term;
  }
}

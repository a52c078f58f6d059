import type { Connection } from "./connection.ts";

/** What a call is to an endpoint: see {@link EndpointRanking.ordered}. */
export type CallPlace =
  /** The best endpoint. */
  | "first"
  /** Another member while one is as good, so that what tells of the first one's silence does not depend on it. */
  | "beside";

/** A member counts as slow when its answers take longer than this many times those of the quickest, and a little. */
const SLOW_FACTOR = 2;
const SLOW_EXTRA_MS = 5;
/** How much of the newest measurement goes into the average. */
const NEWEST_SHARE = 0.3;

interface Record {
  /** When it failed, as a count of failures so far; 0 for one that has succeeded since. */
  failedAt: number;
  /** How long its answers take on average; undefined before the first. */
  latencyMs: number | undefined;
  /** Which member it leads to, where that is known. */
  memberId: bigint | undefined;
}

/**
 * Orders the endpoints by what they did lately: those that work first, of these the slow ones last, then those whose
 * failure is the longest ago. Among equals the order of the start stays, so that a client keeps to one member as long
 * as that one answers.
 */
export class EndpointRanking {
  readonly #records = new Map<Connection, Record>();
  #failures = 0;

  /** @param connections in the order to be tried at the start */
  constructor(connections: readonly Connection[]) {
    for (const connection of connections) this.add(connection);
  }

  /** Every connection, in no order that means anything. */
  get connections(): readonly Connection[] {
    return [...this.#records.keys()];
  }

  /** Whether there are endpoints, and each has failed since it last succeeded. */
  get exhausted(): boolean {
    if (this.#records.size === 0) return false;
    for (const { failedAt } of this.#records.values()) if (failedAt === 0) return false;
    return true;
  }

  /** One more, to be tried after those that are as good. */
  add(connection: Connection, memberId?: bigint): void {
    this.#records.set(connection, { failedAt: 0, latencyMs: undefined, memberId });
  }

  /** Tries a connection no more. Closing it is its owner's part. */
  remove(connection: Connection): void {
    this.#records.delete(connection);
  }

  /** Which member a connection leads to. */
  identified(connection: Connection, memberId: bigint): void {
    const record = this.#records.get(connection);
    if (record !== undefined) record.memberId = memberId;
  }

  /** In the order to be tried. */
  ordered(place: CallPlace = "first"): Connection[] {
    // Most have one endpoint, and every call asks.
    if (this.#records.size < 2) return [...this.#records.keys()];
    const slowMs = this.#slowMs();
    const isSlow = ({ latencyMs }: Record): number => (latencyMs !== undefined && latencyMs > slowMs ? 1 : 0);
    const order = [...this.#records].toSorted(([, a], [, b]) => a.failedAt - b.failedAt || isSlow(a) - isSlow(b));
    if (place === "beside") {
      const memberId = order[0]?.[1].memberId;
      const asGood = (record: Record): boolean => record.failedAt === 0 && isSlow(record) === 0;
      const beside = order.findIndex(([, record], index) => {
        return index > 0 && asGood(record) && (memberId === undefined || record.memberId !== memberId);
      });
      if (beside > 0) order.unshift(...order.splice(beside, 1));
    }
    return order.map(([connection]) => connection);
  }

  /** @param latencyMs how long the answer took, where that is known */
  succeeded(connection: Connection, latencyMs?: number): void {
    const record = this.#records.get(connection);
    if (record === undefined) return;
    record.failedAt = 0;
    if (latencyMs === undefined) return;
    const average = record.latencyMs ?? latencyMs;
    record.latencyMs = average + (latencyMs - average) * NEWEST_SHARE;
  }

  /** What one way to a member does not do, another way to the same member hardly will. */
  failed(connection: Connection): void {
    const failed = this.#records.get(connection);
    if (failed === undefined) return;
    this.#failures++;
    for (const record of this.#records.values()) {
      const same = failed.memberId !== undefined && record.memberId === failed.memberId;
      if (record === failed || same) record.failedAt = this.#failures;
    }
  }

  close(): void {
    for (const connection of this.#records.keys()) connection.close();
  }

  #slowMs(): number {
    let quickestMs = Infinity;
    for (const { failedAt, latencyMs = Infinity } of this.#records.values()) {
      if (failedAt === 0 && latencyMs < quickestMs) quickestMs = latencyMs;
    }
    return quickestMs * SLOW_FACTOR + SLOW_EXTRA_MS;
  }
}

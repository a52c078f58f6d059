import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ConnectionClosedEvent } from "@tenure/etcd";
import { type Clock, systemClock } from "@tenure/etcd/runtime";
import {
  type CandidateEvent,
  type CandidatesChangedEvent,
  type KeepAliveAnsweredEvent,
  type LeaderChangedEvent,
  provenUntil,
  type SessionEndedEvent,
  type SessionEvent,
  type WatchMovedEvent,
} from "tenure";
import { Histogram } from "./metric-text.ts";

/** A lease of this process. */
interface Lease {
  readonly ttlMs: number;
  /** Until when it is proven, by the clock. */
  readonly provenUntil: number;
  readonly doubted: boolean;
  /** When it was granted, or a keep-alive of it answered last, by the clock. */
  readonly answeredAt: number;
}

/** The newest change of an election's leader, and when it was seen. */
export interface LeaderSeen {
  /** The leader's key; null when nobody leads. */
  readonly key: string | null;
  /** The key of the leader before it; null when nobody led. */
  readonly before: string | null;
  readonly at: number;
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const INTERVAL_SECONDS = [0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 30, 60];
const LEFT_SECONDS = [0, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 20, 30, 60];

/**
 * What this process hears of its dealings with the store, on the diagnostics channels. Every event is a few assignments
 * in memory, so that nothing here can slow the leadership.
 */
export class StoreFacts implements Disposable {
  readonly keepAliveSeconds: Histogram = new Histogram(SECONDS);
  /** How much of the proof was left when a keep-alive was answered. */
  readonly leftSeconds: Histogram = new Histogram(LEFT_SECONDS);
  /** From one answer to a lease's keep-alive to the next. */
  readonly intervalSeconds: Histogram = new Histogram(INTERVAL_SECONDS);
  /** Keep-alives whose answer was overdue. */
  keepAlivesOverdue = 0;
  /** Stalls of the process that put a lease in doubt. */
  doubts = 0;
  /** When the store answered a keep-alive or a grant last, in wall-clock milliseconds; undefined before. */
  lastAnswerAt: number | undefined;
  readonly errors: Map<string, number> = counters("request-retried", "connection-failed", "connection-ended");
  readonly watchResyncs: Map<string, number> = counters("silent", "lagging", "cluster-changed", "broken");
  readonly #clock: Clock;
  readonly #leases = new Map<bigint, Lease>();
  /** Our newest candidate of each election, by prefix. */
  readonly #candidates = new Map<string, Pick<CandidateEvent, "key" | "token">>();
  readonly #leaders = new Map<string, LeaderSeen>();
  /** How many stand, by prefix. */
  readonly #counts = new Map<string, number>();
  readonly #unsubscribe: (() => void)[] = [];

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
    this.#onLeases();
    this.#onElections();
    this.#onTrouble();
  }

  /** The token of our newest candidate in an election, if its lease is proven at this instant. */
  standsWith(prefix: string): bigint | undefined {
    const candidate = this.#candidates.get(prefix);
    const lease = candidate && this.#leases.get(leaseOf(candidate.key));
    if (lease === undefined || lease.doubted || this.#clock.now() >= lease.provenUntil) return undefined;
    return candidate?.token;
  }

  /** The token of our newest candidate in an election, whether it is still in the queue or not. */
  newestToken(prefix: string): bigint | undefined {
    return this.#candidates.get(prefix)?.token;
  }

  /** The newest change of an election's leader; undefined before the first. */
  leaderSeen(prefix: string): LeaderSeen | undefined {
    return this.#leaders.get(prefix);
  }

  /** How many candidates an election's view shows, the leader included; 0 before it shows any. */
  candidates(prefix: string): number {
    return this.#counts.get(prefix) ?? 0;
  }

  /** Milliseconds since a keep-alive was answered, of the lease for which that is longest; 0 without a lease. */
  get keepAliveAgeMs(): number {
    const now = this.#clock.now();
    return Math.max(0, ...Array.from(this.#leases.values(), ({ answeredAt }) => now - answeredAt));
  }

  [Symbol.dispose](): void {
    for (const stop of this.#unsubscribe) stop();
  }

  #on<T>(channel: string, listener: (event: T) => void): void {
    const onMessage = (message: unknown): void => listener(message as T);
    subscribe(channel, onMessage);
    this.#unsubscribe.push(() => unsubscribe(channel, onMessage));
  }

  #onLeases(): void {
    this.#on<SessionEvent>("tenure:session:granted", ({ leaseId, ttlMs }) => {
      this.#answered();
      // Off by the time that the grant took; a keep-alive tells more exactly.
      const now = this.#clock.now();
      this.#leases.set(leaseId, { ttlMs, provenUntil: provenUntil(now, ttlMs), doubted: false, answeredAt: now });
    });
    this.#on<KeepAliveAnsweredEvent>("tenure:keep-alive:answered", ({ leaseId, roundTripMs, leftMs }) => {
      this.#answered();
      this.keepAliveSeconds.observe(roundTripMs / 1000);
      this.leftSeconds.observe(leftMs / 1000);
      const lease = this.#leases.get(leaseId);
      if (lease === undefined) return;
      const now = this.#clock.now();
      this.intervalSeconds.observe((now - lease.answeredAt) / 1000);
      const until = provenUntil(now - roundTripMs, lease.ttlMs);
      this.#leases.set(leaseId, { ...lease, provenUntil: Math.max(lease.provenUntil, until), answeredAt: now });
    });
    this.#on("tenure:keep-alive:silent", () => this.keepAlivesOverdue++);
    this.#on<SessionEvent>("tenure:session:doubted", ({ leaseId }) => {
      this.doubts++;
      this.#doubt(leaseId, true);
    });
    this.#on<SessionEvent>("tenure:session:cleared", ({ leaseId }) => this.#doubt(leaseId, false));
    this.#on<SessionEndedEvent>("tenure:session:ended", ({ leaseId }) => this.#leases.delete(leaseId));
  }

  #onElections(): void {
    this.#on<CandidateEvent>("tenure:candidate:queued", ({ prefix, key, token }) => {
      this.#candidates.set(prefix, { key, token });
    });
    this.#on<LeaderChangedEvent>("tenure:leader:changed", ({ prefix, key }) => {
      const before = this.#leaders.get(prefix)?.key ?? null;
      this.#leaders.set(prefix, { key, before, at: this.#clock.now() });
    });
    this.#on<CandidatesChangedEvent>("tenure:candidates:changed", ({ prefix, candidates }) => {
      this.#counts.set(prefix, candidates);
    });
  }

  #onTrouble(): void {
    this.#on("tenure:rpc:retried", () => increment(this.errors, "request-retried"));
    this.#on("tenure:connection:failed", () => increment(this.errors, "connection-failed"));
    this.#on<ConnectionClosedEvent>("tenure:connection:closed", ({ why }) => {
      if (why !== "closed") increment(this.errors, "connection-ended");
    });
    this.#on<WatchMovedEvent>("tenure:watch:moved", ({ why }) => increment(this.watchResyncs, why));
    this.#on("tenure:watch:broken", () => increment(this.watchResyncs, "broken"));
  }

  #answered(): void {
    this.lastAnswerAt = this.#clock.date().getTime();
  }

  #doubt(leaseId: bigint, doubted: boolean): void {
    const lease = this.#leases.get(leaseId);
    if (lease !== undefined) this.#leases.set(leaseId, { ...lease, doubted });
  }
}

/** Counters that show from the start, so that their first step is seen as one. */
function counters(...names: readonly string[]): Map<string, number> {
  return new Map(names.map((name) => [name, 0]));
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** A candidate's key ends with its lease. */
function leaseOf(key: string): bigint {
  return BigInt(`0x${key.slice(key.lastIndexOf("/") + 1)}`);
}

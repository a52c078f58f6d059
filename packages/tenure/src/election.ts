import { hostname } from "node:os";
import type { EtcdClient } from "@tenure/etcd";
import { valueBytes } from "./candidacy.ts";
import { eitherSignal } from "./either-signal.ts";
import { abortedError, isFatal, TenureError, withPermissionHelp } from "./errors.ts";
import { DEFAULT_TTL_MS, ttlSeconds } from "./lease-timing.ts";
import {
  type ElectionState,
  type Leader,
  type LeaderChange,
  type Observed,
  observeLeaders,
  toLeader,
} from "./leader.ts";
import { type ElectionRegistry, type Place, untilAborted } from "./registry.ts";
import { type RunHandlers, type RunningNode, runNode } from "./run.ts";
import { Term } from "./term.ts";
import { requestTransfer, serveTransferRequests } from "./transfer-request.ts";
import { transferRequestKey } from "./transfer.ts";
import { snapshotOf } from "./view.ts";
import { Retry, settledWithin } from "./wait.ts";

/** How to take part in an election. */
export interface ElectionOptions {
  /**
   * Milliseconds a dead node's key lives on: the time until others take over from a node that crashed. A multiple of
   * 1000, at least 1000; etcd raises what is below its own minimum, 2000 by default. Default 10_000.
   */
  readonly ttlMs?: number;
}

/** Every wait takes a signal; aborting it ends the wait with code `aborted`. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A read also takes a limit in milliseconds, 5000 by default. */
export interface ReadOptions extends WaitOptions {
  readonly timeoutMs?: number | undefined;
}

const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };
const TRANSFER_TIMEOUT_MS = 10_000;
/** An aborted campaign waits this long for its key to be deleted before it tells its caller; then it goes on alone. */
const LEAVE_WAIT_MS = 500;

/** One election: who stands, who leads, and how to take part. Made by {@link Client.election}. */
export class Election {
  /** As given to {@link Client.election}. */
  readonly name: string;
  /** Where the candidates' keys are, slash included. */
  readonly prefix: string;
  readonly #etcd: EtcdClient;
  readonly #registry: ElectionRegistry;
  readonly #ttlMs: number;

  constructor(name: string, prefix: string, etcd: EtcdClient, registry: ElectionRegistry, options: ElectionOptions) {
    this.name = name;
    this.prefix = prefix;
    this.#etcd = etcd;
    this.#registry = registry;
    this.#ttlMs = options.ttlMs ?? DEFAULT_TTL_MS;
    ttlSeconds(this.#ttlMs);
  }

  /**
   * Stands for election and waits until elected, standing again with a new lease whenever the key or its lease is lost
   * meanwhile.
   *
   * Call {@link Term.resign} when the term's signal fires, after the work has stopped: unless the term was lost, the
   * key stays until then.
   *
   * @param value what observers see of this candidate, often its address. Default: `host-timestampMs`
   * @throws TenureError `aborted` (after the key was deleted, or half a second); `nested-election`,
   * `permission-denied`, `unauthenticated`, `resource-exhausted` or `invalid-argument` when standing makes no sense
   */
  campaign(value: string | Uint8Array = this.#defaultValue(), options: WaitOptions = {}): Promise<Term> {
    return this.#campaign(value, options.signal, false);
  }

  /**
   * Who leads, now and after every change: the current state first, null while nobody leads. Never ends on its own:
   * aborting the signal ends the loop without an error. A reader that falls far behind misses the oldest states.
   *
   * @throws TenureError `permission-denied` or `unauthenticated` when the store refuses to show the election
   */
  observe(options: WaitOptions = {}): AsyncGenerator<Leader | null, void, undefined> {
    return this.#observe(options, ({ leader }) => leader);
  }

  /** The same as {@link observe}, with the store's revision of each change. */
  changes(options: WaitOptions = {}): AsyncGenerator<LeaderChange, void, undefined> {
    return this.#observe(options, (change) => change);
  }

  /** Who leads, from a linearizable read; null when nobody does. */
  async leader(options: ReadOptions = {}): Promise<Leader | null> {
    // Two, since the oldest key may be no candidate's but a request for a transfer.
    const { candidates } = await this.#read({ ...options, limit: 2 });
    return candidates[0] ?? null;
  }

  /** All candidates in order of succession, the leader first, from a linearizable read. */
  async candidates(options: ReadOptions = {}): Promise<readonly Leader[]> {
    const { candidates } = await this.#read(options);
    return candidates;
  }

  /** The same as {@link candidates}, with the store's revision they were read at. */
  state(options: ReadOptions = {}): Promise<ElectionState> {
    return this.#read(options);
  }

  /**
   * Has the leadership transferred to a candidate by asking the leader, wherever it runs: its term ends, and once it
   * has stopped its work and resigned, which {@link run} does by itself, the candidate leads. A leader that takes more
   * than 5 s for that has not handed over; its key stays until it resigns. Candidates in between stand again behind.
   * Resolves with the new leader.
   *
   * A leader that is no Tenure node cannot be asked: it is deposed, and does not notice. To ask takes the right to
   * write the election's keys.
   *
   * @param candidateKey as {@link candidates} has it
   * @param options.timeoutMs default 10_000
   * @throws TenureError `invalid-argument` when it is refused; `unavailable` when nobody leads, or another one
   * meanwhile; `deadline-exceeded` when the leader does not answer
   */
  async requestTransfer(candidateKey: string, options: ReadOptions = {}): Promise<Leader> {
    const { timeoutMs = TRANSFER_TIMEOUT_MS } = options;
    const { signal, release } = eitherSignal(options.signal, this.#registry.closing);
    const feed = this.#registry.feed(this.prefix);
    try {
      const where = { etcd: this.#etcd, feed, prefix: this.prefix, timeoutMs, signal };
      const leader = await requestTransfer(where, candidateKey);
      return toLeader(leader, this.#registry.isSelf(leader.leaseId));
    } catch (error) {
      throw this.#explained(error);
    } finally {
      release();
    }
  }

  /**
   * Takes part for as long as the signal lets it: stands, leads, and stands again after every term, at most 100 ms
   * later, or up to 5 s while `lead` returns within a second again and again. Resolves when the signal aborted, or
   * {@link RunningNode.stop} was called, and `lead` has settled and the key is gone. A store that does not confirm this
   * within 5 s is not waited for: the key goes with its lease.
   *
   * @throws whatever `lead` throws while its term is held, and `follow` before its signal fired; what makes standing or
   * seeing the election impossible, as {@link campaign} and {@link observe} do: each after stepping down. It is told by
   * the promise that `run` returns, so handle that one, or Node reports an unhandled rejection
   */
  run(handlers: RunHandlers, options: WaitOptions = {}): RunningNode {
    const node = {
      name: this.name,
      campaign: (value = this.#defaultValue(), { signal }: WaitOptions = {}) => this.#campaign(value, signal, true),
      changes: (wait?: WaitOptions) => this.changes(wait),
    };
    return runNode(node, this.#etcd, handlers, anySignal(options.signal, this.#registry.closing));
  }

  /** @param leavesByItself whether the caller resigns when the client closes, after its work has ended */
  async #campaign(
    value: string | Uint8Array,
    callerSignal: AbortSignal | undefined,
    leavesByItself: boolean,
  ): Promise<Term> {
    const bytes = valueBytes(value);
    const { signal, release } = eitherSignal(callerSignal, this.#registry.closing);
    try {
      return await this.#standUntilElected(bytes, leavesByItself, signal);
    } finally {
      release();
    }
  }

  async #standUntilElected(value: Uint8Array, leavesByItself: boolean, signal: AbortSignal): Promise<Term> {
    if (signal.aborted) throw abortReason(signal);
    const retry = new Retry(this.#etcd.clock, this.#etcd.random, RETRY_BOUNDS);
    const reserved = this.#registry.reserve(this.prefix, this.#ttlMs, leavesByItself, signal);
    const place = reserved instanceof Promise ? await reserved : reserved;
    for (;;) {
      try {
        return await this.#stand(value, place, signal);
      } catch (thrown) {
        const error = this.#explained(thrown);
        if (signal.aborted || isFatal(error)) {
          const left = place.leave();
          this.#registry.inBackground(left);
          await settledWithin(this.#etcd.clock, left, LEAVE_WAIT_MS);
          throw signal.aborted ? abortReason(signal) : error;
        }
        const left = place.vacate();
        this.#registry.inBackground(left);
        // Until its key is gone we do not stand again, unless we are told to stop: then the next try finds out.
        await untilAborted(left, signal).catch(() => undefined);
      }
      await retry.pause(signal);
    }
  }

  #observe<T>(options: WaitOptions, tell: (change: LeaderChange) => T): AsyncGenerator<T, void, undefined> {
    const look = (): Observed => ({
      feed: this.#registry.feed(this.prefix),
      isSelf: (leaseId) => this.#registry.isSelf(leaseId),
      ...eitherSignal(options.signal, this.#registry.closing),
      explained: (error) => this.#explained(error),
    });
    return observeLeaders(look, tell);
  }

  async #read(options: ReadOptions & { readonly limit?: number }): Promise<ElectionState> {
    try {
      const { kvs, header } = await this.#etcd.kv.range({ prefix: this.prefix }, { ...options, sortBy: "create" });
      const requestKey = Buffer.from(transferRequestKey(this.prefix));
      const candidateKeys = kvs.filter(({ key }) => !requestKey.equals(key));
      const { entries, revision } = snapshotOf(candidateKeys, header?.revision ?? 0n);
      const candidates = entries.map((entry) => toLeader(entry, this.#registry.isSelf(entry.leaseId)));
      return { candidates, revision };
    } catch (error) {
      throw this.#explained(error);
    }
  }

  async #stand(value: Uint8Array, place: Place, signal: AbortSignal): Promise<Term> {
    const joined = this.#registry.join(this.#ttlMs, signal);
    const hold = joined instanceof Promise ? await joined : joined;
    if (signal.aborted) {
      hold.release();
      throw abortedError(signal);
    }
    const candidacy = this.#registry.stand(this.prefix, hold, value, place);
    await candidacy.elected(signal);
    const { state } = candidacy;
    if (state.t !== "leading") throw state.t === "over" ? state.error : new TenureError("internal", `is ${state.t}`);
    place.elected();
    return new Term({
      etcd: this.#etcd,
      candidacy,
      token: state.createRevision,
      clusterId: state.clusterId,
      value,
      ttlMs: candidacy.ttlMs,
      leave: () => place.leave(),
      resignsByItself: place.leavesByItself,
      // The feed that the candidacy keeps open: before it stood there may have been another one.
      serveTransfers: ({ key, token }, transfer) => {
        serveTransferRequests(this.#etcd, this.#registry.feed(this.prefix), { key, token, candidacy }, transfer);
      },
      defaultValue: () => this.#defaultValue(),
    });
  }

  #explained(thrown: unknown): TenureError {
    return withPermissionHelp(TenureError.from(thrown), this.prefix, this.#etcd.user);
  }

  #defaultValue(): string {
    return `${hostname()}-${this.#etcd.clock.date().getTime()}`;
  }
}

function anySignal(given: AbortSignal | undefined, closing: AbortSignal): AbortSignal {
  return given === undefined ? closing : AbortSignal.any([given, closing]);
}

/** The client's own reason when it was closed, else that the caller aborted. */
function abortReason(signal: AbortSignal): TenureError {
  const reason: unknown = signal.reason;
  return reason instanceof TenureError ? reason : abortedError(signal);
}

import type { EtcdClient } from "@tenure/etcd";
import type { Election } from "./election.ts";
import { quoted, TenureError } from "./errors.ts";
import { Follower } from "./follower.ts";
import { reportOverdue } from "./lead-overdue.ts";
import type { Leader } from "./leader.ts";
import type { Term } from "./term.ts";
import { Retry, settledWithin } from "./wait.ts";

/** What a long-lived node does in each role. */
export interface RunHandlers {
  /** What others see of this candidate. Default: `host-timestampMs`. */
  readonly value?: string | Uint8Array;
  /**
   * Works while leading. Must end soon after `term.signal` fired: the key stays, and the next term of this process
   * waits, until it has. Returning steps down and stands again, behind the others; what it throws while the term is
   * held ends the node, what it throws later is taken for its way to stop.
   */
  readonly lead: (term: Term) => Promise<void> | void;
  /**
   * Milliseconds `lead` may take to end after its term has. Then it is reported, and again each time that this has
   * doubled: by a process warning with code `TENURE_LEAD_IGNORES_SIGNAL`, and on the diagnostics channel
   * `tenure:lead-overdue`. Default: a third of the TTL, at least 1000.
   */
  readonly drainMs?: number;
  /**
   * Hears of every leader while this process does not lead, null while nobody does. Its signal fires at the next change
   * and when this process is elected; the next call waits until this one has settled, and skips what was overtaken.
   * What it throws before its signal fired ends the node.
   */
  readonly follow?: (leader: Leader | null, signal: AbortSignal) => Promise<void> | void;
}

/** A node that takes part in an election: the promise of its end, which can be asked for. See {@link Election.run}. */
export interface RunningNode extends Promise<void> {
  /**
   * Ends the node as aborting its signal does, and resolves when it has ended, whatever ended it: an error is told by
   * the node's own promise only. May be called again. A caller that ignores what it returns is not told of the limit.
   *
   * @param options.timeoutMs default 5000, as for every request
   * @throws TenureError `deadline-exceeded` saying what has not ended by then; the node goes on ending
   */
  stop(options?: { readonly timeoutMs?: number }): Promise<void>;
}

/** What a node needs of its election. */
type NodeElection = Pick<Election, "name" | "campaign" | "changes">;

/** The pause between two terms of one process: others come first. It grows while `lead` returns at once every time. */
const RETRY_BOUNDS = { firstMs: 100, maxMs: 5000 };
/** A `lead` that takes longer is at work. */
const AT_ONCE_MS = 1000;
const MIN_DRAIN_MS = 1000;
const STOP_TIMEOUT_MS = 5000;

/** See {@link Election.run}. */
export function runNode(
  election: NodeElection,
  etcd: EtcdClient,
  handlers: RunHandlers,
  signal?: AbortSignal,
): RunningNode {
  const node = new Node(election, etcd, handlers, signal);
  const stop = ({ timeoutMs = STOP_TIMEOUT_MS }: { readonly timeoutMs?: number } = {}): Promise<void> => {
    const stopped = node.stop(timeoutMs);
    stopped.catch(() => undefined);
    return stopped;
  };
  return Object.assign(node.outcome(), { stop });
}

class Node {
  readonly #election: NodeElection;
  readonly #etcd: EtcdClient;
  readonly #handlers: RunHandlers;
  readonly #ending = new AbortController();
  /** Fires when the node has to end: its caller said so, or something failed. */
  readonly #signal: AbortSignal;
  readonly #done: Promise<void>;
  #ended = false;
  /** What has to happen before the node can end, for whoever loses patience. */
  #unfinished = "the candidate's key is not deleted yet";
  #failure: { readonly error: unknown } | undefined;

  constructor(election: NodeElection, etcd: EtcdClient, handlers: RunHandlers, signal: AbortSignal | undefined) {
    this.#election = election;
    this.#etcd = etcd;
    this.#handlers = handlers;
    this.#signal = signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
    this.#done = this.#run();
  }

  /** A promise of its own for the caller: waiting in `stop` must not count as handling an error. */
  outcome(): Promise<void> {
    return this.#done.then(() => undefined);
  }

  async stop(timeoutMs: number): Promise<void> {
    this.#ending.abort();
    await settledWithin(this.#etcd.clock, this.#done, timeoutMs);
    if (this.#ended) return;
    const { name } = this.#election;
    throw new TenureError(
      "deadline-exceeded",
      `the node of the election ${quoted(name)} did not end in ${timeoutMs} ms: ${this.#unfinished}`,
    );
  }

  async #run(): Promise<void> {
    try {
      assertDrain(this.#handlers.drainMs);
      if (!this.#signal.aborted) await this.#takePart();
    } finally {
      this.#ended = true;
    }
    // What `follow` threw, or why the election cannot be seen.
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #takePart(): Promise<void> {
    const { clock, random } = this.#etcd;
    const follower = this.#startFollowing();
    const retry = new Retry(clock, random, RETRY_BOUNDS);
    try {
      while (!this.#signal.aborted) {
        const term = await this.#elected();
        if (term === undefined) break;
        follower?.pause(term.token);
        const returnedAtOnce = await this.#lead(term);
        follower?.resume();
        if (!returnedAtOnce) retry.reset();
        await retry.pause(this.#signal);
      }
    } finally {
      this.#ending.abort();
      this.#unfinished = "follow has not ended";
      await follower?.ended;
    }
  }

  #startFollowing(): Follower | undefined {
    const { follow } = this.#handlers;
    if (follow === undefined) return undefined;
    const fail = (error: unknown): void => {
      if (!this.#signal.aborted) this.#failure = { error };
      this.#ending.abort();
    };
    return new Follower({ election: this.#election, follow, signal: this.#signal, fail });
  }

  /** The next term, or undefined when the wait for it was aborted. */
  async #elected(): Promise<Term | undefined> {
    this.#unfinished = "the candidate's key is not deleted yet";
    try {
      return await this.#election.campaign(this.#handlers.value, { signal: this.#signal });
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      throw error;
    }
  }

  /** Leads one term to its end. Returns whether `lead` gave it back at once, although it was held. */
  async #lead(term: Term): Promise<boolean> {
    const { clock } = this.#etcd;
    const electedAt = clock.now();
    const stop = (): void => term.stop();
    this.#signal.addEventListener("abort", stop);
    if (this.#signal.aborted) stop();
    let returnedAtOnce: boolean;
    try {
      // It may be over already: won, and lost before we were told.
      if (term.held) await this.#work(term);
      returnedAtOnce = term.held && clock.now() - electedAt < AT_ONCE_MS;
    } catch (error) {
      await this.#resign(term).catch(() => undefined);
      throw error;
    } finally {
      this.#signal.removeEventListener("abort", stop);
    }
    await this.#resign(term);
    return returnedAtOnce;
  }

  /** Calls `lead`, and reports when it outlives its term. */
  async #work(term: Term): Promise<void> {
    const { lead, drainMs = Math.max(MIN_DRAIN_MS, term.ttlMs / 3) } = this.#handlers;
    const { clock, closed } = this.#etcd;
    const settled = new AbortController();
    const onEnd = (): void => {
      const { signal } = settled;
      void reportOverdue({ election: this.#election.name, token: term.token, clock, drainMs, settled: signal, closed });
    };
    term.signal.addEventListener("abort", onEnd);
    this.#unfinished = "lead has not ended";
    try {
      await lead(term);
    } catch (error) {
      // Once the term is over, failing is the usual way for work to stop.
      if (term.held) throw error;
    } finally {
      term.signal.removeEventListener("abort", onEnd);
      settled.abort();
    }
  }

  /** A store that does not answer is no reason to fail: the deletion goes on, and the key ends with its lease. */
  async #resign(term: Term): Promise<void> {
    this.#unfinished = `the store has not confirmed that the key ${term.key} is deleted`;
    try {
      await term.resign();
    } catch (error) {
      if (TenureError.from(error).code !== "deadline-exceeded") throw error;
    }
  }
}

function assertDrain(drainMs = 1): void {
  if (!(drainMs > 0)) throw new TenureError("invalid-argument", `drainMs must be above 0, not ${drainMs}`);
}

import type { EtcdClient } from "@tenure/etcd";
import { ManualClock } from "@tenure/etcd/runtime";
import type { Election } from "../election.ts";
import { abortedError, TenureError } from "../errors.ts";
import type { LeaderChange } from "../leader.ts";
import { type RunHandlers, type RunningNode, runNode } from "../run.ts";
import type { Term } from "../term.ts";
import { Gate } from "./gate.ts";
import { turn } from "./turn.ts";

/** Time in which nothing more is expected to happen. */
const PATIENCE_MS = 60_000;

/** What a test does to a term that it let a node win. */
export interface FakeTerm {
  /** Ends the term, as a lost lease does. */
  readonly lose: () => void;
  /** The lease cannot be proven at this moment, which no timer has noticed yet. */
  readonly doubt: () => void;
}

/** An election that is won, lost and observed as the test says; `log` holds what happened, in order. */
export class FakeElection {
  readonly log: string[] = [];
  readonly values: (string | Uint8Array | undefined)[] = [];
  /** Campaigns that were begun, oldest first. */
  readonly campaigns: Gate<Term>[] = [];
  readonly clock: ManualClock = new ManualClock();
  /** Aborts when the client is closed. */
  readonly closed: AbortController = new AbortController();
  onResign: () => Promise<void> = () => Promise.resolve();
  readonly #changes: LeaderChange[] = [];
  #observeFailure: Error | undefined;
  #wake: () => void = () => undefined;

  readonly election: Election = {
    name: "fake",
    campaign: (value: string | Uint8Array | undefined, { signal }: { signal: AbortSignal }) => {
      this.log.push("campaign");
      this.values.push(value);
      const campaign = new Gate<Term>();
      signal.addEventListener("abort", () => campaign.fail(abortedError(signal)));
      this.campaigns.push(campaign);
      return campaign.opened;
    },
    changes: ({ signal }: { signal: AbortSignal }) => this.#observe(signal),
  } as unknown as Election;

  readonly etcd: EtcdClient = {
    clock: this.clock,
    random: { fraction: () => 1, bits: () => 0n },
    closed: this.closed.signal,
  } as unknown as EtcdClient;

  /** Starts a node whose failure the test looks at later, or not at all. */
  run(handlers: RunHandlers, signal?: AbortSignal): RunningNode {
    const node = this.runUnwatched(handlers, signal);
    node.catch(() => undefined);
    return node;
  }

  /** Starts a node whose promise nobody handles yet. */
  runUnwatched(handlers: RunHandlers, signal?: AbortSignal): RunningNode {
    return runNode(this.election, this.etcd, handlers, signal);
  }

  /** Lets the campaign under way win, with the store at this revision. */
  async elect(token = 1n): Promise<FakeTerm> {
    const ended = new AbortController();
    let proven = true;
    const end = (code: "not-leader" | "leadership-lost"): void => ended.abort(new TenureError(code, "ended"));
    const term = {
      key: "fake/1",
      token,
      ttlMs: 6000,
      signal: ended.signal,
      get held() {
        return proven && !ended.signal.aborted;
      },
      stop: () => {
        if (!ended.signal.aborted) this.log.push("stop");
        end("not-leader");
      },
      resign: async () => {
        end("not-leader");
        this.log.push("resign");
        await this.onResign();
      },
    } as unknown as Term;
    this.campaigns.at(-1)?.open(term);
    await turn();
    return { lose: () => end("leadership-lost"), doubt: () => void (proven = false) };
  }

  /** Lets time pass until so many campaigns were begun, and returns how much did since the call. */
  async stands(campaigns: number): Promise<number> {
    const since = this.clock.now();
    for (;;) {
      await turn();
      if (this.campaigns.length >= campaigns) return this.clock.now() - since;
      const [nextMs] = this.clock.due;
      if (nextMs === undefined || this.clock.now() + nextMs - since > PATIENCE_MS) {
        throw new Error(`there are ${this.campaigns.length} campaigns and not ${campaigns}`);
      }
      this.clock.advance(Math.max(0, nextMs));
    }
  }

  /** Shows these changes to who observes. */
  async show(...changes: LeaderChange[]): Promise<void> {
    this.#changes.push(...changes);
    this.#wake();
    await turn();
  }

  /** Refuses to show the election from now on. */
  async refuse(error: Error): Promise<void> {
    this.#observeFailure = error;
    this.#wake();
    await turn();
  }

  async *#observe(signal: AbortSignal): AsyncGenerator<LeaderChange> {
    signal.addEventListener("abort", () => this.#wake());
    for (;;) {
      const change = this.#changes.shift();
      if (change === undefined && this.#observeFailure !== undefined) throw this.#observeFailure;
      if (signal.aborted) return;
      if (change !== undefined) yield change;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** Another candidate leads, whose key was created at this revision. */
export function led(value: string, token: bigint, self = false): LeaderChange {
  const leader = { key: `fake/${value}`, value, valueBytes: Buffer.from(value), revision: token, leaseId: 1n, self };
  return { leader, revision: token };
}

/** The node's own process leads. */
export function ownLead(token: bigint): LeaderChange {
  return led("me", token, true);
}

/** Nobody leads, since this revision. */
export function vacant(revision: bigint): LeaderChange {
  return { leader: null, revision };
}

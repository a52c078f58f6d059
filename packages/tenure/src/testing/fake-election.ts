import type { EtcdClient } from "@tenure/etcd";
import { ManualClock } from "@tenure/etcd/runtime";
import type { Election } from "../election.ts";
import { abortedError, TenureError } from "../errors.ts";
import type { Leader } from "../leader.ts";
import { type RunHandlers, runNode } from "../run.ts";
import type { Term } from "../term.ts";
import { Gate } from "./gate.ts";
import { turn } from "./turn.ts";

/** Time that passes as soon as somebody waits for it. */
class HastyClock extends ManualClock {
  /** How long each wait was. */
  readonly pauses: number[] = [];

  override after(delayMs: number, callback: () => void): () => void {
    this.pauses.push(delayMs);
    setImmediate(() => this.advance(delayMs));
    return super.after(delayMs, callback);
  }
}

/** An election that is won, lost and observed as the test says; `log` holds what happened, in order. */
export class FakeElection {
  readonly log: string[] = [];
  readonly values: (string | Uint8Array | undefined)[] = [];
  /** Campaigns that wait, oldest first. */
  readonly campaigns: Gate<Term>[] = [];
  readonly clock: HastyClock = new HastyClock();
  onResign: () => Promise<void> = () => Promise.resolve();
  readonly #states: (Leader | null)[] = [];
  #observeFailure: Error | undefined;
  #wake: () => void = () => undefined;

  readonly election: Election = {
    campaign: (value: string | Uint8Array | undefined, { signal }: { signal: AbortSignal }) => {
      this.log.push("campaign");
      this.values.push(value);
      const campaign = new Gate<Term>();
      signal.addEventListener("abort", () => campaign.fail(abortedError(signal)));
      this.campaigns.push(campaign);
      return campaign.opened;
    },
    observe: ({ signal }: { signal: AbortSignal }) => this.#observe(signal),
  } as unknown as Election;

  readonly etcd: EtcdClient = {
    clock: this.clock,
    random: { fraction: () => 1, bits: () => 0n },
  } as unknown as EtcdClient;

  run(handlers: RunHandlers, signal?: AbortSignal): Promise<void> {
    const done = runNode(this.election, this.etcd, handlers, signal);
    done.catch(() => undefined);
    return done;
  }

  /** Lets the campaign under way win; the returned function ends the term as a lost lease does. */
  async elect(): Promise<() => void> {
    const ended = new AbortController();
    const term = {
      signal: ended.signal,
      stop: () => {
        if (!ended.signal.aborted) this.log.push("stop");
        ended.abort(new TenureError("not-leader", "stopped"));
      },
      resign: async () => {
        ended.abort(new TenureError("not-leader", "resigned"));
        this.log.push("resign");
        await this.onResign();
      },
    } as unknown as Term;
    this.campaigns.at(-1)?.open(term);
    await turn();
    return () => ended.abort(new TenureError("leadership-lost", "lost"));
  }

  async show(...leaders: (Leader | null)[]): Promise<void> {
    this.#states.push(...leaders);
    this.#wake();
    await turn();
  }

  async refuse(error: Error): Promise<void> {
    this.#observeFailure = error;
    this.#wake();
    await turn();
  }

  async *#observe(signal: AbortSignal): AsyncGenerator<Leader | null> {
    signal.addEventListener("abort", () => this.#wake());
    for (;;) {
      const state = this.#states.shift();
      if (signal.aborted) return;
      if (state !== undefined) yield state;
      else if (this.#observeFailure !== undefined) throw this.#observeFailure;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** A leader as `observe` shows it. */
export function leader(value: string, self = false): Leader {
  return { key: `e/${value}`, value, valueBytes: Buffer.from(value), revision: 1n, leaseId: 1n, self };
}

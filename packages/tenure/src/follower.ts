import type { Election } from "./election.ts";
import type { Leader } from "./leader.ts";

/** What a follower is made from. */
export interface FollowerOptions {
  readonly election: Pick<Election, "changes">;
  readonly follow: (leader: Leader | null, signal: AbortSignal) => Promise<void> | void;
  readonly signal: AbortSignal;
  /** Told when `follow` failed, or the election cannot be seen any more; has to abort the signal. */
  readonly fail: (error: unknown) => void;
}

/**
 * Calls `follow` for each leader while this process does not lead: one call at a time, the newest state next.
 *
 * What was so before a term of ours is of an earlier generation, and some of it may be delivered only after the term
 * began. It is told by its age: the leader's token or, while nobody leads, the revision. Ages rise from state to state.
 */
export class Follower {
  /** Resolves when the signal aborted and no call is under way any more. Never rejects. */
  readonly ended: Promise<void>;
  readonly #follow: FollowerOptions["follow"];
  readonly #fail: FollowerOptions["fail"];
  readonly #signal: AbortSignal;
  /** The newest state, until a call is made for it. */
  #next: { readonly leader: Leader | null } | undefined;
  /** The call under way, or the last one. */
  #call = new AbortController();
  #calling = false;
  #calls: Promise<void> = Promise.resolve();
  #paused = false;
  /** The token of our own term, until a state as new as that was seen. */
  #generation = 0n;
  /** The store's revision of the last state. */
  #revision = 0n;

  constructor({ election, follow, signal, fail }: FollowerOptions) {
    this.#follow = follow;
    this.#fail = fail;
    this.#signal = signal;
    // At once, so that a call which fails because the node is told to stop is not taken for a failure.
    signal.addEventListener("abort", () => this.#call.abort(), { once: true });
    this.ended = this.#watch(election);
  }

  /** We lead: the call under way is told to stop, no other is made, and what was seen so far is out of date. */
  pause(token: bigint): void {
    this.#paused = true;
    this.#generation = token;
    this.#next = undefined;
    this.#call.abort();
  }

  /** We do not lead any more. */
  resume(): void {
    this.#paused = false;
    this.#callNext();
  }

  async #watch(election: FollowerOptions["election"]): Promise<void> {
    try {
      for await (const { leader, revision } of election.changes({ signal: this.#signal })) {
        // A store that was replaced or set back counts from a lower revision.
        if (revision < this.#revision) this.#generation = 0n;
        this.#revision = revision;
        if ((leader?.revision ?? revision) < this.#generation) continue;
        // From here on nothing is old.
        this.#generation = 0n;
        // Ourselves: elected this moment, or a key of ours that is about to go.
        this.#next = leader?.self === true ? undefined : { leader };
        this.#call.abort();
        this.#callNext();
      }
    } catch (error) {
      this.#call.abort();
      this.#fail(error);
    }
    await this.#calls;
  }

  #callNext(): void {
    if (!this.#calling) this.#calls = this.#callEach();
  }

  async #callEach(): Promise<void> {
    this.#calling = true;
    while (this.#next !== undefined && !this.#paused && !this.#signal.aborted) {
      const { leader } = this.#next;
      const call = new AbortController();
      this.#next = undefined;
      this.#call = call;
      try {
        await this.#follow(leader, call.signal);
      } catch (error) {
        if (!call.signal.aborted) this.#fail(error);
      }
    }
    this.#calling = false;
  }
}

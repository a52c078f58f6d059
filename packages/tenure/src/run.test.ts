import type { EtcdClient } from "@tenure/etcd";
import { describe, expect, it, vi } from "vitest";
import type { Election } from "./election.ts";
import { abortedError, TenureError } from "./errors.ts";
import type { Leader } from "./leader.ts";
import { type RunHandlers, runNode } from "./run.ts";
import type { Term } from "./term.ts";

async function turn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}

/** A promise that the test settles. */
class Gate<T = void> {
  readonly opened: Promise<T>;
  open: (value: T) => void = () => undefined;
  fail: (error: unknown) => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve, reject) => {
      this.open = resolve;
      this.fail = reject;
    });
    this.opened.catch(() => undefined);
  }
}

/** An election that is won, lost and observed as the test says; `log` holds what happened, in order. */
class FakeElection {
  readonly log: string[] = [];
  readonly values: (string | Uint8Array | undefined)[] = [];
  /** Campaigns that wait, oldest first. */
  readonly campaigns: Gate<Term>[] = [];
  /** Pauses between terms, in milliseconds; each ends at once. */
  readonly pauses: number[] = [];
  onResign: () => Promise<void> = () => Promise.resolve();
  readonly #states: (Leader | null)[] = [];
  #observeFailure: Error | undefined;
  #wake: () => void = () => undefined;

  readonly election = {
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

  readonly etcd = {
    clock: {
      now: () => 0,
      date: () => new Date(0),
      after: (delayMs: number, callback: () => void) => {
        this.pauses.push(delayMs);
        setImmediate(callback);
        return () => undefined;
      },
    },
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

function leader(value: string, self = false): Leader {
  return { key: `e/${value}`, value, valueBytes: Buffer.from(value), revision: 1n, leaseId: 1n, self };
}

describe("a node", () => {
  it("campaigns with its value, leads, resigns, and stands again", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const lead = vi.fn<(term: Term) => Promise<void>>(() => Promise.resolve());
    const done = fake.run({ value: "me", lead }, controller.signal);
    await fake.elect();
    await vi.waitFor(() => expect(fake.campaigns).toHaveLength(2));
    await fake.elect();
    await vi.waitFor(() => expect(fake.campaigns).toHaveLength(3));
    expect(lead).toHaveBeenCalledTimes(2);
    expect(fake.values).toEqual(["me", "me", "me"]);
    expect(fake.log).toEqual(["campaign", "resign", "campaign", "resign", "campaign"]);
    controller.abort();
    await done;
  });

  it("leaves others time between two of its terms, never more than half a second", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const done = fake.run({ lead: () => undefined }, controller.signal);
    for (let term = 1; term <= 6; term++) {
      await fake.elect();
      await vi.waitFor(() => expect(fake.campaigns).toHaveLength(term + 1));
    }
    controller.abort();
    await done;
    expect(fake.pauses.slice(0, 6)).toHaveLength(6);
    expect(Math.min(...fake.pauses)).toBeGreaterThanOrEqual(50);
    expect(Math.max(...fake.pauses)).toBeLessThanOrEqual(500);
  });

  it("does not resign, nor stand again, before its work has settled, although the term was lost", async () => {
    const fake = new FakeElection();
    const work = new Gate();
    const controller = new AbortController();
    const done = fake.run({ lead: () => work.opened }, controller.signal);
    const lose = await fake.elect();
    lose();
    await turn();
    expect(fake.log).toEqual(["campaign"]);
    work.open();
    await vi.waitFor(() => expect(fake.log).toEqual(["campaign", "resign", "campaign"]));
    controller.abort();
    await done;
  });

  it("does not stand again before its key is gone", async () => {
    const fake = new FakeElection();
    const gone = new Gate();
    fake.onResign = () => gone.opened;
    const controller = new AbortController();
    const done = fake.run({ lead: () => undefined }, controller.signal);
    await fake.elect();
    await turn();
    expect(fake.campaigns).toHaveLength(1);
    gone.open();
    await vi.waitFor(() => expect(fake.campaigns).toHaveLength(2));
    controller.abort();
    await done;
  });

  it("takes work that fails after its term was lost for work that stopped", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const work = new Gate();
    const done = fake.run({ lead: () => work.opened }, controller.signal);
    const lose = await fake.elect();
    lose();
    work.fail(new Error("interrupted"));
    await vi.waitFor(() => expect(fake.campaigns).toHaveLength(2));
    controller.abort();
    await done;
  });

  it("fails when its work fails while it leads, after it resigned", async () => {
    const fake = new FakeElection();
    const gone = new Gate();
    fake.onResign = () => gone.opened;
    const settled = vi.fn<() => void>();
    const broken = new Error("broken");
    const done = fake.run({ lead: () => Promise.reject(broken) });
    done.then(settled, settled);
    await fake.elect();
    await turn();
    expect(fake.log).toEqual(["campaign", "resign"]);
    expect(settled).not.toHaveBeenCalled();
    gone.open();
    await expect(done).rejects.toBe(broken);
    expect(fake.campaigns).toHaveLength(1);
  });

  it("fails when its work throws before it returns a promise", async () => {
    const fake = new FakeElection();
    const done = fake.run({
      lead: () => {
        throw new Error("at once");
      },
    });
    await fake.elect();
    await expect(done).rejects.toThrow("at once");
    expect(fake.log).toEqual(["campaign", "resign"]);
  });

  it("does not fail because its key could not be deleted in time, but for another reason it does", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    fake.onResign = () => Promise.reject(new TenureError("deadline-exceeded", "slow"));
    const done = fake.run({ lead: () => undefined }, controller.signal);
    await fake.elect();
    await vi.waitFor(() => expect(fake.campaigns).toHaveLength(2));
    fake.onResign = () => Promise.reject(new TenureError("internal", "odd"));
    await fake.elect();
    await expect(done).rejects.toThrow("odd");
  });

  it("fails when standing makes no sense", async () => {
    const fake = new FakeElection();
    const refused = new TenureError("permission-denied", "no");
    const done = fake.run({ lead: () => undefined });
    fake.campaigns[0]?.fail(refused);
    await expect(done).rejects.toBe(refused);
    expect(fake.campaigns).toHaveLength(1);
  });
});

describe("aborting a node", () => {
  it("before it starts does nothing", async () => {
    const fake = new FakeElection();
    await fake.run({ lead: () => undefined }, AbortSignal.abort());
    expect(fake.log).toEqual([]);
  });

  it("while it waits ends it without an error", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const done = fake.run({ lead: () => undefined }, controller.signal);
    await turn();
    controller.abort();
    await expect(done).resolves.toBeUndefined();
    expect(fake.log).toEqual(["campaign"]);
  });

  it("while it leads ends the term, waits for the work, deletes the key, then resolves", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const work = new Gate();
    const terms: Term[] = [];
    const lead = (term: Term): Promise<void> => {
      terms.push(term);
      return work.opened;
    };
    const done = fake.run({ lead }, controller.signal);
    await fake.elect();
    expect(terms[0]?.signal.aborted).toBe(false);
    controller.abort();
    await turn();
    expect(terms[0]?.signal.aborted).toBe(true);
    expect(fake.log).toEqual(["campaign", "stop"]);
    work.open();
    await expect(done).resolves.toBeUndefined();
    expect(fake.log).toEqual(["campaign", "stop", "resign"]);
  });

  it("just when it was elected gives the term back without any work", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const lead = vi.fn<() => void>();
    const done = fake.run({ lead }, controller.signal);
    const elected = fake.elect();
    controller.abort();
    await elected;
    await done;
    expect(lead).not.toHaveBeenCalled();
    expect(fake.log).toEqual(["campaign", "stop", "resign"]);
  });
});

describe("following", () => {
  /** Records the calls, which end when their signal fires or the test lets them. */
  class Follower {
    readonly calls: { readonly leader: string | null; readonly signal: AbortSignal; readonly gate: Gate }[] = [];
    readonly follow = (state: Leader | null, signal: AbortSignal): Promise<void> => {
      const gate = new Gate();
      this.calls.push({ leader: state?.value ?? null, signal, gate });
      return gate.opened;
    };
    get leaders(): (string | null)[] {
      return this.calls.map(({ leader: value }) => value);
    }
  }

  it("hears of every leader, and of none", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const seen: (string | null)[] = [];
    const follow = (state: Leader | null): void => void seen.push(state?.value ?? null);
    const done = fake.run({ lead: () => undefined, follow }, controller.signal);
    await fake.show(leader("a"));
    await fake.show(null);
    await fake.show(leader("b"));
    expect(seen).toEqual(["a", null, "b"]);
    controller.abort();
    await done;
  });

  it("is one call at a time: the signal fires at the next change, and what was overtaken is skipped", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const follower = new Follower();
    const done = fake.run({ lead: () => undefined, follow: follower.follow }, controller.signal);
    await fake.show(leader("a"));
    expect(follower.calls[0]?.signal.aborted).toBe(false);
    await fake.show(leader("b"));
    await fake.show(null);
    await fake.show(leader("c"));
    expect(follower.leaders).toEqual(["a"]);
    expect(follower.calls[0]?.signal.aborted).toBe(true);
    follower.calls[0]?.gate.open();
    await turn();
    expect(follower.leaders).toEqual(["a", "c"]);
    follower.calls[1]?.gate.open();
    controller.abort();
    await done;
  });

  it("may fail once its signal has fired", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const follower = new Follower();
    const done = fake.run({ lead: () => undefined, follow: follower.follow }, controller.signal);
    await fake.show(leader("a"));
    await fake.show(leader("b"));
    follower.calls[0]?.gate.fail(new Error("interrupted"));
    await turn();
    expect(follower.leaders).toEqual(["a", "b"]);
    follower.calls[1]?.gate.open();
    controller.abort();
    await expect(done).resolves.toBeUndefined();
  });

  it("that fails ends the node, with its error", async () => {
    const fake = new FakeElection();
    const broken = new Error("broken");
    const done = fake.run({ lead: () => undefined, follow: () => Promise.reject(broken) });
    await fake.show(leader("a"));
    await expect(done).rejects.toBe(broken);
  });

  it("stops while this node leads, and its own leadership is no news", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const follower = new Follower();
    const work = new Gate();
    const done = fake.run({ lead: () => work.opened, follow: follower.follow }, controller.signal);
    await fake.show(leader("a"));
    await fake.show(leader("me", true));
    await fake.elect();
    expect(follower.calls[0]?.signal.aborted).toBe(true);
    follower.calls[0]?.gate.open();
    await fake.show(leader("b"));
    await fake.show(leader("c"));
    expect(follower.leaders).toEqual(["a"]);
    work.open();
    await vi.waitFor(() => expect(follower.leaders).toEqual(["a", "c"]));
    follower.calls[1]?.gate.open();
    controller.abort();
    await done;
  });

  it("ends with the node: the signal of the call under way fires, and the node waits for it", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const follower = new Follower();
    const settled = vi.fn<() => void>();
    const done = fake.run({ lead: () => undefined, follow: follower.follow }, controller.signal);
    void done.then(settled);
    await fake.show(leader("a"));
    controller.abort();
    await turn();
    expect(follower.calls[0]?.signal.aborted).toBe(true);
    expect(settled).not.toHaveBeenCalled();
    follower.calls[0]?.gate.open();
    await done;
  });

  it("is refused when the store does not show the election", async () => {
    const fake = new FakeElection();
    const refused = new TenureError("permission-denied", "no");
    const done = fake.run({ lead: () => undefined, follow: () => undefined });
    await fake.refuse(refused);
    await expect(done).rejects.toBe(refused);
  });
});

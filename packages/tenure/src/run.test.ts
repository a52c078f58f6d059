import { describe, expect, it, vi } from "vitest";
import { TenureError } from "./errors.ts";
import type { Term } from "./term.ts";
import { FakeElection } from "./testing/fake-election.ts";
import { Gate } from "./testing/gate.ts";
import { passTime } from "./testing/pass-time.ts";
import { turn } from "./testing/turn.ts";

describe("a node", () => {
  it("campaigns with its value, leads, resigns, and stands again", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const lead = vi.fn<(term: Term) => Promise<void>>(() => Promise.resolve());
    const done = fake.run({ value: "me", lead }, controller.signal);
    await fake.elect();
    await fake.stands(2);
    await fake.elect();
    await fake.stands(3);
    expect(lead).toHaveBeenCalledTimes(2);
    expect(fake.values).toEqual(["me", "me", "me"]);
    expect(fake.log).toEqual(["campaign", "resign", "campaign", "resign", "campaign"]);
    controller.abort();
    await done;
  });

  it("does not resign, nor stand again, before its work has settled, although the term was lost", async () => {
    const fake = new FakeElection();
    const work = new Gate();
    const controller = new AbortController();
    const done = fake.run({ lead: () => work.opened, drainMs: 120_000 }, controller.signal);
    const { lose } = await fake.elect();
    lose();
    await passTime(fake.clock, 60_000);
    expect(fake.log).toEqual(["campaign"]);
    work.open();
    await fake.stands(2);
    expect(fake.log).toEqual(["campaign", "resign", "campaign"]);
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
    await passTime(fake.clock, 60_000);
    expect(fake.campaigns).toHaveLength(1);
    gone.open();
    await fake.stands(2);
    controller.abort();
    await done;
  });

  it("has no work done in a term that is over before it was told of it", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const lead = vi.fn<() => void>();
    const done = fake.run({ lead }, controller.signal);
    const elected = fake.elect();
    // The promise of the term was kept, and nobody has heard of it yet.
    const term = await fake.campaigns[0]?.opened;
    term?.stop();
    await elected;
    await fake.stands(2);
    expect(lead).not.toHaveBeenCalled();
    expect(fake.log).toEqual(["campaign", "stop", "resign", "campaign"]);
    controller.abort();
    await done;
  });

  it.each<[string, { readonly of: "lose" | "doubt" }]>([
    ["its term was lost", { of: "lose" }],
    ["its lease cannot be proven any more, although nothing has fired yet", { of: "doubt" }],
  ])("takes work that fails after %s for work that stopped", async (_when, { of }) => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const work = new Gate();
    const done = fake.run({ lead: () => work.opened }, controller.signal);
    const term = await fake.elect();
    term[of]();
    work.fail(new Error("interrupted"));
    await fake.stands(2);
    controller.abort();
    await expect(done).resolves.toBeUndefined();
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
    fake.onResign = () => Promise.reject(new TenureError("deadline-exceeded", "slow"));
    const done = fake.run({ lead: () => undefined });
    await fake.elect();
    await fake.stands(2);
    fake.onResign = () => Promise.reject(new TenureError("internal", "odd"));
    await fake.elect();
    await expect(done).rejects.toThrow("odd");
  });

  it("fails for what its work threw, whatever else goes wrong afterwards", async () => {
    const fake = new FakeElection();
    fake.onResign = () => Promise.reject(new TenureError("internal", "odd"));
    const done = fake.run({ lead: () => Promise.reject(new Error("broken")) });
    await fake.elect();
    await expect(done).rejects.toThrow("broken");
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

describe("the pause between two terms", () => {
  it("grows while lead returns at once, from 100 ms to 5 s", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const done = fake.run({ lead: () => undefined }, controller.signal);
    const pauses = await pausesAfter(fake, 8);
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    controller.abort();
    await done;
  });

  it("is short again after a term in which there was work for a second", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    let work = new Gate();
    const done = fake.run({ lead: () => work.opened }, controller.signal);
    work.open();
    expect(await pausesAfter(fake, 3)).toEqual([100, 200, 400]);
    work = new Gate();
    await fake.elect();
    fake.clock.advance(1000);
    work.open();
    expect(await fake.stands(5)).toBe(100);
    controller.abort();
    await done;
  });

  it("is short after a term that was lost, however soon", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const lead = async (term: Term): Promise<void> => {
      await new Promise((resolve) => term.signal.addEventListener("abort", resolve));
    };
    const done = fake.run({ lead }, controller.signal);
    for (let terms = 1; terms <= 4; terms++) {
      const { lose } = await fake.elect();
      lose();
      expect(await fake.stands(terms + 1)).toBe(100);
    }
    controller.abort();
    await done;
  });

  /** How long the node waits after each of so many terms. */
  async function pausesAfter(fake: FakeElection, terms: number): Promise<number[]> {
    const pauses: number[] = [];
    while (pauses.length < terms) {
      await fake.elect();
      pauses.push(await fake.stands(pauses.length + 2));
    }
    return pauses;
  }
});

describe("aborting a node", () => {
  it("before it starts does nothing", async () => {
    const fake = new FakeElection();
    const changes = vi.spyOn(fake.election, "changes");
    await fake.run({ lead: () => undefined, follow: () => undefined }, AbortSignal.abort());
    expect(fake.log).toEqual([]);
    expect(changes).not.toHaveBeenCalled();
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

  it("between two terms ends it at once", async () => {
    const fake = new FakeElection();
    const controller = new AbortController();
    const done = fake.run({ lead: () => undefined }, controller.signal);
    await fake.elect();
    expect(fake.clock.due).toEqual([100]);
    controller.abort();
    await expect(done).resolves.toBeUndefined();
    expect(fake.clock.due).toEqual([]);
    expect(fake.campaigns).toHaveLength(1);
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

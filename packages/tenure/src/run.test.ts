import { describe, expect, it, vi } from "vitest";
import { TenureError } from "./errors.ts";
import type { Term } from "./term.ts";
import { FakeElection } from "./testing/fake-election.ts";
import { Gate } from "./testing/gate.ts";
import { turn } from "./testing/turn.ts";

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
    expect(fake.clock.pauses.slice(0, 6)).toHaveLength(6);
    expect(Math.min(...fake.clock.pauses)).toBeGreaterThanOrEqual(50);
    expect(Math.max(...fake.clock.pauses)).toBeLessThanOrEqual(500);
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

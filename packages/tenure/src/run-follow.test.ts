import { describe, expect, it, vi } from "vitest";
import { TenureError } from "./errors.ts";
import type { Leader } from "./leader.ts";
import { FakeElection, led, ownLead, vacant } from "./testing/fake-election.ts";
import { Gate } from "./testing/gate.ts";
import { turn } from "./testing/turn.ts";

/** A call of `follow` that goes on until the test lets it end. */
interface Call {
  readonly leader: string | null;
  readonly signal: AbortSignal;
  readonly gate: Gate;
}

/** A node whose calls of `follow`, and `lead`, go on until their test lets them end. */
function following() {
  const fake = new FakeElection();
  const controller = new AbortController();
  const work = new Gate();
  const calls: Call[] = [];
  const follow = (leader: Leader | null, signal: AbortSignal): Promise<void> => {
    const gate = new Gate();
    calls.push({ leader: leader?.value ?? null, signal, gate });
    return gate.opened;
  };
  const done = fake.run({ lead: () => work.opened, follow }, controller.signal);
  const leaders = (): (string | null)[] => calls.map(({ leader }) => leader);
  return { fake, controller, calls, leaders, work, done };
}

/** A node whose calls of `follow` end at once; `lead` does when the test lets it. */
function hearing() {
  const fake = new FakeElection();
  const controller = new AbortController();
  const work = new Gate();
  const seen: (string | null)[] = [];
  const follow = (state: Leader | null): void => void seen.push(state?.value ?? null);
  const done = fake.run({ lead: () => work.opened, follow }, controller.signal);
  return { fake, controller, seen, work, done };
}

describe("following", () => {
  it("hears of every leader, and of none", async () => {
    const { fake, controller, seen, done } = hearing();
    await fake.show(led("a", 1n));
    await fake.show(vacant(2n));
    await fake.show(led("b", 3n));
    expect(seen).toEqual(["a", null, "b"]);
    controller.abort();
    await done;
  });

  it("is one call at a time: the signal fires at the next change, and what was overtaken is skipped", async () => {
    const { fake, controller, calls, leaders, done } = following();
    await fake.show(led("a", 1n));
    expect(calls[0]?.signal.aborted).toBe(false);
    await fake.show(led("b", 2n));
    await fake.show(vacant(3n));
    await fake.show(led("c", 4n));
    expect(leaders()).toEqual(["a"]);
    expect(calls[0]?.signal.aborted).toBe(true);
    calls[0]?.gate.open();
    await turn();
    expect(leaders()).toEqual(["a", "c"]);
    expect(calls[1]?.signal.aborted).toBe(false);
    calls[1]?.gate.open();
    controller.abort();
    await done;
  });

  it("may fail once its signal has fired", async () => {
    const { fake, controller, calls, leaders, done } = following();
    await fake.show(led("a", 1n));
    await fake.show(led("b", 2n));
    calls[0]?.gate.fail(new Error("interrupted"));
    await turn();
    expect(leaders()).toEqual(["a", "b"]);
    calls[1]?.gate.open();
    controller.abort();
    await expect(done).resolves.toBeUndefined();
  });

  it("may fail because the node is told to stop, at that very moment", async () => {
    const { fake, controller, calls, done } = following();
    await fake.show(led("a", 1n));
    controller.signal.addEventListener("abort", () => calls[0]?.gate.fail(new Error("interrupted")));
    controller.abort();
    await expect(done).resolves.toBeUndefined();
  });

  it.each<[string, () => Promise<void>]>([
    ["rejects", () => Promise.reject(new Error("broken"))],
    [
      "throws",
      () => {
        throw new Error("broken");
      },
    ],
  ])("that %s ends the node, with its error and without another call", async (_how, broken) => {
    const fake = new FakeElection();
    const follow = vi.fn<() => Promise<void>>(broken);
    const done = fake.run({ lead: () => undefined, follow });
    await fake.show(led("a", 1n), led("b", 2n));
    await expect(done).rejects.toThrow("broken");
    expect(follow).toHaveBeenCalledTimes(1);
  });

  it("ends with the node: the signal of the call under way fires, and the node waits for it", async () => {
    const { fake, controller, calls, done } = following();
    const settled = vi.fn<() => void>();
    void done.then(settled);
    await fake.show(led("a", 1n));
    controller.abort();
    await turn();
    expect(calls[0]?.signal.aborted).toBe(true);
    expect(settled).not.toHaveBeenCalled();
    calls[0]?.gate.open();
    await done;
  });

  it("ends the node when the store does not show the election", async () => {
    const fake = new FakeElection();
    const refused = new TenureError("permission-denied", "no");
    const done = fake.run({ lead: () => undefined, follow: () => undefined });
    await fake.refuse(refused);
    await expect(done).rejects.toBe(refused);
  });

  it("ends the node when the election cannot be seen any more, once the call under way has ended", async () => {
    const { fake, calls, done } = following();
    const settled = vi.fn<() => void>();
    done.then(settled, settled);
    await fake.show(led("a", 1n));
    await fake.refuse(new Error("permission denied"));
    await turn();
    expect(calls[0]?.signal.aborted).toBe(true);
    expect(settled).not.toHaveBeenCalled();
    calls[0]?.gate.fail(new Error("interrupted"));
    await expect(done).rejects.toThrow("permission denied");
  });

  it("that cannot go on in a term ends the term, and the node when lead has ended", async () => {
    const { fake, work, done } = following();
    const settled = vi.fn<() => void>();
    done.then(settled, settled);
    await fake.elect();
    await fake.refuse(new TenureError("permission-denied", "no"));
    await turn();
    expect(fake.log).toEqual(["campaign", "stop"]);
    expect(settled).not.toHaveBeenCalled();
    work.open();
    await expect(done).rejects.toMatchObject({ code: "permission-denied" });
    expect(fake.log).toEqual(["campaign", "stop", "resign"]);
  });
});

describe("following around an own term", () => {
  it("stops while this node leads, and its own leadership is no news", async () => {
    const { fake, controller, calls, leaders, work, done } = following();
    await fake.show(led("a", 1n));
    await fake.show(ownLead(2n));
    expect(calls[0]?.signal.aborted).toBe(true);
    await fake.elect(2n);
    calls[0]?.gate.open();
    await fake.show(led("b", 3n));
    await fake.show(led("c", 4n));
    expect(leaders()).toEqual(["a"]);
    work.open();
    await turn();
    expect(leaders()).toEqual(["a", "c"]);
    calls[1]?.gate.open();
    controller.abort();
    await done;
  });

  it("stops when this node is elected, before it was seen to lead", async () => {
    const { fake, controller, calls, leaders, work, done } = following();
    await fake.show(led("a", 1n));
    await fake.elect(2n);
    expect(calls[0]?.signal.aborted).toBe(true);
    calls[0]?.gate.open();
    work.open();
    await fake.stands(2);
    expect(leaders()).toEqual(["a"]);
    controller.abort();
    await done;
  });

  it("hears nothing of what was so before its own term once that is over", async () => {
    const { fake, controller, seen, work, done } = hearing();
    await fake.show(led("a", 1n));
    await fake.elect(4n);
    work.open();
    await fake.stands(2);
    // Delivered late: the leader before, a vacancy before, and our own term.
    await fake.show(led("b", 2n), vacant(3n), ownLead(4n));
    expect(seen).toEqual(["a"]);
    await fake.show(vacant(5n));
    await fake.show(led("c", 6n));
    expect(seen).toEqual(["a", null, "c"]);
    controller.abort();
    await done;
  });

  it("does not call for what was overtaken by its own term, although the last call ends after it", async () => {
    const { fake, controller, calls, leaders, work, done } = following();
    await fake.show(led("a", 1n));
    await fake.show(led("b", 2n));
    await fake.elect(3n);
    work.open();
    await fake.stands(2);
    calls[0]?.gate.open();
    await turn();
    expect(leaders()).toEqual(["a"]);
    await fake.show(led("c", 4n));
    expect(leaders()).toEqual(["a", "c"]);
    calls[1]?.gate.open();
    controller.abort();
    await done;
  });

  it("hears of a store that was set back to lower revisions since", async () => {
    const { fake, controller, seen, work, done } = hearing();
    await fake.elect(10n);
    await fake.show(ownLead(10n));
    work.open();
    await fake.stands(2);
    await fake.show(led("a", 3n));
    expect(seen).toEqual(["a"]);
    controller.abort();
    await done;
  });
});

import { describe, expect, it, vi } from "vitest";
import { TenureError } from "./errors.ts";
import type { Leader } from "./leader.ts";
import { FakeElection, leader } from "./testing/fake-election.ts";
import { Gate } from "./testing/gate.ts";
import { turn } from "./testing/turn.ts";

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

  it("stops when the election cannot be seen any more", async () => {
    const { fake, follower, done } = following();
    done.catch(() => undefined);
    await fake.show(leader("other"));
    await fake.refuse(new Error("permission denied"));
    await vi.waitFor(() => expect(follower.calls[0]?.signal.aborted).toBe(true));
    await expect(done).rejects.toThrow("permission denied");
  });

  /** A node whose calls of `follow` go on until their test lets them end. */
  function following() {
    const fake = new FakeElection();
    const controller = new AbortController();
    const follower = new Follower();
    const done = fake.run({ lead: () => undefined, follow: follower.follow }, controller.signal);
    return { fake, controller, follower, done };
  }

  /** A node whose calls of `follow` end at once. */
  function hearing() {
    const fake = new FakeElection();
    const controller = new AbortController();
    const seen: (string | null)[] = [];
    const follow = (state: Leader | null): void => void seen.push(state?.value ?? null);
    const done = fake.run({ lead: () => undefined, follow }, controller.signal);
    return { fake, controller, seen, done };
  }

  it("hears of every leader, and of none", async () => {
    const { fake, controller, seen, done } = hearing();
    await fake.show(leader("a"));
    await fake.show(null);
    await fake.show(leader("b"));
    expect(seen).toEqual(["a", null, "b"]);
    controller.abort();
    await done;
  });

  it("is one call at a time: the signal fires at the next change, and what was overtaken is skipped", async () => {
    const { fake, controller, follower, done } = following();
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
    const { fake, controller, follower, done } = following();
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

  it("hears nothing of the leader before its own term once that term is over", async () => {
    const { fake, controller, seen, done } = hearing();
    await fake.show(leader("a"));
    await fake.show(leader("me", true));
    await fake.elect();
    await vi.waitFor(() => expect(fake.campaigns).toHaveLength(2));
    await turn();
    expect(seen).toEqual(["a"]);
    await fake.show(null);
    await fake.show(leader("b"));
    expect(seen).toEqual(["a", null, "b"]);
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

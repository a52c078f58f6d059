import { describe, expect, it, vi } from "vitest";
import { TenureError } from "./errors.ts";
import { FakeElection, led } from "./testing/fake-election.ts";
import { Gate } from "./testing/gate.ts";
import { passTime } from "./testing/pass-time.ts";
import { turn } from "./testing/turn.ts";

describe("stop", () => {
  it("ends the term, waits for lead, has the key deleted, and then resolves", async () => {
    const { fake, node, work } = await leading();
    const settled = vi.fn<() => void>();
    const stopped = node.stop().then(settled);
    expect(fake.log).toEqual(["campaign", "stop"]);
    await turn();
    expect(settled).not.toHaveBeenCalled();
    work.open();
    await stopped;
    expect(fake.log).toEqual(["campaign", "stop", "resign"]);
    await expect(node).resolves.toBeUndefined();
  });

  it("ends a node that waits, and does nothing to one that has ended", async () => {
    const fake = new FakeElection();
    const node = fake.run({ lead: () => undefined });
    await node.stop();
    await node;
    await node.stop();
    expect(fake.log).toEqual(["campaign"]);
  });

  it("may be called before the node has done anything, and many times at once", async () => {
    const fake = new FakeElection();
    const node = fake.run({ lead: () => undefined, follow: () => undefined });
    await Promise.all([node.stop(), node.stop(), node.stop()]);
    await expect(node).resolves.toBeUndefined();
  });

  it("says that lead has not ended, and waits again when it is called again", async () => {
    const { fake, node, work } = await leading({ drainMs: 60_000 });
    const first = node.stop({ timeoutMs: 100 });
    await passTime(fake.clock, 100);
    await expect(first).rejects.toMatchObject({
      code: "deadline-exceeded",
      message: 'the node of the election "fake" did not end in 100 ms: lead has not ended',
    });
    const second = node.stop();
    await passTime(fake.clock, 4999);
    work.open();
    await expect(second).resolves.toBeUndefined();
    expect(fake.log).toEqual(["campaign", "stop", "resign"]);
  });

  it("waits 5 s unless told otherwise", async () => {
    const { fake, node, work } = await leading({ drainMs: 60_000 });
    const settled = vi.fn<(error: unknown) => void>();
    void node.stop().catch(settled);
    await passTime(fake.clock, 4999);
    expect(settled).not.toHaveBeenCalled();
    await passTime(fake.clock, 1);
    expect(settled).toHaveBeenCalledTimes(1);
    work.open();
    await node;
  });

  it("says that the store does not answer", async () => {
    const { fake, node, work } = await leading();
    const gone = new Gate();
    fake.onResign = () => gone.opened;
    work.open();
    const stopped = node.stop({ timeoutMs: 100 });
    await passTime(fake.clock, 100);
    await expect(stopped).rejects.toThrow("the store has not confirmed that the key fake/1 is deleted");
    gone.open();
    await node.stop();
  });

  it("says that follow has not ended", async () => {
    const fake = new FakeElection();
    const call = new Gate();
    const node = fake.run({ lead: () => undefined, follow: () => call.opened });
    await fake.show(led("a", 1n));
    const stopped = node.stop({ timeoutMs: 100 });
    await passTime(fake.clock, 100);
    await expect(stopped).rejects.toThrow("follow has not ended");
    call.open();
    await node.stop();
  });

  it("resolves when the node failed: the node's own promise tells why", async () => {
    const { node, work } = await leading();
    work.fail(new Error("broken"));
    await turn();
    await expect(node.stop()).resolves.toBeUndefined();
    await expect(node).rejects.toThrow("broken");
  });

  it("ends one of two nodes, and the other goes on", async () => {
    const one = await leading();
    const other = await leading();
    one.work.open();
    await one.node.stop();
    expect(other.fake.log).toEqual(["campaign"]);
    other.work.open();
    await other.node.stop();
  });
});

describe("a node's promise", () => {
  it("is one of those that can be raced", async () => {
    const { node, work } = await leading();
    work.fail(new Error("broken"));
    await expect(Promise.race([node, new Promise<never>(() => undefined)])).rejects.toThrow("broken");
    expect(node).toBeInstanceOf(Promise);
  });

  it.each([0, -1, Number.NaN])("rejects a limit of %d ms for lead to end", async (drainMs) => {
    const fake = new FakeElection();
    await expect(fake.run({ lead: () => undefined, drainMs })).rejects.toMatchObject({ code: "invalid-argument" });
    expect(fake.log).toEqual([]);
  });
});

describe("what nobody handles", () => {
  it.each<[string, (fake: FakeElection) => Promise<void>]>([
    [
      "it leads and is stopped, and nobody waits for either",
      async (fake) => {
        const node = fake.runUnwatched({ lead: () => undefined });
        await fake.elect();
        void node.stop();
      },
    ],
    [
      "stop runs into its limit, and nobody listens",
      async (fake) => {
        const work = new Gate();
        const node = fake.runUnwatched({ lead: () => work.opened, drainMs: 60_000 });
        await fake.elect();
        void node.stop({ timeoutMs: 10 });
        await passTime(fake.clock, 10);
        work.open();
      },
    ],
    [
      "lead fails after its signal fired",
      async (fake) => {
        const work = new Gate();
        const node = fake.runUnwatched({ lead: () => work.opened });
        await fake.elect();
        void node.stop();
        work.fail(new Error("interrupted"));
      },
    ],
    [
      "follow fails after its signal fired, and again when the node is stopped",
      async (fake) => {
        const follow = (_leader: unknown, signal: AbortSignal): Promise<void> =>
          new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () => reject(new Error("interrupted")));
          });
        const node = fake.runUnwatched({ lead: () => undefined, follow });
        await fake.show(led("a", 1n), led("b", 2n));
        void node.stop();
      },
    ],
    [
      "the key is not deleted in time",
      async (fake) => {
        fake.onResign = () => Promise.reject(new TenureError("deadline-exceeded", "slow"));
        const node = fake.runUnwatched({ lead: () => undefined });
        await fake.elect();
        void node.stop();
      },
    ],
    [
      "it is aborted before it starts, while it waits, and while it leads",
      async (fake) => {
        const stop = new AbortController();
        void fake.runUnwatched({ lead: () => undefined }, AbortSignal.abort());
        void fake.runUnwatched({ lead: () => undefined }, stop.signal);
        void fake.runUnwatched({ lead: () => undefined }, stop.signal);
        await fake.elect();
        stop.abort();
      },
    ],
    [
      "the election is refused once it is stopped",
      async (fake) => {
        const node = fake.runUnwatched({ lead: () => undefined, follow: () => undefined });
        void node.stop();
        await fake.refuse(new TenureError("permission-denied", "no"));
      },
    ],
  ])("is nothing when %s", async (_when, scenario) => {
    const fake = new FakeElection();
    expect(await unhandled(() => scenario(fake))).toEqual([]);
  });

  it.each<[string, (fake: FakeElection, error: Error) => Promise<void>]>([
    [
      "lead failed",
      async (fake, error) => {
        void fake.runUnwatched({ lead: () => Promise.reject(error) });
        await fake.elect();
      },
    ],
    [
      "lead failed, and somebody waits for stop alone",
      async (fake, error) => {
        const gone = new Gate();
        fake.onResign = () => gone.opened;
        const node = fake.runUnwatched({ lead: () => Promise.reject(error) });
        await fake.elect();
        const stopped = node.stop();
        gone.open();
        await stopped;
      },
    ],
    [
      "the election cannot be seen in a term",
      async (fake, error) => {
        void fake.runUnwatched({ lead: () => undefined, follow: () => undefined });
        await fake.elect();
        await fake.refuse(error);
      },
    ],
    [
      "standing makes no sense",
      async (fake, error) => {
        void fake.runUnwatched({ lead: () => undefined });
        fake.campaigns[0]?.fail(error);
        await turn();
      },
    ],
  ])("is the one error when %s", async (_when, scenario) => {
    const error = new Error("broken");
    expect(await unhandled(() => scenario(new FakeElection(), error))).toEqual([error]);
  });
});

/** A node that leads until the test lets it end. */
async function leading({ drainMs = 1000 } = {}) {
  const fake = new FakeElection();
  const work = new Gate();
  const node = fake.run({ lead: () => work.opened, drainMs });
  await fake.elect();
  return { fake, work, node };
}

/** What Node calls an unhandled rejection while something happens, which the test runner does not get to see. */
async function unhandled(happens: () => Promise<void>): Promise<unknown[]> {
  const errors: unknown[] = [];
  const collect = (error: unknown): void => void errors.push(error);
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", collect);
  try {
    await happens();
    await turn();
    await turn();
    return errors;
  } finally {
    process.off("unhandledRejection", collect);
    for (const other of others) process.on("unhandledRejection", other);
  }
}

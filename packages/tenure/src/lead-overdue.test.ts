import { channel } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeElection } from "./testing/fake-election.ts";
import { Gate } from "./testing/gate.ts";
import { passTime } from "./testing/pass-time.ts";

const warnings: (Error & { readonly code?: string })[] = [];
const onWarning = (warning: Error): void => void warnings.push(warning);
/** Node's own, which prints. */
const others = process.listeners("warning");

beforeEach(() => {
  warnings.length = 0;
  process.removeAllListeners("warning");
  process.on("warning", onWarning);
});
afterEach(() => {
  process.off("warning", onWarning);
  for (const other of others) process.on("warning", other);
});

describe("lead that goes on after its term", () => {
  it("is reported when a third of the TTL is over, and each time that this has doubled", async () => {
    const { fake, work, node } = leading();
    const { lose } = await fake.elect(7n);
    await passTime(fake.clock, 60_000);
    lose();
    await passTime(fake.clock, 1999);
    expect(warnings).toEqual([]);
    await passTime(fake.clock, 1);
    expect(warnings).toMatchObject([{ name: "TenureWarning", code: "TENURE_LEAD_IGNORES_SIGNAL" }]);
    expect(warnings[0]?.message).toContain('lead of the election "fake" still runs 2000 ms after its term (token 7)');
    await passTime(fake.clock, 14_000);
    expect(overdue()).toEqual([2000, 4000, 8000, 16_000]);
    work.open();
    await node.stop();
    expect(fake.clock.due).toEqual([]);
  });

  it("is reported after the limit that the caller gives, if there is one", async () => {
    const { fake, work, node } = leading(150);
    const { lose } = await fake.elect();
    lose();
    await passTime(fake.clock, 700);
    expect(overdue()).toEqual([150, 300, 600]);
    work.open();
    await node.stop();
  });

  it("is reported when the node was told to stop as well, and while stop gives up", async () => {
    const { fake, work, node } = leading();
    await fake.elect();
    const stopped = node.stop({ timeoutMs: 1000 });
    await passTime(fake.clock, 2000);
    await expect(stopped).rejects.toMatchObject({ code: "deadline-exceeded" });
    expect(overdue()).toEqual([2000]);
    work.open();
    await node.stop();
  });

  it("is reported anew in its next term", async () => {
    const fake = new FakeElection();
    let work = new Gate();
    const node = fake.run({ lead: () => work.opened });
    for (let terms = 1; terms <= 2; terms++) {
      work = new Gate();
      const { lose } = await fake.elect();
      lose();
      await passTime(fake.clock, 2500);
      work.open();
      await fake.stands(terms + 1);
    }
    expect(overdue()).toEqual([2000, 2000]);
    await node.stop();
  });

  it("is not reported when it ends in time, nor while its term goes on", async () => {
    const { fake, work, node } = leading();
    const { lose } = await fake.elect();
    await passTime(fake.clock, 60_000);
    lose();
    await passTime(fake.clock, 1500);
    work.open();
    await passTime(fake.clock, 60_000);
    expect(warnings).toEqual([]);
    await node.stop();
  });

  it("is reported no more than once when the client is closed, which nothing may keep alive", async () => {
    const { fake, work, node } = leading();
    const stopped = (async () => {
      await fake.elect();
      fake.closed.abort();
      await node.stop({ timeoutMs: 10_000 });
    })();
    stopped.catch(() => undefined);
    await passTime(fake.clock, 9000);
    expect(overdue()).toEqual([2000]);
    await passTime(fake.clock, 1000);
    await expect(stopped).rejects.toMatchObject({ code: "deadline-exceeded" });
    expect(fake.clock.due).toEqual([]);
    work.open();
    await node.stop();
  });

  it("is shown to tools", async () => {
    const events: unknown[] = [];
    const onEvent = (event: unknown): void => void events.push(event);
    channel("tenure:lead-overdue").subscribe(onEvent);
    const { fake, work, node } = leading();
    const { lose } = await fake.elect(7n);
    lose();
    await passTime(fake.clock, 2000);
    channel("tenure:lead-overdue").unsubscribe(onEvent);
    expect(events).toEqual([{ election: "fake", token: 7n, overdueMs: 2000 }]);
    work.open();
    await node.stop();
  });
});

/** A node that leads until the test lets it end. */
function leading(drainMs?: number) {
  const fake = new FakeElection();
  const work = new Gate();
  const node = fake.run({ lead: () => work.opened, ...(drainMs === undefined ? {} : { drainMs }) });
  return { fake, work, node };
}

/** How late lead was, each time that it was reported. */
function overdue(): number[] {
  return warnings.map(({ message }) => Number(/(\d+) ms/.exec(message)?.[1]));
}

import { createServer, type AddressInfo } from "node:net";
import { connect } from "tenure";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { pause, settled, until } from "../support/until.ts";
import { longTtlMs, standing, testTimeoutMs } from "./witness.ts";

/** Room for a busy machine beyond what is promised. */
const SPARE_MS = 2000;

let etcd: RealEtcd;

beforeAll(async () => {
  etcd = await startEtcd();
});
afterAll(() => etcd.stop());

/** How long something takes, whatever its outcome. */
async function lasts(action: Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await settled(
    action.catch(() => undefined),
    { what: "end of it", timeoutMs: 20_000 },
  );
  return performance.now() - startedAt;
}

// Go's client waits for a connection without a limit, in its clean-up too: cancelling the wait does not end it.
describe.each<readonly [string, (link: Proxy) => void]>([
  ["refuses connections", (link) => link.cut()],
  ["answers nothing", (link) => link.blackhole()],
])("a store that %s (etcd#18082, etcd#14631, etcd#6681)", { timeout: testTimeoutMs }, (how, fail) => {
  it("lets go of a new campaign that is aborted, and of its client", async () => {
    await using link = await startProxy(etcd.endpoint);
    await using direct = connect({ endpoints: [etcd.endpoint] });
    const leases = async (): Promise<bigint[]> => (await direct.etcd.lease.list()).leases.map(({ ID }) => ID);
    const before = await leases();
    fail(link);
    const client = connect({ endpoints: [link.endpoint] });
    const stop = new AbortController();
    const name = `never reached, ${how}`;
    const campaign = client.election(name, { ttlMs: 2000 }).campaign("a", { signal: stop.signal });
    campaign.catch(() => undefined);
    await pause(300);
    stop.abort();
    // Half a second for the key, which the client does not wait for any longer.
    expect(await lasts(campaign)).toBeLessThan(500 + SPARE_MS);
    await expect(campaign).rejects.toMatchObject({ code: "aborted" });
    expect(await lasts(client.close())).toBeLessThan(3000 + SPARE_MS);
    link.heal();
    // What was under way may arrive now: a lease at most, which nobody keeps alive.
    await until(async () => (await leases()).every((id) => before.includes(id)), { what: "end of the lease" });
    expect(await direct.election(name).candidates()).toEqual([]);
  });

  it("lets go of a candidate that waits, and its key goes as soon as the store is back", async () => {
    await using link = await startProxy(etcd.endpoint);
    await using direct = connect({ endpoints: [etcd.endpoint] });
    await using client = connect({ endpoints: [link.endpoint] });
    const name = `waits and leaves, ${how}`;
    const leading = await direct.election(name, { ttlMs: longTtlMs }).campaign("leader");
    const stop = new AbortController();
    const campaign = client.election(name, { ttlMs: longTtlMs }).campaign("a", { signal: stop.signal });
    await standing(direct, name, 2);
    fail(link);
    stop.abort();
    expect(await lasts(campaign)).toBeLessThan(500 + SPARE_MS);
    await expect(campaign).rejects.toMatchObject({ code: "aborted" });
    expect(await direct.election(name).candidates()).toHaveLength(2);
    link.heal();
    await standing(direct, name, 1);
    await leading.resign();
  });

  it("lets go of everything else that is asked, at its limit", async () => {
    await using link = await startProxy(etcd.endpoint);
    const client = connect({ endpoints: [link.endpoint] });
    const election = client.election(`limits, ${how}`, { ttlMs: longTtlMs });
    const term = await election.campaign("a");
    fail(link);
    const stop = AbortSignal.timeout(400);
    const durationsMs = await Promise.all([
      lasts(client.ready({ timeoutMs: 400 })),
      lasts(election.leader({ timeoutMs: 400 })),
      lasts(term.proclaim("b", { timeoutMs: 400 })),
      lasts(election.observe({ signal: stop }).next()),
      lasts(term.resign({ timeoutMs: 400 })),
    ]);
    for (const durationMs of durationsMs) expect(durationMs).toBeLessThan(400 + SPARE_MS);
    expect(await lasts(client.close())).toBeLessThan(3000 + SPARE_MS);
    link.heal();
  });
});

// Clients without a pause between two attempts burn a processor, 100 to 700 % of one, while etcd is down.
describe("a store that is down", () => {
  it("is tried a few times a second by all who wait for it (etcd#9578, etcd#9740, jetcd#1134)", async () => {
    let attempts = 0;
    const listener = createServer((socket) => {
      attempts++;
      socket.resetAndDestroy();
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const { port } = listener.address() as AddressInfo;
    const client = connect({ endpoints: [`http://127.0.0.1:${port}`] });
    const stop = new AbortController();
    const { signal } = stop;
    const waiting = [
      client.election("a").run({ lead: () => undefined, follow: () => undefined }, { signal }),
      client.election("b").campaign("b", { signal }),
      client.election("c").observe({ signal }).next(),
    ].map((each) => each.catch(() => undefined));
    const lastMs = 4000;
    await pause(lastMs);
    stop.abort();
    await settled(Promise.all(waiting), { what: "end of all" });
    await client.close();
    await new Promise((resolve) => listener.close(resolve));
    // A grant, three watches and three reads, each from 50 to 500 ms apart; with a jitter of a half, four a second.
    expect(attempts).toBeGreaterThan(3);
    expect(attempts).toBeLessThan(8 * 4 * 2 * (lastMs / 1000));
  });
});

import { connect, type Client } from "tenure";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { HeldTerms, manyRuns, patienceMs, standing, testTimeoutMs } from "./witness.ts";

const ttlMs = 3000;

let etcd: RealEtcd;
/** On a link that nothing breaks. */
let direct: Client;

beforeAll(async () => {
  etcd = await startEtcd();
  direct = connect({ endpoints: [etcd.endpoint] });
});
afterAll(async () => {
  await direct.close();
  await etcd.stop();
});

/** A client with two ways to one store, as to two members of a cluster. */
interface TwoWays extends AsyncDisposable {
  readonly client: Client;
  readonly ways: readonly [Proxy, Proxy];
}

async function twoWays(): Promise<TwoWays> {
  const ways = [await startProxy(etcd.endpoint), await startProxy(etcd.endpoint)] as const;
  const client = connect({ endpoints: ways.map(({ endpoint }) => endpoint) });
  return {
    client,
    ways,
    [Symbol.asyncDispose]: async () => {
      for (const way of ways) way.heal();
      await client.close();
      await Promise.all(ways.map((way) => way.stop()));
    },
  };
}

// Go's keep-alive stream stays with a member that answers nothing until the lease is over.
describe("a leader of whose two members one freezes", { timeout: testTimeoutMs }, () => {
  it("keeps its term over several TTLs (etcd#10821, etcd#13156, etcd#7941), 10 of 10", async () => {
    await manyRuns(10, async (run) => {
      await using two = await twoWays();
      const name = `leader-${run}`;
      const term = await two.client.election(name, { ttlMs }).campaign("a");
      // Never healed: connections stand, new ones as well, and nothing comes of them.
      two.ways[run < 5 ? 0 : 1].blackhole(run % 2 === 0 ? "both" : "down");
      const enough = performance.now() + 3 * ttlMs;
      await until(() => term.signal.aborted || performance.now() > enough, { what: "end", timeoutMs: patienceMs });
      expect([term.held, term.signal.aborted]).toEqual([true, false]);
      await term.proclaim("still a");
      expect((await direct.election(name).leader())?.revision).toBe(term.token);
    });
  });
});

// Go's standby keeps its watch on a member that freezes, or that lost the others, for as long as TCP lets it.
describe("a standby of whose two members one freezes", { timeout: testTimeoutMs }, () => {
  it("is promoted with its first key within its TTL (etcd#14641, etcd#8980, etcd#7247), 10 of 10", async () => {
    await manyRuns(10, async (run) => {
      await using two = await twoWays();
      using terms = new HeldTerms();
      const name = `standby-${run}`;
      const first = terms.add(await direct.election(name, { ttlMs }).campaign("first"));
      const campaign = two.client.election(name, { ttlMs }).campaign("second");
      await standing(direct, name, 2);
      const key = (await direct.election(name).candidates())[1];
      two.ways[run % 2 === 0 ? 0 : 1].blackhole("both");
      const startedAt = performance.now();
      await first.resign();
      const second = terms.add(await settled(campaign, { what: "successor", timeoutMs: patienceMs }));
      // TTL/3 until the watch or the lease is asked, TTL/6 for an answer, then another member is read; and some room.
      expect(performance.now() - startedAt).toBeLessThan(2 * ttlMs);
      expect(second.token).toBe(key?.revision);
      expect(second.held).toBe(true);
      expect(terms.overlaps).toEqual([]);
      await second.resign();
    });
  });
});

describe("an observer of whose two members one freezes", { timeout: testTimeoutMs }, () => {
  it.each([0, 1] as const)("number %i: sees who leads next (etcd#7815)", async (frozen) => {
    await using two = await twoWays();
    const name = `observed-${frozen}`;
    const first = await direct.election(name, { ttlMs }).campaign("first");
    const seen: (string | undefined)[] = [];
    const stop = new AbortController();
    const observer = (async () => {
      const leaders = two.client.election(name, { ttlMs }).observe({ signal: stop.signal });
      for await (const leader of leaders) seen.push(leader?.value);
    })();
    await until(() => seen.length === 1, { what: "first leader" });
    two.ways[frozen].blackhole("both");
    await first.resign();
    const second = await direct.election(name, { ttlMs }).campaign("second");
    await until(() => seen.at(-1) === "second", { what: "sight of the second leader", timeoutMs: patienceMs });
    stop.abort();
    await settled(observer, { what: "end of the observer" });
    await second.resign();
  });
});

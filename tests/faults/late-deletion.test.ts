import { connect, type Client, type Term } from "tenure";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { pause, settled } from "../support/until.ts";
import { onTransaction } from "./lost-answers.ts";
import { longTtlMs, manyRuns, patienceMs, standing, testTimeoutMs } from "./witness.ts";

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

// Go's Unlock deletes by name, so a repeated one that arrives late takes the next lock of the same session away.
describe("a deletion that arrives when its candidate stands again on the same lease", () => {
  it("deletes the old key only (etcd#22082), 20 of 20", { timeout: testTimeoutMs }, async () => {
    await manyRuns(20, async (run) => {
      const name = `late-deletion-${run}`;
      await using link = await startProxy(etcd.endpoint);
      await using client = connect({ endpoints: [link.endpoint] });
      // Keeps the lease, so that the next key has the same name.
      const other = await client.election(`beside-${name}`, { ttlMs: longTtlMs }).campaign("other");
      const election = client.election(name, { ttlMs: longTtlMs });
      const first = await election.campaign("first");
      let requests = 0;
      using _transactions = onTransaction(link.endpoint, () => {
        if (++requests === 1) link.strand();
      });
      await settled(first.resign(), { what: "resignation on a new connection", timeoutMs: patienceMs });
      const second = await settled(election.campaign("second"), { what: "next term", timeoutMs: patienceMs });
      expect(second.key).toBe(first.key);
      link.heal();
      // The first deletion reaches etcd now; nothing tells when it was handled.
      await pause(500);
      expect((await direct.etcd.kv.get(second.key))?.createRevision).toBe(second.token);
      await second.proclaim("still here");
      expect([second.held, other.held]).toEqual([true, true]);
    });
  });
});

// Go's Resign forgets the key with its first failed request: the second one does nothing, and the key leads on.
describe("a resignation that etcd does not answer", () => {
  it.each<readonly [string, (link: Proxy) => void]>([
    ["is refused by the network", (link) => link.cut()],
    ["does not arrive", (link) => link.blackhole("up")],
  ])(
    "because it %s: the key goes as soon as etcd answers, and resign may be called again (etcd#22123)",
    { timeout: testTimeoutMs },
    async (how, fail) => {
      const name = `resignation that ${how}`;
      await using link = await startProxy(etcd.endpoint);
      await using client = connect({ endpoints: [link.endpoint] });
      const other = await client.election(`beside ${name}`, { ttlMs: longTtlMs }).campaign("other");
      const term = await client.election(name, { ttlMs: longTtlMs }).campaign("a");
      fail(link);
      await expect(term.resign({ timeoutMs: 300 })).rejects.toMatchObject({ code: "deadline-exceeded" });
      expect([term.held, term.signal.aborted]).toEqual([false, true]);
      await expect(term.resign({ timeoutMs: 300 })).rejects.toMatchObject({ code: "deadline-exceeded" });
      expect((await direct.election(name).leader())?.revision).toBe(term.token);
      link.heal();
      await settled(term.resign({ timeoutMs: patienceMs }), { what: "resignation", timeoutMs: patienceMs });
      await standing(direct, name, 0);
      expect(other.held).toBe(true);
    },
  );

  it(
    "is done once, although its answer is lost, and takes no other key (etcd#22123)",
    { timeout: testTimeoutMs },
    async () => {
      await manyRuns(12, async (run) => {
        const name = `lost-answer-${run}`;
        await using link = await startProxy(etcd.endpoint);
        await using client = connect({ endpoints: [link.endpoint] });
        await using rival = connect({ endpoints: [etcd.endpoint] });
        const other = await client.election(`beside-${name}`, { ttlMs: longTtlMs }).campaign("other");
        const term = await client.election(name, { ttlMs: longTtlMs }).campaign("a");
        const next = rival.election(name, { ttlMs: longTtlMs }).campaign("b");
        await standing(direct, name, 2);
        // The request leaves, its answer does not come back.
        link.blackhole("down");
        const resigned = term.resign({ timeoutMs: patienceMs });
        const successor = await settled(next, { what: "successor", timeoutMs: patienceMs });
        link.cut();
        link.heal();
        await settled(resigned, { what: "resignation", timeoutMs: patienceMs });
        expect([successor.held, other.held]).toEqual([true, true]);
        expect(await direct.election(name).candidates()).toMatchObject([{ key: successor.key }]);
      });
    },
  );
});

// The key has the name of the old one, so it can be put only when that is gone.
describe("a campaign right after a resignation that nobody waits for", () => {
  it("waits for the deletion, and puts its key on the same lease, 20 times", async () => {
    await using client = connect({ endpoints: [etcd.endpoint] });
    await client.election("beside-again", { ttlMs: longTtlMs }).campaign("other");
    const election = client.election("again", { ttlMs: longTtlMs });
    let term = await election.campaign("0");
    for (let round = 1; round <= 20; round++) {
      const resigned = term.resign();
      const next: Term = await settled(election.campaign(String(round)), { what: "next term" });
      await settled(resigned, { what: "resignation" });
      expect(next.key).toBe(term.key);
      expect(next.token).toBeGreaterThan(term.token);
      expect(await direct.election("again").candidates()).toMatchObject([{ revision: next.token }]);
      expect(next.held).toBe(true);
      term = next;
    }
  });
});

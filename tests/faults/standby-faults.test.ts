import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { connect, type Client, type Leader, remove, type Term } from "tenure";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { pause, settled, until } from "../support/until.ts";
import { elected, HeldTerms, longTtlMs, manyRuns, patienceMs, standing, testTimeoutMs } from "./witness.ts";

vi.setConfig({ testTimeout: testTimeoutMs });

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

describe("a standby whose key is taken away", () => {
  // Go's client and etcd3 wait for the keys before theirs to go, and never look at their own.
  it.each<readonly [string, (line: Line) => Promise<unknown>]>([
    ["its lease is revoked", ({ key }) => direct.etcd.lease.revoke(key.leaseId)],
    ["its key is deleted", ({ key }) => direct.etcd.kv.delete(key.key)],
  ])(
    "%s: stands again by itself, behind the others, and leads in its turn (etcd#19597), 20 of 20",
    async (how, take) => {
      await manyRuns(20, async (run) => {
        await using line = await threeInLine(`${how} ${run}`);
        await take(line);
        const again = await until(async () => (await candidates(line.name)).find(({ value }) => value === "second"), {
          what: "new key",
          timeoutMs: patienceMs,
        });
        expect(again.revision).not.toBe(line.key.revision);
        await line.first.resign();
        await (await elected(line.third)).resign();
        const second = await elected(line.second);
        expect(second.token).toBe(again.revision);
        expect(second.held).toBe(true);
        expect(line.leaders).toEqual(["first", "third", "second"]);
        expect(line.terms.overlaps).toEqual([]);
      });
    },
  );

  // The phantom leader: the key it waits for goes before it has heard that its own has gone.
  it.each<readonly [string, (line: Line) => Promise<unknown>]>([
    ["by a revocation and then the leader", ({ key }) => direct.etcd.lease.revoke(key.leaseId)],
    ["by a deletion and then the leader", ({ key }) => direct.etcd.kv.delete(key.key)],
    [
      "by one transaction with the leader's",
      ({ key, first }) => {
        // A leader whose key is deleted by hand hears of it when the next one does, in any order.
        first.stop();
        return direct.txn().success(remove(first.key), remove(key.key)).commit();
      },
    ],
  ])("%s: never leads on it (etcd#19597, etcd3#158), 20 of 20", async (how, take) => {
    await manyRuns(20, async (run) => {
      await using line = await threeInLine(`${how} ${run}`);
      await take(line);
      await line.first.resign();
      await (await elected(line.third)).resign();
      const second = await elected(line.second);
      expect(second.token > line.key.revision).toBe(true);
      expect(second.held).toBe(true);
      expect(line.leaders).toEqual(["first", "third", "second"]);
      expect(line.terms.overlaps).toEqual([]);
    });
  });
});

// etcd#14641, etcd#8980: Go's standby hangs on such a link for as long as TCP lets it, 15 minutes.
describe("a standby behind a half-open link", () => {
  it("that holds everything back for a while: leads when it works again, with its first key, 20 of 20", async () => {
    const ttlMs = 6000;
    await manyRuns(20, async (run, random) => {
      await using pair = await twoInLine(`held back ${run}`, ttlMs);
      pair.link.blackhole(run % 2 === 0 ? "down" : "both");
      await pair.first.resign();
      await pause((random.fraction() * ttlMs) / 3);
      pair.link.heal();
      const second = await elected(pair.second);
      expect(second.token).toBe(pair.key.revision);
      expect(second.held).toBe(true);
    });
  });

  it("that stays dead while new ones work: notices within its lease, leads with its first key, 20 of 20", async () => {
    const ttlMs = 12_000;
    await manyRuns(20, async (run, random) => {
      await using pair = await twoInLine(`dead ${run}`, ttlMs);
      await pause((random.fraction() * ttlMs) / 3);
      const startedAt = performance.now();
      pair.link.strand();
      await pair.first.resign();
      const second = await elected(pair.second);
      // A third of the TTL to the next keep-alive, a sixth for its answer; then there is a new connection.
      expect(performance.now() - startedAt).toBeLessThan(ttlMs);
      expect(second.token).toBe(pair.key.revision);
      expect(second.held).toBe(true);
    });
  });

  it("for longer than its lease: leads within 10 s after it works again, with a new key, 20 of 20", async () => {
    const ttlMs = 2000;
    await manyRuns(20, async (run, random) => {
      await using pair = await twoInLine(`too long ${run}`, ttlMs);
      if (run % 2 === 0) pair.link.blackhole("down");
      else pair.link.blackhole("both");
      await pair.first.resign();
      await pause((2 + random.fraction()) * ttlMs);
      pair.link.heal();
      const healedAt = performance.now();
      const second = await elected(pair.second);
      // What was asked into the hole is given up after 5 s.
      expect(performance.now() - healedAt).toBeLessThan(10_000);
      expect(second.token > pair.key.revision).toBe(true);
      expect(second.held).toBe(true);
      expect((await candidates(pair.name)).map(({ value }) => value)).toEqual(["second"]);
    });
  });
});

describe("an observer that is no candidate, behind a link that stays dead while new ones work", () => {
  // etcd#7815: Go's observer hangs.
  it("sees the next leader within 10 s, 10 of 10", async () => {
    await manyRuns(10, async (run) => {
      const name = `observed ${run}`;
      await using link = await startProxy(etcd.endpoint);
      await using leading = connect({ endpoints: [etcd.endpoint] });
      await using watching = connect({ endpoints: [link.endpoint] });
      const first = await elected(leading.election(name).campaign("first"));
      const seen: (string | undefined)[] = [];
      const stop = new AbortController();
      const observer = (async () => {
        const leaders = watching.election(name).observe({ signal: stop.signal });
        for await (const leader of leaders) seen.push(leader?.value);
      })();
      await until(() => seen.length === 1, { what: "first leader", timeoutMs: patienceMs });
      link.strand();
      await first.resign();
      const second = await elected(leading.election(name).campaign("second"));
      await until(() => seen.at(-1) === "second", { what: "sight of the second leader", timeoutMs: 10_000 });
      stop.abort();
      await settled(observer, { what: "end of the observer" });
      await second.resign();
    });
  });
});

interface Line extends AsyncDisposable {
  readonly name: string;
  readonly first: Term;
  readonly second: Promise<Term>;
  readonly third: Promise<Term>;
  /** The second's key as it stood at first. */
  readonly key: Leader;
  readonly terms: HeldTerms;
  /** Who was elected until now. */
  readonly leaders: readonly string[];
}

/** A leader and two standbys, each a client of its own. */
async function threeInLine(name: string): Promise<Line> {
  const clients = [0, 1, 2].map(() => connect({ endpoints: [etcd.endpoint] }));
  const terms = new HeldTerms();
  const leaders: string[] = [];
  const values = ["first", "second", "third"];
  const campaigns: Promise<Term>[] = [];
  for (const [at, client] of clients.entries()) {
    const campaign = client.election(name, { ttlMs: longTtlMs }).campaign(values[at]);
    campaigns.push(
      campaign.then((term) => {
        leaders.push(term.value);
        return terms.add(term);
      }),
    );
    await standing(direct, name, at + 1);
  }
  const [first, second, third] = campaigns;
  const key = (await candidates(name))[1];
  if (first === undefined || second === undefined || third === undefined || key === undefined)
    throw new Error("no line");
  return {
    name,
    first: await first,
    second,
    third,
    key,
    terms,
    leaders,
    [Symbol.asyncDispose]: async () => {
      terms[Symbol.dispose]();
      await Promise.all(clients.map((client) => client.close()));
    },
  };
}

interface Pair extends AsyncDisposable {
  readonly name: string;
  readonly first: Term;
  readonly second: Promise<Term>;
  /** The standby's key as it stood at first. */
  readonly key: Leader;
  /** The standby's way to etcd. */
  readonly link: Proxy;
}

/** A leader, and a standby with this TTL behind a proxy. */
async function twoInLine(name: string, ttlMs: number): Promise<Pair> {
  const link = await startProxy(etcd.endpoint);
  const leading = connect({ endpoints: [etcd.endpoint] });
  const waiting = connect({ endpoints: [link.endpoint] });
  const first = await elected(leading.election(name, { ttlMs: longTtlMs }).campaign("first"));
  const second = waiting.election(name, { ttlMs }).campaign("second");
  await standing(direct, name, 2);
  const key = (await candidates(name))[1];
  if (key === undefined) throw new Error("no standby");
  return {
    name,
    first,
    second,
    key,
    link,
    [Symbol.asyncDispose]: async () => {
      link.heal();
      await Promise.all([leading.close(), waiting.close()]);
      await link.stop();
    },
  };
}

function candidates(name: string): Promise<readonly Leader[]> {
  return direct.election(name).candidates();
}

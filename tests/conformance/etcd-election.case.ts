import { describe, expect, it } from "vitest";
import type { Election, Leader, Term } from "tenure";
import type { Harness } from "./harness.ts";
import { settled, until } from "../support/until.ts";

/** An observer that keeps what it sees. */
interface Observer extends AsyncDisposable {
  readonly seen: (Leader | null)[];
  /** The values of the leaders seen, without repetitions and vacancies. */
  values(): string[];
}

function observing(election: Election): Observer {
  const stop = new AbortController();
  const seen: (Leader | null)[] = [];
  const reading = (async () => {
    for await (const leader of election.observe({ signal: stop.signal })) seen.push(leader);
  })();
  reading.catch(() => undefined);
  return {
    seen,
    values: () => seen.flatMap((leader) => (leader === null ? [] : [leader.value])),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await settled(reading, { what: "end of observe" });
    },
  };
}

/** Candidates that joined in this order: the first one leads, the others wait. */
async function queue(h: Harness, name: string, values: readonly string[]): Promise<Promise<Term>[]> {
  const campaigns: Promise<Term>[] = [];
  for (const value of values) {
    const campaign = h.client().election(name).campaign(value);
    campaign.catch(() => undefined);
    campaigns.push(campaign);
    await h.candidates(name, campaigns.length);
  }
  return campaigns;
}

/** Tests of etcd's own for elections and mutexes, told in our words. */
export function etcdElectionCases(h: Harness): void {
  describe("etcd's own tests", () => {
    it("three leaders in turn, and each of three observers sees every one (TestElectionWait)", async () => {
      const name = h.name();
      await using first = observing(h.client().election(name));
      await using second = observing(h.client().election(name));
      await using third = observing(h.client().election(name));
      const observers = [first, second, third];
      await until(() => observers.every(({ seen }) => seen.length === 1), { what: "the first states" });
      const campaigns = await queue(h, name, ["a", "b", "c"]);
      for (const campaign of campaigns) {
        const term = await settled(campaign, { what: "the next leader" });
        await until(() => observers.every((each) => each.values().at(-1) === term.value), { what: "the observers" });
        await term.resign();
      }
      for (const observer of observers) {
        await until(() => observer.seen.at(-1) === null, { what: "the vacancy" });
        expect(observer.values()).toEqual(["a", "b", "c"]);
      }
    });

    it("the standby is elected and observed when the leader's session is closed (TestElectionFailover)", async () => {
      const name = h.name();
      const [closing, waiting] = [h.client(), h.client()];
      const first = await closing.election(name).campaign("foo");
      expect((await waiting.election(name).leader())?.value).toBe("foo");
      await using observer = observing(waiting.election(name));
      const campaign = waiting.election(name).campaign("bar");
      await h.candidates(name, 2);
      await closing.close();
      const term = await settled(campaign, { what: "the failover" });
      expect(term.token).toBeGreaterThan(first.token);
      await until(() => observer.values().at(-1) === "bar", { what: "the observer" });
      expect(observer.values()).toEqual(["foo", "bar"]);
    });

    it("the standby is elected when the leader's lease is revoked (TestElectionFailover)", async () => {
      const name = h.name();
      const [first, second] = await queue(h, name, ["foo", "bar"]);
      const leading = await first;
      await h.etcd().lease.revoke(leading?.leaseId ?? 0n);
      expect((await settled(second ?? Promise.reject(new Error()), { what: "the failover" })).value).toBe("bar");
      await until(() => leading?.held === false, { what: "the end of the first term" });
    });

    // In Go the second campaign of a session proclaims its value. Here it is refused, and the term proclaims.
    it("a second campaign of one session does not wait for itself (TestElectionSessionRecampaign)", async () => {
      const name = h.name();
      const client = h.client();
      const term = await client.election(name).campaign("foo");
      const again = client.election(name).campaign("bar");
      await expect(settled(again, { what: "the refusal" })).rejects.toMatchObject({ code: "invalid-argument" });
      await term.proclaim("bar");
      expect(await client.election(name).leader()).toMatchObject({ value: "bar", key: term.key, revision: term.token });
    });

    it("a session that resigned is elected again without waiting for itself (TestMutexSessionRelock)", async () => {
      const client = h.client();
      const name = h.name();
      const other = await client.election(h.name()).campaign("keeps the lease");
      const tokens: bigint[] = [];
      for (let round = 0; round < 5; round++) {
        const term = await settled(client.election(name).campaign("a"), { what: `term ${round}` });
        expect(term.leaseId).toBe(other.leaseId);
        tokens.push(term.token);
        await term.resign();
      }
      expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => Number(a - b)));
    });

    it("a name that is the beginning of other keys is won at once (TestElectionOnPrefixOfExistingKey)", async () => {
      const name = h.name();
      const client = h.client();
      await client.etcd.kv.put(`${name}a`, "on no lease");
      await client.etcd.kv.put(name, "the name itself");
      await client.election(`${name}b`).campaign("a longer name");
      const term = await settled(client.election(name).campaign("b"), { what: "the election" });
      expect(term.held).toBe(true);
      expect(await client.election(name).candidates()).toHaveLength(1);
    });

    it("a leader from below the compacted revision is still observed (TestElectionObserveCompacted)", async () => {
      const name = h.name();
      const client = h.client();
      const term = await client.election(name).campaign("abc");
      const { header } = await client.etcd.kv.put(h.name(), "later");
      await client.etcd.kv.put(h.name(), "latest");
      await client.etcd.kv.compact(header?.revision ?? 0n, { physical: true });
      await using observer = observing(h.client().election(name));
      await until(() => observer.values().includes("abc"), { what: "the leader" });
      expect(observer.seen).toMatchObject([{ key: term.key, revision: term.token }]);
      expect((await h.client().election(name).leader())?.value).toBe("abc");
    });

    it("a standby of an old leader is promoted after a compaction (TestElectionObserveCompacted)", async () => {
      const name = h.name();
      const leading = await h.client().election(name).campaign("a");
      const { header } = await h.etcd().kv.put(h.name(), "later");
      await h.etcd().kv.compact(header?.revision ?? 0n);
      const campaign = h.client().election(name).campaign("b");
      await h.candidates(name, 2);
      await leading.resign();
      expect((await settled(campaign, { what: "the promotion" })).value).toBe("b");
    });

    it("each proclaim is observed as an answer of its own (TestElectionObserveFreshResponsesOnProclaim)", async () => {
      const name = h.name();
      const term = await h.client().election(name).campaign("v1");
      const changes: { leader: Leader | null; revision: bigint }[] = [];
      const stop = new AbortController();
      const reading = (async () => {
        for await (const change of h.client().election(name).changes({ signal: stop.signal })) changes.push(change);
      })();
      await until(() => changes.length === 1, { what: "the first state" });
      for (const value of ["v2", "v3"]) {
        const before = changes.length;
        await term.proclaim(value);
        await until(() => changes.length > before, { what: value });
      }
      stop.abort();
      await settled(reading, { what: "end of observe" });
      expect(changes.map(({ leader }) => leader?.value)).toEqual(["v1", "v2", "v3"]);
      expect(new Set(changes.map(({ leader }) => leader)).size).toBe(3);
      const revisions = changes.map(({ revision }) => revision);
      expect(revisions).toEqual([...new Set(revisions)].toSorted((a, b) => Number(a - b)));
      expect(changes.map(({ leader }) => leader?.revision)).toEqual([term.token, term.token, term.token]);
    });

    it("the third waits for the holder, not for the second that dies (TestMutexWaitsOnCurrentHolder)", async () => {
      const name = h.name();
      const [holder, victim, waiter] = await queue(h, name, ["holder", "victim", "waiter"]);
      const leading = await holder;
      let promoted = false;
      void waiter?.then(() => (promoted = true));
      const dying = (await h.client().election(name).candidates())[1];
      const abandoned = victim?.catch(() => undefined);
      expect(dying?.value).toBe("victim");
      // Revoked from outside, as if the process had died; a living one stands again, behind.
      await h.etcd().lease.revoke(dying?.leaseId ?? 0n);
      await until(
        async () => {
          const values = (await h.client().election(name).candidates()).map(({ value }) => value);
          return values.join() === "holder,waiter,victim";
        },
        { what: "the victim behind the waiter" },
      );
      await leading?.proclaim("still the holder");
      expect(promoted).toBe(false);
      expect(leading?.held).toBe(true);
      await leading?.resign();
      const next = await settled(waiter ?? Promise.reject(new Error()), { what: "the waiter" });
      expect(next.held).toBe(true);
      await next.resign();
      await abandoned;
    });

    it("of many that wait one holds at a time, each in its turn (TestMutexLockMultiNode)", async () => {
      const name = h.name();
      let holding = 0;
      let most = 0;
      const order: string[] = [];
      const values = ["a", "b", "c", "d", "e"];
      const campaigns = await queue(h, name, values);
      const turns = campaigns.map(async (campaign) => {
        const term = await campaign;
        most = Math.max(most, ++holding);
        order.push(term.value);
        await term.proclaim();
        holding--;
        await term.resign();
      });
      await settled(Promise.all(turns), { what: "every turn" });
      expect(most).toBe(1);
      expect(order).toEqual(values);
    });

    it("a candidate that waits and whose client closes gets an error (TestMutexLockSessionExpired)", async () => {
      const name = h.name();
      await h.client().election(name).campaign("holder");
      const closing = h.client();
      const campaign = closing.election(name).campaign("waiter");
      campaign.catch(() => undefined);
      await h.candidates(name, 2);
      await closing.close();
      await expect(settled(campaign, { what: "the error" })).rejects.toMatchObject({ code: "aborted" });
      await h.candidates(name, 1);
    });

    it("a campaign blocks while another leads and ends when that one resigns (TestV3ElectionCampaign)", async () => {
      const name = h.name();
      const first = await h.client().election(name).campaign("abc");
      let elected = false;
      const campaign = h.client().election(name).campaign("def");
      void campaign.then(() => (elected = true));
      await h.candidates(name, 2);
      await first.proclaim("abc2");
      expect(elected).toBe(false);
      await first.resign();
      const second = await settled(campaign, { what: "the second" });
      expect(second.token).toBeGreaterThan(first.token);
      expect(await h.client().election(name).leader()).toMatchObject({ value: "def", key: second.key });
    });

    it("what an observer sees never goes back, over two leaders that proclaim (TestV3ElectionObserve)", async () => {
      const name = h.name();
      await using observer = observing(h.client().election(name));
      await until(() => observer.seen.length === 1, { what: "the first state" });
      const campaigns = await queue(h, name, ["0", "0"]);
      const proclaimed: string[] = [];
      for (const [index, campaign] of campaigns.entries()) {
        const term = await settled(campaign, { what: "the next leader" });
        for (let count = 1; count <= 10; count++) {
          const value = String(index * 100 + count);
          proclaimed.push(value);
          await term.proclaim(value);
        }
        await term.resign();
      }
      await until(() => observer.values().includes("110"), { what: "the last value" });
      expect(observer.values().filter((value) => value !== "0")).toEqual(proclaimed);
    });

    it("who holds the leadership finds the counter as it left it (etcd-runner lock-racer)", async () => {
      const name = h.name();
      let count = 0;
      const racers = Array.from({ length: 8 }, async () => {
        const election = h.client().election(name);
        for (let round = 0; round < 3; round++) {
          const term = await election.campaign("racer");
          const found = ++count;
          await term.proclaim();
          expect(count).toBe(found);
          await term.resign();
        }
      });
      await settled(Promise.all(racers), { what: "every round", timeoutMs: 25_000 });
      expect(count).toBe(24);
    });

    it("10 clients agree in every round on who leads (etcd-runner election)", async () => {
      const name = h.name();
      const clients = Array.from({ length: 10 }, () => h.client());
      const tokens: bigint[] = [];
      for (let round = 0; round < 5; round++) {
        const over = new AbortController();
        const campaigns = clients.map((client, index) =>
          client.election(name).campaign(`${round}-${index}`, { signal: over.signal }),
        );
        const term = await settled(Promise.any(campaigns), { what: `the leader of round ${round}` });
        const observed = clients.map(async (client) => {
          for await (const leader of client.election(name).observe()) {
            if (leader !== null) return leader;
          }
          throw new Error("observe ended");
        });
        for (const leader of await settled(Promise.all(observed), { what: "what all observe" })) {
          expect(leader).toMatchObject({ value: term.value, key: term.key, revision: term.token });
        }
        for (const client of clients) expect(await client.election(name).leader()).toMatchObject({ key: term.key });
        over.abort();
        const outcomes = await Promise.allSettled(campaigns);
        const losers = outcomes.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : []));
        expect(losers).toHaveLength(9);
        for (const error of losers) expect(error).toMatchObject({ code: "aborted" });
        expect(term.held).toBe(true);
        tokens.push(term.token);
        await term.resign();
        await h.candidates(name, 0);
      }
      expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => Number(a - b)));
    });
  });
}

import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { put, type Leader, type Term } from "tenure";
import { type Harness, rpcsDuring } from "./harness.ts";
import { settled, until } from "../support/until.ts";

/** Who is elected, in which order, at which price, and what others see of it. */
export function electionCases(h: Harness): void {
  describe("election", () => {
    it("keys are the name, a slash and the lease in hex, and the value is as given", async () => {
      const client = h.client();
      const name = h.name();
      const term = await client.election(name).campaign("10.0.0.1:80");
      expect(term.key).toBe(`${name}/${term.leaseId.toString(16)}`);
      const kv = await client.etcd.kv.get(term.key);
      expect(Buffer.from(kv?.value ?? "").toString()).toBe("10.0.0.1:80");
      expect(kv?.createRevision).toBe(term.token);
      expect(kv?.lease).toBe(term.leaseId);
    });

    it("without a value the candidate is host-timestampMs, computed anew for each proclaim", async () => {
      const term = await h.client().election(h.name()).campaign();
      const first = term.value;
      expect(first).toMatch(new RegExp(`^${hostname()}-\\d{13}$`));
      await until(() => `${hostname()}-${Date.now()}` !== first, { what: "the next millisecond" });
      await term.proclaim();
      expect(term.value).not.toBe(first);
      expect(term.value).toMatch(new RegExp(`^${hostname()}-\\d{13}$`));
    });

    it("leads in the order of arrival, with tokens that rise", async () => {
      const name = h.name();
      const terms = [];
      const waiting = [];
      for (const value of ["a", "b", "c"]) {
        waiting.push(h.client().election(name).campaign(value));
        await h.candidates(name, waiting.length);
      }
      for (const campaign of waiting) {
        const term = await settled(campaign, { what: "the next term" });
        const leader = await h.client().election(name).leader();
        expect(leader?.key).toBe(term.key);
        terms.push(term);
        await term.resign();
      }
      expect(terms.map((term) => term.value)).toEqual(["a", "b", "c"]);
      const tokens = terms.map((term) => term.token);
      expect(tokens).toEqual([...tokens].toSorted((x, y) => Number(x - y)));
      expect(new Set(tokens).size).toBe(3);
    });

    // https://github.com/microsoft/etcd3/issues/158 and /176: a candidate waited once for its direct predecessor's key
    // to go, and was elected beside the leader when that predecessor merely left the queue.
    it("a candidate in the middle that leaves does not promote the one behind it (etcd3#158, #176)", async () => {
      const name = h.name();
      const leading = await h.client().election(name).campaign("a");
      const leave = new AbortController();
      const middle = h.client().election(name).campaign("b", { signal: leave.signal });
      await h.candidates(name, 2);
      let promoted = false;
      const last = h.client().election(name).campaign("c");
      void last.then(() => (promoted = true));
      await h.candidates(name, 3);

      leave.abort();
      await expect(middle).rejects.toMatchObject({ code: "aborted" });
      await h.candidates(name, 2);
      // A proclaim is answered after every event that the departure caused.
      await leading.proclaim("still a");
      expect(promoted).toBe(false);
      expect(leading.held).toBe(true);

      await leading.resign();
      expect((await settled(last, { what: "the last candidate" })).held).toBe(true);
    });

    // https://github.com/etcd-io/etcd/issues/19597: a candidate whose lease is gone was elected without a key.
    it("a standby whose lease is revoked stands again and is never elected on the lost key (etcd#19597)", async () => {
      const name = h.name();
      const leading = await h.client().election(name).campaign("a");
      const standby = h.client();
      const campaign = standby.election(name).campaign("b");
      await h.candidates(name, 2);
      const [, before] = await standby.election(name).candidates();
      await standby.etcd.lease.revoke(before?.leaseId ?? 0n);
      await until(async () => (await standby.election(name).candidates())[1]?.key !== before?.key, {
        what: "a new key",
      });
      await h.candidates(name, 2);
      await leading.resign();
      const term = await settled(campaign, { what: "the standby" });
      expect(term.key).not.toBe(before?.key);
      expect((await standby.etcd.kv.get(term.key))?.createRevision).toBe(term.token);
    });

    it("an uncontended campaign costs one round trip, a promotion none", async () => {
      const name = h.name();
      const first = h.client();
      const second = h.client();
      await Promise.all([first.ready(), second.ready()]);
      let standby: ReturnType<ReturnType<typeof second.election>["campaign"]> | undefined;
      let leading: Term | undefined;
      const campaign = await rpcsDuring(async () => {
        leading = await first.election(name).campaign("a");
      });
      expect(campaign.toSorted()).toEqual(["KV/Txn", "Lease/LeaseGrant", "Watch/Watch"]);
      const joining = await rpcsDuring(async () => {
        standby = second.election(name).campaign("b");
        standby.catch(() => undefined);
        await until(async () => (await second.election(name).candidates()).length === 2, { what: "the standby" });
      });
      expect(joining.filter((method) => method !== "KV/Range").toSorted()).toEqual([
        "KV/Txn",
        "Lease/LeaseGrant",
        "Watch/Watch",
      ]);
      const promotion = await rpcsDuring(async () => {
        await leading?.resign();
        await standby;
      });
      // One to step down; giving the lease back goes on beside it.
      expect(promotion.filter((method) => method !== "Lease/LeaseRevoke")).toEqual(["KV/Txn"]);
    });

    it("many candidates end in any order and each moment has exactly one leader", async () => {
      const name = h.name();
      const ended = new AbortController();
      const held = new Set<string>();
      let most = 0;
      const candidates = Array.from({ length: 8 }, async (_, index) => {
        const election = h.client().election(name);
        const term = await election.campaign(`c${index}`, { signal: ended.signal });
        held.add(term.key);
        most = Math.max(most, held.size);
        await term.proclaim();
        held.delete(term.key);
        await term.resign();
      });
      await Promise.all(candidates);
      expect(most).toBe(1);
      await h.candidates(name, 0);
    });

    it("observe yields the current state, then every leader and vacancy, and ends with its signal", async () => {
      const name = h.name();
      const stop = new AbortController();
      const seen: (Leader | null)[] = [];
      const client = h.client();
      const reader = (async () => {
        for await (const leader of h.client().election(name).observe({ signal: stop.signal })) seen.push(leader);
      })();
      await until(() => seen.length === 1, { what: "the first state" });
      const a = await client.election(name).campaign("a");
      await a.proclaim("a2");
      await a.resign();
      const b = await client.election(name).campaign("b");
      await until(() => seen.length === 5, { what: "every state" });
      expect(seen.map((leader) => leader?.value ?? null)).toEqual([null, "a", "a2", null, "b"]);
      expect(seen.map((leader) => leader?.revision ?? 0n)).toEqual([0n, a.token, a.token, 0n, b.token]);
      expect(seen.every((leader) => leader?.self !== true)).toBe(true);
      stop.abort();
      await settled(reader, { what: "the end of observe" });
    });

    it("an observer that shares the client sees itself as self", async () => {
      const name = h.name();
      const client = h.client();
      await client.election(name).campaign("me");
      expect((await client.election(name).leader())?.self).toBe(true);
      expect((await h.client().election(name).leader())?.self).toBe(false);
      for await (const leader of client.election(name).observe()) {
        expect(leader?.self).toBe(true);
        break;
      }
    });

    it("a campaign whose signal is aborted already sends nothing and leaves no key", async () => {
      const name = h.name();
      const client = h.client();
      await client.ready();
      const rpcs = await rpcsDuring(async () => {
        const campaign = client.election(name).campaign("a", { signal: AbortSignal.abort() });
        await expect(campaign).rejects.toMatchObject({ code: "aborted" });
      });
      expect(rpcs).toEqual([]);
      await h.candidates(name, 0);
    });

    it("a campaign that is aborted at any moment leaves no key and no lease", async () => {
      const name = h.name();
      const reader = h.client();
      const leading = await reader.election(name).campaign("a");
      const leases = async (): Promise<number> => (await reader.etcd.lease.list()).leases.length;
      const before = await leases();
      for (let steps = 0; steps < 24; steps++) {
        const client = h.client();
        await client.ready();
        const abort = new AbortController();
        const campaign = client.election(name).campaign("b", { signal: abort.signal });
        campaign.catch(() => undefined);
        // Turns of the event loop, not milliseconds: they reach into every step of the campaign.
        for (let turn = 0; turn < steps; turn++) await new Promise((resolve) => setImmediate(resolve));
        abort.abort();
        await expect(campaign).rejects.toMatchObject({ code: "aborted" });
        await client.close();
        expect((await reader.election(name).candidates()).map((each) => each.key)).toEqual([leading.key]);
        expect(await leases()).toBe(before);
      }
    });

    it("an aborted campaign leaves no key even when its lease lives on for another election", async () => {
      const name = h.name();
      const client = h.client();
      const other = await client.election(h.name()).campaign("keeps the lease");
      for (let steps = 0; steps < 12; steps++) {
        const abort = new AbortController();
        const campaign = client.election(name).campaign("b", { signal: abort.signal });
        const outcome = campaign.then(
          (term) => term.resign(),
          (error: unknown) => expect(error).toMatchObject({ code: "aborted" }),
        );
        for (let turn = 0; turn < steps; turn++) await new Promise((resolve) => setImmediate(resolve));
        abort.abort();
        await outcome;
        await h.candidates(name, 0);
      }
      expect(other.held).toBe(true);
    });

    it("a second campaign of one client in one election is refused, and allowed after the first ended", async () => {
      const client = h.client();
      const name = h.name();
      const term = await client.election(name).campaign("a");
      await expect(client.election(name).campaign("b")).rejects.toMatchObject({ code: "invalid-argument" });
      void term.resign();
      const next = await client.election(name).campaign("c");
      expect(next.token > term.token).toBe(true);
      await expect(client.election(name).campaign("d")).rejects.toMatchObject({ code: "invalid-argument" });
    });

    it("elections of one client share a lease, which is revoked with the last of them", async () => {
      const client = h.client();
      const [a, b] = await Promise.all([
        client.election(h.name()).campaign("a"),
        client.election(h.name()).campaign("b"),
      ]);
      expect(a.leaseId).toBe(b.leaseId);
      await a.resign();
      expect(b.held).toBe(true);
      expect((await client.etcd.lease.timeToLive(a.leaseId)).TTL > 0n).toBe(true);
      await b.resign();
      await until(async () => (await client.etcd.lease.timeToLive(a.leaseId)).TTL === -1n, { what: "the revocation" });
    });

    it("a foreign key under the prefix refuses a new campaign by name and leaves no key behind", async () => {
      const client = h.client();
      const name = h.name();
      const nested = await h.client().election(`${name}/inner`).campaign("inner");
      await expect(client.election(name).campaign("a")).rejects.toMatchObject({
        code: "nested-election",
        message: expect.stringContaining(nested.key) as string,
      });
      await nested.resign();
      await client.etcd.kv.put(`${name}/abc`, "on no lease");
      await expect(client.election(name).campaign("a")).rejects.toMatchObject({ code: "nested-election" });
      const left = await client.etcd.kv.range({ prefix: `${name}/` });
      expect(left.kvs.map((kv) => Buffer.from(kv.key).toString())).toEqual([`${name}/abc`]);
    });

    it("a foreign key that comes later does not end a running term", async () => {
      const client = h.client();
      const name = h.name();
      const term = await client.election(name).campaign("a");
      await client
        .txn()
        .success(put(`${name}/not-hex`, "x"))
        .commit();
      await term.proclaim();
      expect(term.held).toBe(true);
      await client.etcd.kv.delete(`${name}/not-hex`);
    });

    it("close leaves every election and gives every lease back", async () => {
      const client = h.client();
      const name = h.name();
      await client.election(name).campaign("a");
      const waiting = h.client();
      const campaign = waiting.election(name).campaign("b");
      campaign.catch(() => undefined);
      await h.candidates(name, 2);
      await waiting.close();
      await expect(campaign).rejects.toMatchObject({ code: "aborted", message: "the client is closed" });
      await h.candidates(name, 1);
      await client.close();
      await client.close();
      await h.candidates(name, 0);
      await expect(client.election(name).campaign("c")).rejects.toMatchObject({ code: "aborted" });
    });
  });
}

import { describe, expect, it } from "vitest";
import { type Client, isTenureLease } from "tenure";
import { type Harness, elapsed, fired, rpcsDuring, text } from "./harness.ts";
import { settled, until } from "../support/until.ts";

async function isRevoked(client: Client, leaseId: bigint): Promise<boolean> {
  return (await client.etcd.lease.timeToLive(leaseId)).TTL === -1n;
}

/** The lease that a client's candidates live on. */
export function sessionCases(h: Harness): void {
  describe("session", () => {
    it("nothing is granted before the first campaign", async () => {
      const client = h.client();
      await client.ready();
      const rpcs = await rpcsDuring(async () => {
        await client.election(h.name()).leader();
        await client.election(h.name()).candidates();
      });
      expect(rpcs).toEqual(["KV/Range", "KV/Range"]);
    });

    it("the lease id is positive and carries the tag of Tenure", async () => {
      const term = await h.client().election(h.name()).campaign("a");
      expect(term.leaseId).toBeGreaterThan(0n);
      expect(isTenureLease(term.leaseId)).toBe(true);
      const { ID } = await h.etcd().lease.grant(60n, { id: 1n << 40n });
      expect(isTenureLease(ID)).toBe(false);
      await h.etcd().lease.revoke(ID);
    });

    it("the lease has the TTL that was asked for (TestSessionTTLOptions)", async () => {
      const client = h.client();
      const term = await client.election(h.name(), { ttlMs: 90_000 }).campaign("a");
      expect(term.ttlMs).toBe(90_000);
      expect((await client.etcd.lease.timeToLive(term.leaseId)).grantedTTL).toBe(90n);
    });

    it("without a TTL the lease has 10 s", async () => {
      const term = await h.client().election(h.name()).campaign("a");
      expect((await h.etcd().lease.timeToLive(term.leaseId)).grantedTTL).toBe(10n);
    });

    it("a TTL that etcd raises is the TTL from then on", async () => {
      const client = h.client();
      const term = await client.election(h.name(), { ttlMs: 1_000 }).campaign("a");
      expect(term.ttlMs).toBe(2_000);
      expect((await client.etcd.lease.timeToLive(term.leaseId)).grantedTTL).toBe(2n);
      await elapsed(1_200);
      expect(term.held).toBe(true);
    });

    it("candidates of one client share a lease, whichever elections they stand in", async () => {
      const client = h.client();
      const names = [h.name(), h.name(), h.name()];
      const terms = await Promise.all(names.map((name) => client.election(name).campaign("a")));
      expect(new Set(terms.map(({ leaseId }) => leaseId)).size).toBe(1);
      const { keys } = await client.etcd.lease.timeToLive(terms[0]?.leaseId ?? 0n, { keys: true });
      expect(keys.map(text).toSorted()).toEqual(terms.map(({ key }) => key).toSorted());
    });

    it("another TTL is another lease", async () => {
      const client = h.client();
      const short = await client.election(h.name(), { ttlMs: 5_000 }).campaign("a");
      const long = await client.election(h.name(), { ttlMs: 20_000 }).campaign("a");
      expect(short.leaseId).not.toBe(long.leaseId);
      await short.resign();
      expect(long.held).toBe(true);
    });

    it("two clients never share a lease", async () => {
      const [a, b] = [h.client(), h.client()];
      const first = await a.election(h.name()).campaign("a");
      const second = await b.election(h.name()).campaign("b");
      expect(first.leaseId).not.toBe(second.leaseId);
    });

    it("the lease is revoked with its last use, and the next campaign has a new one", async () => {
      const client = h.client();
      const [a, b] = [h.name(), h.name()];
      const first = await client.election(a).campaign("a");
      const second = await client.election(b).campaign("b");
      await first.resign();
      expect(await isRevoked(client, first.leaseId)).toBe(false);
      await second.resign();
      await until(() => isRevoked(client, first.leaseId), { what: "revocation" });
      const third = await client.election(a).campaign("a");
      expect(third.leaseId).not.toBe(first.leaseId);
    });

    it("a standby that gives up revokes its lease", async () => {
      const name = h.name();
      await h.client().election(name).campaign("leader");
      const client = h.client();
      const abort = new AbortController();
      const campaign = client.election(name).campaign("standby", { signal: abort.signal });
      await h.candidates(name, 2);
      const leaseId = (await client.election(name).candidates())[1]?.leaseId ?? 0n;
      expect(await isRevoked(client, leaseId)).toBe(false);
      abort.abort();
      await expect(campaign).rejects.toMatchObject({ code: "aborted" });
      await until(() => isRevoked(client, leaseId), { what: "revocation" });
    });

    it("closing the client revokes the lease", async () => {
      const client = h.client();
      const term = await client.election(h.name()).campaign("a");
      await client.close();
      expect(await isRevoked(h.client(), term.leaseId)).toBe(true);
      expect(term.held).toBe(false);
      expect(term.signal.aborted).toBe(true);
    });

    it("keep-alives hold leader and standby past their TTL, each on its own key", async () => {
      const name = h.name();
      const ttl = { ttlMs: 2_000 };
      const leading = await h.client().election(name, ttl).campaign("a");
      const campaign = h.client().election(name, ttl).campaign("b");
      await h.candidates(name, 2);
      const before = await h.client().election(name).candidates();
      await elapsed(4_500);
      expect(leading.held).toBe(true);
      expect(leading.signal.aborted).toBe(false);
      const after = await h.client().election(name).candidates();
      expect(after.map(({ key, revision }) => [key, revision])).toEqual(
        before.map(({ key, revision }) => [key, revision]),
      );
      await leading.resign();
      expect((await settled(campaign, { what: "the standby" })).token).toBe(before[1]?.revision);
    });

    it("all elections of one lease are kept alive by one stream", async () => {
      const client = h.client();
      const ttl = { ttlMs: 2_000 };
      const streams = await rpcsDuring(async () => {
        const terms = await Promise.all([1, 2, 3].map(() => client.election(h.name(), ttl).campaign("a")));
        await elapsed(2_500);
        expect(terms.map(({ held }) => held)).toEqual([true, true, true]);
      });
      expect(streams.filter((method) => method === "Lease/LeaseKeepAlive")).toHaveLength(1);
      expect(streams.filter((method) => method === "Lease/LeaseGrant")).toHaveLength(1);
    });

    it("a lease that is revoked by others ends all its terms, and says why", async () => {
      const client = h.client();
      const terms = await Promise.all([1, 2].map(() => client.election(h.name()).campaign("a")));
      await h.etcd().lease.revoke(terms[0]?.leaseId ?? 0n);
      for (const term of terms) {
        expect(await fired(term.signal)).toMatchObject({ name: "TenureError", code: "leadership-lost" });
        expect(term.held).toBe(false);
      }
    });

    it("a lease that is revoked by others is not used again", async () => {
      const client = h.client();
      const name = h.name();
      const term = await client.election(name).campaign("a");
      await h.etcd().lease.revoke(term.leaseId);
      await fired(term.signal);
      const next = await client.election(name).campaign("a");
      expect(next.leaseId).not.toBe(term.leaseId);
      expect(next.token).toBeGreaterThan(term.token);
      expect(next.held).toBe(true);
    });

    it("a lease that cannot be kept alive ends its terms with a session that ended as the cause", async () => {
      const proxy = await h.proxy();
      const client = h.client({ endpoints: [proxy.endpoint] });
      const term = await client.election(h.name(), { ttlMs: 2_000 }).campaign("a");
      proxy.cut();
      expect(await fired(term.signal)).toMatchObject({
        code: "leadership-lost",
        message: expect.stringContaining(term.leaseId.toString(16)) as string,
        cause: { name: "TenureError", code: "session-ended" },
      });
      proxy.heal();
    });

    it("a silence shorter than the TTL costs nothing (TestLeaseRenewLostQuorum)", async () => {
      const proxy = await h.proxy();
      const client = h.client({ endpoints: [proxy.endpoint] });
      const term = await client.election(h.name(), { ttlMs: 5_000 }).campaign("a");
      proxy.blackhole("both");
      await elapsed(2_000);
      proxy.heal();
      await elapsed(3_500);
      expect(term.held).toBe(true);
      expect(await h.etcd().kv.get(term.key)).toMatchObject({ createRevision: term.token });
    });

    for (const ttlMs of [0, -2_000, 2_500, 9_000_000_001_000, Number.NaN]) {
      it(`a TTL of ${ttlMs} ms is refused before anything is sent`, async () => {
        const client = h.client();
        const rpcs = await rpcsDuring(async () => {
          const refused = expect.objectContaining({ code: "invalid-argument" }) as Error;
          expect(() => client.election(h.name(), { ttlMs })).toThrow(refused);
          await Promise.resolve();
        });
        expect(rpcs).toEqual([]);
      });
    }
  });
}

import { describe, expect, it } from "vitest";
import { type EtcdClient, put } from "@tenure/etcd";
import { KV, Lease, type LeaseKeepAliveResponse } from "@tenure/etcd/rpc";
import { type Harness, elapsed, text } from "./harness.ts";
import { settled, until } from "../support/until.ts";

/** A stream of keep-alives whose answers can be awaited one by one. */
interface KeepAlives extends Disposable {
  ask(...ids: bigint[]): Promise<LeaseKeepAliveResponse[]>;
}

function keepAlives(etcd: EtcdClient): KeepAlives {
  const closing = new AbortController();
  const stream = etcd.lease.keepAlive(closing.signal);
  const answers = stream.answers[Symbol.asyncIterator]();
  return {
    ask: async (...ids) => {
      for (const id of ids) stream.send(id);
      const all: LeaseKeepAliveResponse[] = [];
      while (all.length < ids.length) {
        const answer = await settled(answers.next(), { what: "answer to a keep-alive" });
        if (answer.done === true) throw new Error("the stream of keep-alives ended");
        all.push(answer.value);
      }
      return all;
    },
    [Symbol.dispose]: () => closing.abort(),
  };
}

async function isGone(etcd: EtcdClient, id: bigint): Promise<boolean> {
  return (await etcd.lease.timeToLive(id)).TTL === -1n;
}

/** Leases, and the keys on them. */
export function leaseCases(h: Harness): void {
  describe("lease", () => {
    it("without an id the server chooses one, positive and not in use", async () => {
      const { lease } = h.etcd();
      const ids = await Promise.all(Array.from({ length: 10 }, async () => (await lease.grant(60n)).ID));
      expect(new Set(ids).size).toBe(10);
      expect(ids.every((id) => id > 0n)).toBe(true);
      await Promise.all(ids.map((id) => lease.revoke(id)));
    });

    it("an id of the client's choice is taken (TestV3LeaseGrantByID)", async () => {
      const { lease } = h.etcd();
      expect(await lease.grant(60n, { id: 123_456n })).toMatchObject({ ID: 123_456n, TTL: 60n });
      const other = await lease.grant(60n);
      expect(other.ID).not.toBe(123_456n);
      await Promise.all([lease.revoke(123_456n), lease.revoke(other.ID)]);
    });

    it("an id that is in use is refused: lease already exists", async () => {
      const { lease } = h.etcd();
      const { ID } = await lease.grant(60n);
      const answer = await h.raw().unary(Lease.method.leaseGrant, { ID, TTL: 60n });
      expect(answer).toMatchObject({ status: "9", message: "etcdserver: lease already exists" });
      await expect(lease.grant(60n, { id: ID })).rejects.toMatchObject({
        code: "failed-precondition",
        mayHaveApplied: false,
      });
      await lease.revoke(ID);
    });

    it("an id can be granted again after its lease was revoked", async () => {
      const { lease } = h.etcd();
      const { ID } = await lease.grant(60n);
      await lease.revoke(ID);
      expect(await lease.grant(30n, { id: ID })).toMatchObject({ ID, TTL: 30n });
      await lease.revoke(ID);
    });

    it("a negative id is as good as any (TestV3LeaseNegativeID)", async () => {
      const etcd = h.etcd();
      const key = h.name();
      expect((await etcd.lease.grant(60n, { id: -5n })).ID).toBe(-5n);
      await etcd.kv.put(key, "a", { leaseId: -5n });
      expect((await etcd.kv.get(key))?.lease).toBe(-5n);
      expect((await etcd.lease.timeToLive(-5n, { keys: true })).keys.map(text)).toEqual([key]);
      await etcd.lease.revoke(-5n);
      expect(await etcd.kv.get(key)).toBeUndefined();
    });

    for (const ttl of [1n, 0n, -7n]) {
      it(`a TTL of ${ttl} s is raised to the minimum of 2 s`, async () => {
        const { lease } = h.etcd();
        const { ID, TTL } = await lease.grant(ttl);
        expect(TTL).toBe(2n);
        expect((await lease.timeToLive(ID)).grantedTTL).toBe(2n);
        await lease.revoke(ID);
      });
    }

    it("the largest TTL is 9,000,000,000 s", async () => {
      const { lease } = h.etcd();
      const { ID, TTL } = await lease.grant(9_000_000_000n);
      expect(TTL).toBe(9_000_000_000n);
      await lease.revoke(ID);
      const answer = await h.raw().unary(Lease.method.leaseGrant, { TTL: 9_000_000_001n });
      expect(answer).toMatchObject({ status: "11", message: "etcdserver: too large lease TTL" });
    });

    it("revoking deletes all keys of the lease in one revision", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      const { ID } = await etcd.lease.grant(60n);
      for (const key of ["a", "b", "c"]) await etcd.kv.put(prefix + key, "", { leaseId: ID });
      const before = (await etcd.kv.put(`${prefix}d`, "on no lease")).header?.revision ?? 0n;
      await etcd.lease.revoke(ID);
      const { kvs, header } = await etcd.kv.range({ prefix });
      expect(kvs.map(({ key }) => text(key))).toEqual([`${prefix}d`]);
      expect(header?.revision).toBe(before + 1n);
    });

    it("revoking a lease without keys makes no revision", async () => {
      const etcd = h.etcd();
      const before = (await etcd.kv.put(h.name(), "")).header?.revision;
      const { ID } = await etcd.lease.grant(60n);
      await etcd.lease.revoke(ID);
      expect((await etcd.kv.range("x")).header?.revision).toBe(before);
      expect(await isGone(etcd, ID)).toBe(true);
    });

    it("revoking a lease that is not there is refused: requested lease not found", async () => {
      const answer = await h.raw().unary(Lease.method.leaseRevoke, { ID: 404n });
      expect(answer).toMatchObject({ status: "5", message: "etcdserver: requested lease not found" });
      await expect(h.etcd().lease.revoke(404n)).rejects.toMatchObject({ code: "not-found" });
    });

    it("a put on a lease that is not there is refused: requested lease not found (TestV3LeaseExists)", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { ID } = await etcd.lease.grant(60n);
      await etcd.lease.revoke(ID);
      const answer = await h.raw().unary(KV.method.put, { key: Buffer.from(key), lease: ID });
      expect(answer).toMatchObject({ status: "5", message: "etcdserver: requested lease not found" });
      expect(await etcd.kv.get(key)).toBeUndefined();
    });

    it("a keep-alive gives the whole TTL back (TestLeaseKeepAlive)", async () => {
      const etcd = h.etcd();
      const { ID } = await etcd.lease.grant(5n);
      await until(async () => (await etcd.lease.timeToLive(ID)).TTL <= 3n, { what: "time to pass" });
      using stream = keepAlives(etcd);
      expect(await stream.ask(ID)).toMatchObject([{ ID, TTL: 5n }]);
      expect((await etcd.lease.timeToLive(ID)).TTL).toBeGreaterThanOrEqual(4n);
      await etcd.lease.revoke(ID);
    });

    it("a keep-alive of a lease that is not there is answered with TTL 0", async () => {
      using stream = keepAlives(h.etcd());
      expect(await stream.ask(404n)).toMatchObject([{ ID: 404n, TTL: 0n }]);
    });

    it("a revoked lease does not stop the keep-alives of others (TestLeaseKeepAliveNotFound)", async () => {
      const etcd = h.etcd();
      const ids = [
        (await etcd.lease.grant(20n)).ID,
        (await etcd.lease.grant(30n)).ID,
        (await etcd.lease.grant(40n)).ID,
      ];
      using stream = keepAlives(etcd);
      expect((await stream.ask(...ids)).map(({ TTL }) => TTL)).toEqual([20n, 30n, 40n]);
      await etcd.lease.revoke(ids[1] ?? 0n);
      expect((await stream.ask(...ids)).map(({ TTL }) => TTL)).toEqual([20n, 0n, 40n]);
      expect((await stream.ask(...ids)).map(({ ID }) => ID)).toEqual(ids);
      await Promise.all([etcd.lease.revoke(ids[0] ?? 0n), etcd.lease.revoke(ids[2] ?? 0n)]);
    });

    it("keep-alives on one stream are answered in their order", async () => {
      const etcd = h.etcd();
      const a = (await etcd.lease.grant(60n)).ID;
      const b = (await etcd.lease.grant(60n)).ID;
      const asked = Array.from({ length: 50 }, (_, index) => (index % 3 === 0 ? a : b));
      using stream = keepAlives(etcd);
      expect((await stream.ask(...asked)).map(({ ID }) => ID)).toEqual(asked);
      await Promise.all([etcd.lease.revoke(a), etcd.lease.revoke(b)]);
    });

    it("time to live tells what was granted and what is left of it", async () => {
      const { lease } = h.etcd();
      const { ID } = await lease.grant(60n);
      const left = await lease.timeToLive(ID);
      expect(left).toMatchObject({ ID, grantedTTL: 60n, keys: [] });
      expect(left.TTL).toBeGreaterThanOrEqual(50n);
      expect(left.TTL).toBeLessThanOrEqual(60n);
      await lease.revoke(ID);
    });

    it("time to live of a lease that is not there is -1", async () => {
      expect(await h.etcd().lease.timeToLive(404n)).toMatchObject({ ID: 404n, TTL: -1n, grantedTTL: 0n, keys: [] });
    });

    it("time to live lists the keys when it is asked to, and only then", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      const { ID } = await etcd.lease.grant(60n);
      for (const key of ["b", "a", "c"]) await etcd.kv.put(prefix + key, "", { leaseId: ID });
      await etcd.kv.delete(`${prefix}b`);
      const { keys } = await etcd.lease.timeToLive(ID, { keys: true });
      expect(keys.map(text).toSorted()).toEqual([`${prefix}a`, `${prefix}c`]);
      expect((await etcd.lease.timeToLive(ID)).keys).toEqual([]);
      await etcd.lease.revoke(ID);
    });

    it("the list has every lease granted and none revoked (TestV3LeaseLeases)", async () => {
      const { lease } = h.etcd();
      const ids = [(await lease.grant(60n)).ID, (await lease.grant(60n)).ID];
      const listed = async (): Promise<boolean[]> => {
        const { leases } = await lease.list();
        return ids.map((id) => leases.some(({ ID }) => ID === id));
      };
      expect(await listed()).toEqual([true, true]);
      await lease.revoke(ids[0] ?? 0n);
      expect(await listed()).toEqual([false, true]);
      await lease.revoke(ids[1] ?? 0n);
    });

    it("a key that is put on another lease leaves its first one", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const [a, b] = [(await etcd.lease.grant(60n)).ID, (await etcd.lease.grant(60n)).ID];
      await etcd.kv.put(key, "a", { leaseId: a });
      await etcd.kv.put(key, "b", { leaseId: b });
      expect((await etcd.lease.timeToLive(a, { keys: true })).keys).toEqual([]);
      await etcd.lease.revoke(a);
      expect(await etcd.kv.get(key)).toMatchObject({ lease: b, version: 2n });
      await etcd.lease.revoke(b);
      expect(await etcd.kv.get(key)).toBeUndefined();
    });

    it("a key that is put without a lease leaves its lease", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { ID } = await etcd.lease.grant(60n);
      await etcd.kv.put(key, "a", { leaseId: ID });
      await etcd.kv.put(key, "b");
      await etcd.lease.revoke(ID);
      expect(await etcd.kv.get(key)).toMatchObject({ lease: 0n, version: 2n });
    });

    it("a key that is deleted and put again is not on its old lease", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { ID } = await etcd.lease.grant(60n);
      await etcd.kv.put(key, "a", { leaseId: ID });
      await etcd.kv.delete(key);
      await etcd.kv.put(key, "b");
      await etcd.lease.revoke(ID);
      expect(text((await etcd.kv.get(key))?.value)).toBe("b");
    });

    it("a lease expires, never early, and all its keys go in one revision (TestV3LeaseExpire)", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      const started = performance.now();
      const { ID } = await etcd.lease.grant(2n);
      const { header } = await etcd.kv
        .txn()
        .success(...["a", "b"].map((key) => put(prefix + key, "", { leaseId: ID })))
        .commit();
      await until(async () => (await etcd.kv.range({ prefix })).count === 0n, { what: "the expiry" });
      expect(performance.now() - started).toBeGreaterThanOrEqual(2_000);
      expect((await etcd.kv.range({ prefix })).header?.revision).toBe((header?.revision ?? 0n) + 1n);
      expect(await isGone(etcd, ID)).toBe(true);
    });

    it("a lease whose key is read while it expires is never seen gone with its key still there", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { ID } = await etcd.lease.grant(2n);
      await etcd.kv.put(key, "a", { leaseId: ID });
      await until(
        async () => {
          const gone = await isGone(etcd, ID);
          if (!gone) return false;
          expect(await etcd.kv.get(key)).toBeUndefined();
          return true;
        },
        { what: "the expiry", intervalMs: 5 },
      );
    });

    it("keep-alives hold a lease past its TTL, and it expires once they end", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { ID } = await etcd.lease.grant(2n);
      await etcd.kv.put(key, "a", { leaseId: ID });
      const started = performance.now();
      using stream = keepAlives(etcd);
      await until(
        async () => {
          expect((await stream.ask(ID))[0]?.TTL).toBe(2n);
          return performance.now() - started > 3_500;
        },
        { what: "the TTL to pass", intervalMs: 300 },
      );
      expect(await etcd.kv.get(key)).toMatchObject({ version: 1n });
      await until(async () => (await etcd.kv.get(key)) === undefined, { what: "the expiry" });
      expect(await stream.ask(ID)).toMatchObject([{ TTL: 0n }]);
    });

    it("a key on a lease that is kept alive by one client outlives the client that put it", async () => {
      const [writer, keeper] = [h.client(), h.etcd()];
      const key = h.name();
      const { ID } = await writer.etcd.lease.grant(2n);
      await writer.etcd.kv.put(key, "a", { leaseId: ID });
      using stream = keepAlives(keeper);
      await stream.ask(ID);
      await writer.close();
      for (let round = 0; round < 5; round++) {
        await elapsed(500);
        expect(await stream.ask(ID)).toMatchObject([{ TTL: 2n }]);
      }
      expect(text((await keeper.kv.get(key))?.value)).toBe("a");
      await keeper.lease.revoke(ID);
    });
  });
}

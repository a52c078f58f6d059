import { describe, expect, it } from "vitest";
import { compare, put, range } from "tenure";
import type { Harness } from "./harness.ts";

/** That a write guarded by a term is refused once the term is over. */
export function fencingCases(h: Harness): void {
  describe("fencing", () => {
    it("a guarded write succeeds during the term and is refused after a new one began", async () => {
      const name = h.name();
      const first = h.client();
      const second = h.client();
      const old = await first.election(name).campaign("a");
      const write = (value: string, term: typeof old) =>
        first
          .txn()
          .if(...term.guard())
          .success(put(`${name}-data`, value))
          .commit();
      expect((await write("by a", old)).succeeded).toBe(true);
      const campaign = second.election(name).campaign("b");
      await h.candidates(name, 2);
      await old.resign();
      const next = await campaign;
      expect(next.token > old.token).toBe(true);
      expect((await write("late, by a", old)).succeeded).toBe(false);
      expect((await write("by b", next)).succeeded).toBe(true);
      expect(Buffer.from((await first.etcd.kv.get(`${name}-data`))?.value ?? "").toString()).toBe("by b");
    });

    it("a guarded write is refused when the key was moved to another lease", async () => {
      const client = h.client();
      const term = await client.election(h.name()).campaign("a");
      const guard = term.guard();
      const other = await client.etcd.lease.grant(60n);
      await client.etcd.kv.put(term.key, "taken", { leaseId: other.ID });
      expect(
        (
          await client
            .txn()
            .if(...guard)
            .success(put("x-data", "y"))
            .commit()
        ).succeeded,
      ).toBe(false);
      await client.etcd.lease.revoke(other.ID);
    });

    it("tells an own comparison that does not hold from a term that is over", async () => {
      const name = h.name();
      const client = h.client();
      const term = await client.election(name).campaign("a");
      const write = () =>
        client
          .txn()
          .if(...term.guard(), compare.createRevision(`${name}-data`, "=", 0n))
          .success(put(`${name}-data`, "first"))
          .failure(put(`${name}-other`, "exists"), range(`${name}-data`))
          .commit();
      expect((await write()).outcome).toBe("succeeded");
      const failed = await write();
      expect([failed.outcome, failed.succeeded, failed.responses.length]).toEqual(["failed", false, 2]);
      expect([term.held, term.signal.aborted]).toEqual([true, false]);
      await client.etcd.kv.delete(`${name}-other`);
      await client.etcd.kv.delete(term.key);
      const refused = await write();
      expect([refused.outcome, refused.succeeded, refused.responses]).toEqual(["not-leader", false, []]);
      expect(await client.etcd.kv.get(`${name}-other`)).toBeUndefined();
      expect([term.held, term.signal.reason]).toMatchObject([false, { code: "leadership-lost" }]);
    });

    it("a guard alone runs the failure operations when the term is over, and ends it", async () => {
      const name = h.name();
      const client = h.client();
      const term = await client.election(name).campaign("a");
      await client.etcd.kv.delete(term.key);
      const { outcome, responses } = await client
        .txn()
        .if(...term.guard())
        .success(put(`${name}-data`, "late"))
        .failure(range(`${name}-data`))
        .commit();
      expect([outcome, responses.length, term.signal.aborted]).toEqual(["not-leader", 1, true]);
    });

    it("a transaction without a guard succeeds or fails as ever", async () => {
      const name = h.name();
      const client = h.client();
      const write = () =>
        client
          .txn()
          .if(compare.createRevision(name, "=", 0n))
          .success(put(name, "v"))
          .commit();
      expect([(await write()).outcome, (await write()).outcome]).toEqual(["succeeded", "failed"]);
    });

    it("a token comes with the cluster it belongs to", async () => {
      const client = h.client();
      const term = await client.election(h.name()).campaign("a");
      const status = await client.etcd.maintenance.status();
      expect(term.clusterId).toBe(status.header?.clusterId);
      expect(term.revision).toBe(term.token);
    });
  });
}

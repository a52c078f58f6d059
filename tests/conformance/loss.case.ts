import { describe, expect, it } from "vitest";
import { type Harness, fired } from "./harness.ts";
import { until } from "../support/until.ts";

/** How a term ends, and that nothing says it leads afterwards. */
export function lossCases(h: Harness): void {
  describe("loss of leadership", () => {
    it("after resign nothing says that it leads, and the key is gone", async () => {
      const client = h.client();
      const name = h.name();
      const term = await client.election(name).campaign("a");
      const resigned = term.resign();
      expect(term.held).toBe(false);
      expect(term.signal.aborted).toBe(true);
      expect(term.signal.reason).toMatchObject({ code: "not-leader" });
      await resigned;
      await term.resign();
      expect(await client.etcd.kv.get(term.key)).toBeUndefined();
      await expect(term.proclaim("b")).rejects.toMatchObject({ code: "not-leader" });
      expect(term.held).toBe(false);
    });

    it("stop ends the term here at once and leaves the key until resign", async () => {
      const client = h.client();
      const term = await client.election(h.name()).campaign("a");
      term.stop();
      expect(term.held).toBe(false);
      expect(term.signal.aborted).toBe(true);
      expect((await client.etcd.kv.get(term.key))?.createRevision).toBe(term.token);
      await term.resign();
      expect(await client.etcd.kv.get(term.key)).toBeUndefined();
    });

    it("the signal fires when the lease is revoked", async () => {
      const client = h.client();
      const term = await client.election(h.name()).campaign("a");
      await h.client().etcd.lease.revoke(term.leaseId);
      expect(await fired(term.signal)).toMatchObject({ code: "leadership-lost" });
      expect(term.held).toBe(false);
      await expect(term.proclaim()).rejects.toMatchObject({ code: "leadership-lost" });
      await term.resign();
    });

    it("the signal fires when the key is deleted, although the lease lives", async () => {
      const client = h.client();
      const name = h.name();
      const term = await client.election(name).campaign("a");
      await h.client().etcd.kv.delete(term.key);
      expect(await fired(term.signal)).toMatchObject({ code: "leadership-lost" });
      expect(term.held).toBe(false);
    });

    it("the signal fires when somebody deletes the key and puts it again at once", async () => {
      const client = h.client();
      const term = await client.election(h.name()).campaign("a");
      await client.etcd.kv.delete(term.key);
      await client.etcd.kv.put(term.key, "impostor", {}).catch(() => undefined);
      expect(await fired(term.signal)).toMatchObject({ code: "leadership-lost" });
      await client.etcd.kv.delete(term.key);
    });

    it("the signal fires when the key is moved to another lease", async () => {
      const client = h.client();
      const term = await client.election(h.name()).campaign("a");
      const other = await client.etcd.lease.grant(60n);
      await client.etcd.kv.put(term.key, "taken", { leaseId: other.ID });
      expect(await fired(term.signal)).toMatchObject({ code: "leadership-lost" });
      await client.etcd.lease.revoke(other.ID);
    });

    it("a proclaim finds out that the key is gone even before the watch does", async () => {
      const client = h.client();
      const term = await client.election(h.name()).campaign("a");
      const other = h.client();
      await other.ready();
      await client.etcd.kv.delete(term.key).then(() =>
        expect(term.proclaim("b")).rejects.toMatchObject({
          code: "leadership-lost",
        }),
      );
      expect(term.signal.aborted).toBe(true);
    });

    it("with the connection cut, the signal fires before the key is gone from the store", async () => {
      const proxy = await h.proxy();
      const client = h.client({ endpoints: [proxy.endpoint] });
      const watcher = h.client();
      const term = await client.election(h.name(), { ttlMs: 2000 }).campaign("a");
      proxy.blackhole("both");
      expect(await fired(term.signal)).toMatchObject({ code: "leadership-lost" });
      expect(term.held).toBe(false);
      expect((await watcher.etcd.kv.get(term.key))?.createRevision).toBe(term.token);
      await until(async () => (await watcher.etcd.kv.get(term.key)) === undefined, { what: "the key's expiry" });
      proxy.heal();
    });

    it("with the connection reset and refused, too", async () => {
      const proxy = await h.proxy();
      const client = h.client({ endpoints: [proxy.endpoint] });
      const watcher = h.client();
      const term = await client.election(h.name(), { ttlMs: 2000 }).campaign("a");
      proxy.cut();
      expect(await fired(term.signal)).toMatchObject({ code: "leadership-lost" });
      expect((await watcher.etcd.kv.get(term.key))?.createRevision).toBe(term.token);
      proxy.heal();
    });

    it("a short cut costs neither the term nor the place in the queue", async () => {
      const proxy = await h.proxy();
      const name = h.name();
      const client = h.client({ endpoints: [proxy.endpoint] });
      const standby = h.client({ endpoints: [proxy.endpoint] });
      const term = await client.election(name, { ttlMs: 5000 }).campaign("a");
      const campaign = standby.election(name, { ttlMs: 5000 }).campaign("b");
      await h.candidates(name, 2);
      const [, before] = await client.election(name).candidates();
      proxy.cut();
      proxy.heal();
      await until(
        () =>
          client
            .election(name)
            .candidates()
            .then(
              () => true,
              () => false,
            ),
        { what: "the way back" },
      );
      // Promoted by a watch that was opened anew.
      await term.resign();
      const next = await campaign;
      expect(next.key).toBe(before?.key);
      expect(next.token).toBe(before?.revision);
    });

    it("a campaign waits while the store is away and is elected when it is back", async () => {
      const proxy = await h.proxy();
      proxy.cut();
      const client = h.client({ endpoints: [proxy.endpoint] });
      const campaign = client.election(h.name()).campaign("a");
      await expect(client.ready({ timeoutMs: 300 })).rejects.toMatchObject({ code: "unavailable" });
      proxy.heal();
      expect((await campaign).held).toBe(true);
    });
  });
}

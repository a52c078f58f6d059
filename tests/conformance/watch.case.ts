import { describe, expect, it } from "vitest";
import { put, remove } from "@tenure/etcd";
import { Event_EventType as EventType } from "@tenure/etcd/rpc";
import { type Harness, text } from "./harness.ts";
import { shown, watching } from "./watching.ts";

/** What one watch sees. */
export function watchCases(h: Harness): void {
  describe("watch", () => {
    it("tells first that it stands, with a revision not below the last write", async () => {
      const etcd = h.etcd();
      const { header } = await etcd.kv.put(h.name(), "a");
      await using watch = await watching(etcd, h.name());
      expect(watch.created.revision).toBeGreaterThanOrEqual(header?.revision ?? 0n);
      expect(watch.created.clusterId).toBe(header?.clusterId);
    });

    it("from now on it sees what comes after, and nothing from before", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await etcd.kv.put(key, "before");
      await using watch = await watching(etcd, key);
      const { header } = await etcd.kv.put(key, "after");
      const [event] = await watch.events(1);
      expect(event).toMatchObject({ type: EventType.PUT, kv: { version: 2n, modRevision: header?.revision } });
      expect(text(event?.kv?.value)).toBe("after");
    });

    it("from a revision of the past it sees everything from that revision on", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      await etcd.kv.put(`${prefix}a`, "1");
      const { header } = await etcd.kv.put(`${prefix}a`, "2");
      await etcd.kv.delete(`${prefix}a`);
      await etcd.kv.put(`${prefix}b`, "3");
      await using watch = await watching(etcd, { prefix }, { startRevision: header?.revision ?? 0n });
      await etcd.kv.put(`${prefix}c`, "4");
      expect((await watch.events(4)).map(shown)).toEqual(["put a=2", "delete a", "put b=3", "put c=4"]);
    });

    it("from a revision still to come it sees nothing before that", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { header } = await etcd.kv.put(key, "0");
      await using watch = await watching(etcd, key, { startRevision: (header?.revision ?? 0n) + 3n });
      for (const value of ["1", "2", "3", "4"]) await etcd.kv.put(key, value);
      const events = await watch.events(2);
      expect(events.map(({ kv }) => text(kv?.value))).toEqual(["3", "4"]);
    });

    it("from a compacted revision it fails as compacted and names the revision", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const { header } = await etcd.kv.put(key, "1");
      const last = (await etcd.kv.put(key, "2")).header?.revision ?? 0n;
      await etcd.kv.compact(last);
      const watch = await watching(etcd, key, { startRevision: header?.revision ?? 0n });
      await expect(watch.next()).rejects.toMatchObject({ code: "compacted", compactRevision: last });
    });

    it("from the compacted revision itself it is served", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await etcd.kv.put(key, "1");
      const last = (await etcd.kv.put(key, "2")).header?.revision ?? 0n;
      await etcd.kv.compact(last);
      await using watch = await watching(etcd, key, { startRevision: last });
      expect((await watch.events(1)).map(({ kv }) => text(kv?.value))).toEqual(["2"]);
    });

    it("a deletion at the compacted revision itself is still delivered (etcd#18089)", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      await etcd.kv.put(`${prefix}a`, "1");
      const last = (await etcd.kv.delete(`${prefix}a`)).header?.revision ?? 0n;
      await etcd.kv.compact(last, { physical: true });
      await using watch = await watching(etcd, { prefix }, { startRevision: last });
      await etcd.kv.put(`${prefix}b`, "2");
      expect((await watch.events(1)).map(shown)[0]).toBe("delete a");
    });

    it("a watch that is current goes on over a compaction", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await using watch = await watching(etcd, key);
      const { header } = await etcd.kv.put(key, "1");
      await etcd.kv.compact(header?.revision ?? 0n);
      await etcd.kv.put(key, "2");
      expect((await watch.events(2)).map(({ kv }) => text(kv?.value))).toEqual(["1", "2"]);
    });

    it("a watch of one key sees that key only", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await using watch = await watching(etcd, key);
      await etcd.kv.put(`${key}/x`, "child");
      await etcd.kv.put(key.slice(0, -1), "shorter");
      await etcd.kv.put(key, "own");
      expect((await watch.events(1)).map(({ kv }) => text(kv?.value))).toEqual(["own"]);
      await etcd.kv.delete(key.slice(0, -1));
    });

    it("a watch of a prefix sees the keys that start with it only", async () => {
      const etcd = h.etcd();
      const prefix = h.name();
      await using watch = await watching(etcd, { prefix: `${prefix}/` });
      for (const key of [prefix, `${prefix}/`, `${prefix}0`, `${prefix}/a/b`]) await etcd.kv.put(key, "x");
      expect((await watch.events(2)).map(({ kv }) => text(kv?.key))).toEqual([`${prefix}/`, `${prefix}/a/b`]);
    });

    it("a watch of a range sees its start and not its end", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      await using watch = await watching(etcd, { from: `${prefix}b`, to: `${prefix}d` });
      for (const key of ["a", "b", "d", "c"]) await etcd.kv.put(prefix + key, "");
      expect((await watch.events(2)).map(shown)).toEqual(["put b=", "put c="]);
    });

    it("a watch from a key on sees every key up to the last", async () => {
      const etcd = h.etcd();
      const from = Uint8Array.of(0xff, 1);
      await using watch = await watching(etcd, { from });
      for (const key of [[0xff], [0xff, 1], [0xff, 0xff, 0xff]]) await etcd.kv.put(Uint8Array.from(key), "x");
      expect((await watch.events(2)).map(({ kv }) => [...(kv?.key ?? [])])).toEqual([
        [0xff, 1],
        [0xff, 0xff, 0xff],
      ]);
      await etcd.kv.delete({ from: Uint8Array.of(0xff) });
    });

    it("a watch of every key sees every key", async () => {
      const etcd = h.etcd();
      const keys = [`${h.name()}/a`, "~~", `${h.name()}/b`];
      await using watch = await watching(etcd, { prefix: "" });
      for (const key of keys) await etcd.kv.put(key, "x");
      expect((await watch.events(3)).map(({ kv }) => text(kv?.key))).toEqual(keys);
      for (const key of keys) await etcd.kv.delete(key);
    });

    it("the event of a deletion has the key, the revision, and nothing else", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await etcd.kv.put(key, "a");
      await using watch = await watching(etcd, key);
      const { header } = await etcd.kv.delete(key);
      const [event] = await watch.events(1);
      expect(event?.type).toBe(EventType.DELETE);
      expect(event?.kv).toMatchObject({ createRevision: 0n, modRevision: header?.revision, version: 0n, lease: 0n });
      expect(text(event?.kv?.key)).toBe(key);
      expect(event?.kv?.value.byteLength).toBe(0);
      expect(event?.prevKv).toBeUndefined();
    });

    it("prev_kv is the key before the change, for puts and deletions, and absent for a new key", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await using watch = await watching(etcd, key, { prevKv: true });
      await etcd.kv.put(key, "1");
      await etcd.kv.put(key, "2");
      await etcd.kv.delete(key);
      await etcd.kv.put(key, "3");
      const events = await watch.events(4);
      expect(events.map(({ prevKv }) => prevKv && text(prevKv.value))).toEqual([undefined, "1", "2", undefined]);
      expect(events[2]?.prevKv).toMatchObject({ version: 2n });
    });

    it("prev_kv works for events of the past", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await etcd.kv.put(key, "1");
      const { header } = await etcd.kv.put(key, "2");
      await etcd.kv.put(key, "3");
      await using watch = await watching(etcd, key, { prevKv: true, startRevision: header?.revision ?? 0n });
      expect((await watch.events(2)).map(({ prevKv }) => text(prevKv?.value))).toEqual(["1", "2"]);
    });

    for (const [without, expected] of [
      ["put", ["delete a", "delete b"]],
      ["delete", ["put a=1", "put b=2", "put c=3"]],
    ] as const) {
      it(`a watch without ${without}s sees everything else, of now and of the past`, async () => {
        const etcd = h.etcd();
        const prefix = `${h.name()}/`;
        await using now = await watching(etcd, { prefix }, { without });
        const { header } = await etcd.kv.put(`${prefix}a`, "1");
        await etcd.kv.delete(`${prefix}a`);
        await etcd.kv.put(`${prefix}b`, "2");
        await etcd.kv.delete(`${prefix}b`);
        await etcd.kv.put(`${prefix}c`, "3");
        await using past = await watching(etcd, { prefix }, { without, startRevision: header?.revision ?? 0n });
        expect((await now.events(expected.length)).map(shown)).toEqual(expected);
        expect((await past.events(expected.length)).map(shown)).toEqual(expected);
      });
    }

    it("all events of a transaction come in one message, in the order of its operations", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      await etcd.kv.put(`${prefix}b`, "");
      await using watch = await watching(etcd, { prefix });
      const ops = [put(`${prefix}c`, "1"), remove(`${prefix}b`), put(`${prefix}a`, "2")];
      const { header } = await etcd.kv
        .txn()
        .success(...ops)
        .commit();
      const message = await watch.next();
      expect(message.t === "events" && message.events.map(shown)).toEqual(["put c=1", "delete b", "put a=2"]);
      expect(message.revision).toBe(header?.revision);
    });

    it("all keys of a lease that is revoked go in one message", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      const { ID } = await etcd.lease.grant(60n);
      for (const key of ["c", "a", "b"]) await etcd.kv.put(prefix + key, "", { leaseId: ID });
      await using watch = await watching(etcd, { prefix });
      await etcd.lease.revoke(ID);
      const message = await watch.next();
      expect(message.t === "events" && message.events.map(shown)).toEqual(["delete a", "delete b", "delete c"]);
    });

    it("a key that is put, deleted and put again quickly is seen in every state", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await using watch = await watching(etcd, key);
      await Promise.all([etcd.kv.put(key, "1"), etcd.kv.put(key, "1"), etcd.kv.put(key, "1")]);
      await etcd.kv.delete(key);
      await etcd.kv.put(key, "2");
      const events = await watch.events(5);
      expect(events.map(({ kv }) => kv?.version)).toEqual([1n, 2n, 3n, 0n, 1n]);
    });

    it("500 writes of many clients arrive once each, in the order of their revisions", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      await using watch = await watching(etcd, { prefix });
      const writers = Array.from({ length: 10 }, async (_, writer) => {
        const { kv } = h.etcd();
        for (let index = 0; index < 50; index++) await kv.put(`${prefix}${writer}`, String(index));
      });
      const [events] = await Promise.all([watch.events(500), ...writers]);
      const revisions = events.map(({ kv }) => kv?.modRevision ?? 0n);
      expect(revisions).toEqual([...new Set(revisions)].toSorted((a, b) => Number(a - b)));
      expect(events).toHaveLength(500);
    });

    it("a watch that joins in the middle of writes misses none after its start revision", async () => {
      const etcd = h.etcd();
      const key = h.name();
      const first = (await etcd.kv.put(key, "first")).header?.revision ?? 0n;
      const writing = (async () => {
        for (let index = 0; index < 100; index++) await etcd.kv.put(key, String(index));
      })();
      await using watch = await watching(h.etcd(), key, { startRevision: first + 1n });
      const events = await watch.events(100);
      await writing;
      expect(events.map(({ kv }) => Number(text(kv?.value)))).toEqual(Array.from({ length: 100 }, (_, index) => index));
    });

    it("two watches of one client see the same", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await using a = await watching(etcd, key);
      await using b = await watching(etcd, { prefix: key });
      await etcd.kv.put(key, "x");
      expect(await a.events(1)).toEqual(await b.events(1));
    });

    it("aborting its signal ends the watch as aborted", async () => {
      const stop = new AbortController();
      const messages = h.etcd().watch.watch(h.name(), { signal: stop.signal });
      await messages.next();
      const next = messages.next();
      stop.abort();
      await expect(next).rejects.toMatchObject({ code: "aborted" });
    });
  });
}

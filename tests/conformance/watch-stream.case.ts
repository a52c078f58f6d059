import { describe, expect, it } from "vitest";
import { put } from "@tenure/etcd";
import { Watch, WatchCreateRequest_FilterType as Filter } from "@tenure/etcd/rpc";
import { type Harness, text } from "./harness.ts";
import { settled } from "../support/until.ts";
import { shown, type WatchStream, watching, watchStream } from "./watching.ts";

const bytes = (key: string): Uint8Array => Buffer.from(key);
const PART = new Uint8Array(450 * 1024);

/** Asks for progress until the answer is at this revision; the watch may need a moment to catch up. */
async function progressAt(stream: WatchStream, revision: bigint): Promise<void> {
  for (let seen = 0n; seen < revision;) {
    stream.progress();
    const answer = await stream.next();
    expect(answer.events).toEqual([]);
    seen = answer.header?.revision ?? 0n;
  }
}

/** Three large keys, written twice, each time in one transaction; returns the revision of the second. */
async function largeRevision(h: Harness, prefix: string): Promise<bigint> {
  const { kv } = h.etcd();
  const write = () =>
    kv
      .txn()
      .success(...["a", "b", "c"].map((key) => put(prefix + key, PART)))
      .commit();
  await write();
  return (await write()).header?.revision ?? 0n;
}

/** Several watches on one stream, and what the server says between events. */
export function watchStreamCases(h: Harness): void {
  describe("watch stream", () => {
    it("each watch has an id of its own, and events carry it", async () => {
      const [a, b] = [h.name(), h.name()];
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(a) });
      const first = await stream.next();
      stream.create({ key: bytes(b) });
      const second = await stream.next();
      expect([first, second]).toMatchObject([{ created: true }, { created: true }]);
      expect(first.watchId).not.toBe(second.watchId);
      await h.etcd().kv.put(b, "");
      expect(await stream.next()).toMatchObject({ watchId: second.watchId, events: [{}] });
      await h.etcd().kv.put(a, "");
      expect(await stream.next()).toMatchObject({ watchId: first.watchId, events: [{}] });
    });

    it("a watch id of the client's choice is taken", async () => {
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(h.name()), watchId: 77n });
      expect(await stream.next()).toMatchObject({ created: true, canceled: false, watchId: 77n });
    });

    it("a watch id that is in use is refused, and the watch that has it goes on", async () => {
      const key = h.name();
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(key), watchId: 77n });
      await stream.next();
      stream.create({ key: bytes(h.name()), watchId: 77n });
      expect(await stream.next()).toMatchObject({
        created: true,
        canceled: true,
        cancelReason: "mvcc: duplicate watch ID provided on the WatchStream",
      });
      await h.etcd().kv.put(key, "");
      expect(await stream.next()).toMatchObject({ watchId: 77n, events: [{}] });
    });

    it("a watch of an empty range is refused and the stream goes on", async () => {
      const key = h.name();
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(`${key}b`), rangeEnd: bytes(`${key}a`) });
      expect(await stream.next()).toMatchObject({
        created: true,
        canceled: true,
        cancelReason: "mvcc: watcher range is empty",
      });
      stream.create({ key: bytes(key) });
      expect(await stream.next()).toMatchObject({ created: true, canceled: false });
    });

    it("a start revision below 0 is refused as compacted", async () => {
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(h.name()), startRevision: -1n });
      expect(await stream.next()).toMatchObject({
        created: true,
        canceled: true,
        cancelReason: "etcdserver: mvcc: required revision has been compacted",
      });
    });

    it("a watch that is cancelled says so and sees nothing more, while others go on", async () => {
      const key = h.name();
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(key), watchId: 1n });
      stream.create({ key: bytes(key), watchId: 2n });
      await stream.next();
      await stream.next();
      stream.cancel(1n);
      expect(await stream.next()).toMatchObject({ canceled: true, watchId: 1n, compactRevision: 0n });
      for (const value of ["a", "b"]) {
        await h.etcd().kv.put(key, value);
        expect(await stream.next()).toMatchObject({ watchId: 2n, events: [{}] });
      }
    });

    it("cancelling a watch that is not there is not answered", async () => {
      const stream = watchStream(h.raw());
      stream.cancel(404n);
      stream.create({ key: bytes(h.name()) });
      expect(await stream.next()).toMatchObject({ created: true, canceled: false });
    });

    it("an id can be used again after its watch was cancelled", async () => {
      const key = h.name();
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(h.name()), watchId: 5n });
      await stream.next();
      stream.cancel(5n);
      await stream.next();
      stream.create({ key: bytes(key), watchId: 5n });
      expect(await stream.next()).toMatchObject({ created: true, canceled: false, watchId: 5n });
      await h.etcd().kv.put(key, "");
      expect(await stream.next()).toMatchObject({ watchId: 5n, events: [{}] });
    });

    it("a compacted watch is cancelled with the revision that is kept, and others go on", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const first = (await kv.put(key, "1")).header?.revision ?? 0n;
      const last = (await kv.put(key, "2")).header?.revision ?? 0n;
      await kv.compact(last);
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(key), watchId: 1n });
      await stream.next();
      stream.create({ key: bytes(key), watchId: 2n, startRevision: first });
      expect(await stream.next()).toMatchObject({ watchId: 2n, created: true });
      expect(await stream.next()).toMatchObject({ watchId: 2n, canceled: true, compactRevision: last });
      await kv.put(key, "3");
      expect(await stream.next()).toMatchObject({ watchId: 1n, events: [{}] });
    });

    it("both filters together leave nothing", async () => {
      const key = h.name();
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(key), watchId: 1n, filters: [Filter.NOPUT, Filter.NODELETE] });
      stream.create({ key: bytes(key), watchId: 2n });
      await stream.next();
      await stream.next();
      await h.etcd().kv.put(key, "");
      await h.etcd().kv.delete(key);
      expect([(await stream.next()).watchId, (await stream.next()).watchId]).toEqual([2n, 2n]);
    });

    it("a progress request is answered with the store's revision and no watch's id", async () => {
      const { kv } = h.etcd();
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(h.name()) });
      await stream.next();
      const { header } = await kv.put(h.name(), "elsewhere");
      await progressAt(stream, header?.revision ?? 0n);
      stream.progress();
      expect(await stream.next()).toMatchObject({ watchId: -1n, created: false, canceled: false, events: [] });
    });

    it("progress never runs ahead of events: those up to its revision have come before it", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const stream = watchStream(h.raw());
      stream.create({ key: bytes(key) });
      await stream.next();
      const writing = (async () => {
        for (let index = 0; index < 100; index++) await kv.put(key, String(index));
      })();
      let lastEvent = 0n;
      for (let events = 0; events < 100;) {
        stream.progress();
        const answer = await stream.next();
        for (const { kv: changed } of answer.events) {
          expect(changed?.modRevision).toBeGreaterThan(lastEvent);
          lastEvent = changed?.modRevision ?? 0n;
        }
        events += answer.events.length;
        if (answer.events.length === 0) lastEvent = answer.header?.revision ?? 0n;
      }
      await writing;
    });

    it("large events are cut into fragments when that is asked for, and the last one says so", async () => {
      const prefix = `${h.name()}/`;
      const second = await largeRevision(h, prefix);
      const stream = watchStream(h.raw());
      const range = { key: bytes(prefix), rangeEnd: bytes(prefix.replace("/", "0")) };
      stream.create({ ...range, startRevision: second, prevKv: true, fragment: true });
      await stream.next();
      const pieces = [];
      do pieces.push(await stream.next());
      while (pieces.at(-1)?.fragment === true);
      expect(pieces.length).toBeGreaterThan(1);
      expect(pieces.flatMap(({ events }) => events.map(({ kv }) => text(kv?.key).at(-1)))).toEqual(["a", "b", "c"]);
      await h.etcd().kv.delete({ prefix });
    });

    it("large events come in one piece when fragments are not asked for", async () => {
      const prefix = `${h.name()}/`;
      const second = await largeRevision(h, prefix);
      const stream = watchStream(h.raw());
      const range = { key: bytes(prefix), rangeEnd: bytes(prefix.replace("/", "0")) };
      stream.create({ ...range, startRevision: second, prevKv: true });
      await stream.next();
      const answer = await stream.next();
      expect(answer.fragment).toBe(false);
      expect(answer.events).toHaveLength(3);
      await h.etcd().kv.delete({ prefix });
    });

    it("the client joins fragments: one message for each revision", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      await using watch = await watching(etcd, { prefix }, { prevKv: true });
      const second = await largeRevision(h, prefix);
      const first = await watch.next();
      expect(first.t === "events" && first.events).toHaveLength(3);
      const message = await watch.next();
      if (message.t !== "events") throw new Error(`a message of kind ${message.t}`);
      expect(message.events.map(({ kv }) => kv?.modRevision)).toEqual([second, second, second]);
      expect(message.events.every(({ prevKv }) => prevKv?.value.byteLength === PART.byteLength)).toBe(true);
      await etcd.kv.delete({ prefix });
    });

    it("a history of 5 MiB reaches a watch of the past whole and in order", async () => {
      const etcd = h.etcd();
      const key = `${h.name()}/k`;
      const first = (await etcd.kv.put(key, "")).header?.revision ?? 0n;
      for (let index = 0; index < 5; index++) await etcd.kv.put(key, new Uint8Array(1024 * 1024).fill(48 + index));
      await using watch = await watching(etcd, key, { startRevision: first });
      const events = await watch.events(6);
      expect(events.map((event) => shown(event).slice(0, 7))).toEqual([
        "put k=",
        ...["0", "1", "2", "3", "4"].map((digit) => `put k=${digit}`),
      ]);
      await etcd.kv.delete(key);
    });

    it("closing our side of the stream leaves its watches as they are", async () => {
      const key = h.name();
      const call = h.raw().open(Watch.method.watch);
      call.send({ requestUnion: { case: "createRequest", value: { key: bytes(key) } } });
      await settled(call.received(1), { what: "the watch" });
      call.stream.end();
      await h.etcd().kv.put(key, "");
      expect(await settled(call.received(2), { what: "the event" })).toMatchObject([
        { created: true },
        { events: [{}] },
      ]);
    });
  });
}

import { describe, expect, it } from "vitest";
import type { KvClient, RangeOptions } from "@tenure/etcd";
import { KV, type RangeResponse } from "@tenure/etcd/rpc";
import { type Harness, text } from "./harness.ts";

/** What each order of the fixture's four keys is; no two are the same. */
const ascending = {
  key: ["a", "b", "c", "d"],
  create: ["c", "a", "d", "b"],
  version: ["a", "c", "d", "b"],
  mod: ["a", "d", "b", "c"],
  value: ["b", "d", "a", "c"],
} as const;

interface Fixture {
  readonly kv: KvClient;
  readonly prefix: string;
  /** The revision of each put, by key and version, like `b3`. */
  readonly revisions: Readonly<Record<string, bigint>>;
  /** The last letters of the keys that a range of the prefix gives. */
  readonly letters: (options?: RangeOptions) => Promise<string[]>;
}

async function fixture(h: Harness): Promise<Fixture> {
  const { kv } = h.etcd();
  const prefix = `${h.name()}/`;
  const finalValue: Readonly<Record<string, string>> = { a1: "3", b4: "1", c2: "4", d3: "2" };
  const revisions: Record<string, bigint> = {};
  for (const put of ["c1", "a1", "d1", "b1", "d2", "d3", "b2", "b3", "b4", "c2"]) {
    const { header } = await kv.put(`${prefix}${put[0]}`, finalValue[put] ?? "9");
    revisions[put] = header?.revision ?? 0n;
  }
  const letters = async (options: RangeOptions = {}): Promise<string[]> =>
    lettersOf(await kv.range({ prefix }, options));
  return { kv, prefix, revisions, letters };
}

function lettersOf({ kvs }: RangeResponse): string[] {
  return kvs.map(({ key }) => text(key).slice(-1));
}

/** Reads of keys. */
export function kvRangeCases(h: Harness): void {
  describe("kv range", () => {
    for (const sortBy of ["key", "create", "version", "mod", "value"] as const) {
      it(`sorted by ${sortBy}, ascending, gives the keys in that order`, async () => {
        const { letters } = await fixture(h);
        expect(await letters({ sortBy, order: "ascend" })).toEqual(ascending[sortBy]);
      });

      it(`sorted by ${sortBy}, descending, gives the keys in the reverse order`, async () => {
        const { letters } = await fixture(h);
        expect(await letters({ sortBy, order: "descend" })).toEqual(ascending[sortBy].toReversed());
      });
    }

    it("without a sort order the keys come in byte order", async () => {
      const { letters } = await fixture(h);
      expect(await letters()).toEqual(["a", "b", "c", "d"]);
    });

    it("byte order is not the order of UTF-16: an emoji comes after U+FFFD", async () => {
      const { kv } = h.etcd();
      const prefix = `${h.name()}/`;
      const names = ["Z", "a", "é", "\u{fffd}", "\u{1f600}"];
      for (const name of names.toReversed()) await kv.put(`${prefix}${name}`, name);
      const { kvs } = await kv.range({ prefix });
      expect(kvs.map(({ value }) => text(value))).toEqual(names);
    });

    it("keys of any bytes are kept and sorted as they are", async () => {
      const { kv } = h.etcd();
      const prefix = Buffer.from(`${h.name()}/`);
      const tails = [[], [0], [0, 0], [0, 1], [0x7f], [0x80], [0xc3, 0x28], [0xff], [0xff, 0xff]];
      for (const tail of tails.toReversed()) await kv.put(Buffer.concat([prefix, Uint8Array.from(tail)]), "x");
      const { kvs } = await kv.range({ prefix });
      expect(kvs.map(({ key }) => [...key.subarray(prefix.byteLength)])).toEqual(tails);
    });

    it("a limit with a sort gives the first of the sorted keys", async () => {
      const { letters } = await fixture(h);
      expect(await letters({ sortBy: "create", limit: 1 })).toEqual(["c"]);
      expect(await letters({ sortBy: "create", order: "descend", limit: 2 })).toEqual(["b", "d"]);
    });

    it("a limit cuts the keys, says that there are more, and counts all of them", async () => {
      const { kv, prefix } = await fixture(h);
      const answer = await kv.range({ prefix }, { limit: 3 });
      expect(lettersOf(answer)).toEqual(["a", "b", "c"]);
      expect(answer).toMatchObject({ more: true, count: 4n });
    });

    it("a limit that all keys fit into says that there are no more", async () => {
      const { kv, prefix } = await fixture(h);
      expect(await kv.range({ prefix }, { limit: 4 })).toMatchObject({ more: false, count: 4n });
      expect(await kv.range({ prefix }, { limit: 5 })).toMatchObject({ more: false, count: 4n });
    });

    it("a limit of 0 is no limit", async () => {
      const { letters } = await fixture(h);
      expect(await letters({ limit: 0 })).toHaveLength(4);
    });

    it("min_mod_revision leaves out keys changed before it", async () => {
      const { letters, revisions } = await fixture(h);
      expect(await letters({ minModRevision: revisions["b4"] ?? 0n })).toEqual(["b", "c"]);
    });

    it("max_mod_revision leaves out keys changed after it", async () => {
      const { letters, revisions } = await fixture(h);
      expect(await letters({ maxModRevision: revisions["d3"] ?? 0n })).toEqual(["a", "d"]);
    });

    it("min_create_revision leaves out keys created before it", async () => {
      const { letters, revisions } = await fixture(h);
      expect(await letters({ minCreateRevision: revisions["d1"] ?? 0n })).toEqual(["b", "d"]);
    });

    it("max_create_revision leaves out keys created after it", async () => {
      const { letters, revisions } = await fixture(h);
      expect(await letters({ maxCreateRevision: revisions["a1"] ?? 0n })).toEqual(["a", "c"]);
    });

    it("filters add up", async () => {
      const { letters, revisions } = await fixture(h);
      const options = { minCreateRevision: revisions["a1"] ?? 0n, maxCreateRevision: revisions["d1"] ?? 0n };
      expect(await letters(options)).toEqual(["a", "d"]);
      expect(await letters({ ...options, minModRevision: revisions["d2"] ?? 0n })).toEqual(["d"]);
    });

    it("a limit counts what a filter leaves, and count what the range holds", async () => {
      const { kv, prefix, revisions } = await fixture(h);
      const filter = { minModRevision: revisions["d3"] ?? 0n };
      const cut = await kv.range({ prefix }, { ...filter, limit: 2 });
      expect(lettersOf(cut)).toEqual(["b", "c"]);
      expect(cut).toMatchObject({ more: true, count: 4n });
      expect(await kv.range({ prefix }, { ...filter, limit: 3 })).toMatchObject({ more: false, count: 4n });
    });

    it("the last key created at or below a revision is found by max_create_revision, descending, limit 1", async () => {
      const { letters, revisions } = await fixture(h);
      const predecessor = { sortBy: "create", order: "descend", limit: 1 } as const;
      expect(await letters({ ...predecessor, maxCreateRevision: (revisions["b1"] ?? 0n) - 1n })).toEqual(["d"]);
      expect(await letters({ ...predecessor, maxCreateRevision: (revisions["c1"] ?? 0n) - 1n })).toEqual([]);
    });

    it("keys_only gives all of a key but its value", async () => {
      const { kv, prefix, revisions } = await fixture(h);
      const { kvs } = await kv.range({ prefix }, { keysOnly: true });
      expect(kvs.map(({ value }) => value.byteLength)).toEqual([0, 0, 0, 0]);
      expect(kvs[1]).toMatchObject({ version: 4n, createRevision: revisions["b1"], modRevision: revisions["b4"] });
    });

    it("keys_only sorts by the values that it leaves out", async () => {
      const { letters } = await fixture(h);
      expect(await letters({ keysOnly: true, sortBy: "value" })).toEqual(ascending.value);
    });

    it("count_only gives the number of keys and none of them", async () => {
      const { kv, prefix } = await fixture(h);
      expect(await kv.range({ prefix }, { countOnly: true })).toMatchObject({ count: 4n, kvs: [], more: false });
    });

    it("count_only counts past a limit", async () => {
      const { kv, prefix } = await fixture(h);
      expect((await kv.range({ prefix }, { countOnly: true, limit: 1 })).count).toBe(4n);
    });

    it("count_only at a revision counts the keys of that time", async () => {
      const { kv, prefix, revisions } = await fixture(h);
      expect((await kv.range({ prefix }, { countOnly: true, revision: revisions["a1"] ?? 0n })).count).toBe(2n);
    });

    it("a read at a revision gives the keys as they were, under the header of now", async () => {
      const { kv, prefix, revisions } = await fixture(h);
      const answer = await kv.range({ prefix }, { revision: revisions["d2"] ?? 0n });
      expect(answer.kvs.map(({ key, version }) => `${text(key).slice(-1)}${version}`)).toEqual([
        "a1",
        "b1",
        "c1",
        "d2",
      ]);
      expect(answer.header?.revision).toBe(revisions["c2"]);
    });

    it("a deleted key is still there at a revision before its deletion", async () => {
      const { kv, prefix, revisions } = await fixture(h);
      await kv.delete(`${prefix}a`);
      expect(text((await kv.get(`${prefix}a`, { revision: revisions["c2"] ?? 0n }))?.value)).toBe("3");
      expect(await kv.get(`${prefix}a`)).toBeUndefined();
    });

    it("a read at a revision still to come is refused as a future revision", async () => {
      const { kv, prefix, revisions } = await fixture(h);
      const revision = (revisions["c2"] ?? 0n) + 1n;
      const answer = await h.raw().unary(KV.method.range, { key: Buffer.from(prefix), revision });
      expect(answer).toMatchObject({
        status: "11",
        message: "etcdserver: mvcc: required revision is a future revision",
      });
      await expect(kv.range({ prefix }, { revision })).rejects.toMatchObject({ code: "invalid-argument" });
    });

    it("a read below the compacted revision is refused as compacted, one at it is served", async () => {
      const { kv, prefix, revisions } = await fixture(h);
      const compacted = revisions["b2"] ?? 0n;
      await kv.compact(compacted);
      const answer = await h.raw().unary(KV.method.range, { key: Buffer.from(prefix), revision: compacted - 1n });
      expect(answer).toMatchObject({
        status: "11",
        message: "etcdserver: mvcc: required revision has been compacted",
      });
      await expect(kv.get(prefix, { revision: compacted - 1n })).rejects.toMatchObject({ code: "compacted" });
      expect(await kv.get(`${prefix}b`, { revision: compacted })).toMatchObject({ version: 2n });
    });

    it("a key that is not there is no error", async () => {
      expect(await h.etcd().kv.range(h.name())).toMatchObject({ kvs: [], count: 0n, more: false });
    });

    it("one key is that key alone, not those that start with it", async () => {
      const { kv, prefix } = await fixture(h);
      await kv.put(`${prefix}a/x`, "");
      expect((await kv.range(`${prefix}a`)).kvs.map(({ key }) => text(key))).toEqual([`${prefix}a`]);
    });

    it("a prefix takes the key of its own name and those that start with it", async () => {
      const { kv, prefix } = await fixture(h);
      await kv.put(`${prefix}bb`, "");
      const { kvs } = await kv.range({ prefix: `${prefix}b` });
      expect(kvs.map(({ key }) => text(key))).toEqual([`${prefix}b`, `${prefix}bb`]);
    });

    it("a prefix of bytes 0xff reaches to the last key", async () => {
      const { kv } = h.etcd();
      for (const key of [
        [0xff, 0xfe],
        [0xff, 0xff],
        [0xff, 0xff, 1],
      ])
        await kv.put(Uint8Array.from(key), "x");
      const prefix = Uint8Array.of(0xff, 0xff);
      const { kvs } = await kv.range({ prefix });
      expect(kvs.map(({ key }) => [...key])).toEqual([
        [0xff, 0xff],
        [0xff, 0xff, 1],
      ]);
      await kv.delete({ from: Uint8Array.of(0xff) });
    });

    it("a range has its start and not its end", async () => {
      const { kv, prefix } = await fixture(h);
      expect(lettersOf(await kv.range({ from: `${prefix}b`, to: `${prefix}d` }))).toEqual(["b", "c"]);
    });

    it("a range whose end is not above its start is empty", async () => {
      const { kv, prefix } = await fixture(h);
      expect((await kv.range({ from: `${prefix}c`, to: `${prefix}c` })).count).toBe(0n);
      expect((await kv.range({ from: `${prefix}d`, to: `${prefix}a` })).count).toBe(0n);
    });

    it("a range without an end goes on to the last key", async () => {
      const { kv } = h.etcd();
      const keys = [Uint8Array.of(0xff), Uint8Array.of(0xff, 1), Uint8Array.of(0xff, 0xff)];
      for (const key of keys) await kv.put(key, "x");
      const { kvs } = await kv.range({ from: Uint8Array.of(0xff, 0) });
      expect(kvs.map(({ key }) => [...key])).toEqual([
        [0xff, 1],
        [0xff, 0xff],
      ]);
      await kv.delete({ from: Uint8Array.of(0xff) });
    });

    it("the empty prefix is every key there is", async () => {
      const { kv, prefix } = await fixture(h);
      await kv.put(Uint8Array.of(0), "the first key of all");
      const { kvs, count } = await kv.range({ prefix: "" });
      expect([...(kvs[0]?.key ?? [])]).toEqual([0]);
      expect(kvs.map(({ key }) => text(key))).toEqual(expect.arrayContaining([`${prefix}a`, `${prefix}d`]));
      expect(count).toBe(BigInt(kvs.length));
      await kv.delete(Uint8Array.of(0));
    });

    it("a serializable read gives the same once its member has caught up", async () => {
      const { kv, prefix } = await fixture(h);
      const linearizable = await kv.range({ prefix });
      const serializable = await kv.range({ prefix }, { serializable: true });
      expect(serializable.kvs).toEqual(linearizable.kvs);
      expect(serializable.header?.revision).toBe(linearizable.header?.revision);
    });
  });
}

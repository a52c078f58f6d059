import { describe, expect, it } from "vitest";
import { compare, type Comparison, type EtcdClient, type KeyRange, type Relation } from "@tenure/etcd";
import { Compare_CompareResult as Result, KV } from "@tenure/etcd/rpc";
import type { Harness } from "./harness.ts";

/** Which of "below", "equal to" and "above what the key has" satisfy a relation of the key to that number. */
const holdsFor: Readonly<Record<Relation, readonly [below: boolean, equal: boolean, above: boolean]>> = {
  "=": [false, true, false],
  "!=": [true, false, true],
  ">": [true, false, false],
  "<": [false, false, true],
};
const relations = Object.keys(holdsFor) as Relation[];

async function holds(etcd: EtcdClient, ...comparisons: Comparison[]): Promise<boolean> {
  return (
    await etcd.kv
      .txn()
      .if(...comparisons)
      .commit()
  ).succeeded;
}

/** What the conditions of transactions see. */
export function txnCompareCases(h: Harness): void {
  describe("txn compare", () => {
    const numbers = {
      "create revision": compare.createRevision,
      "mod revision": compare.modRevision,
      version: compare.version,
      lease: compare.lease,
    } as const;

    for (const [target, of] of Object.entries(numbers) as [keyof typeof numbers, typeof compare.version][]) {
      for (const relation of relations) {
        it(`${target} ${relation} a number holds for the right numbers only`, async () => {
          const etcd = h.etcd();
          const key = h.name();
          const { ID } = await etcd.lease.grant(60n);
          await etcd.kv.put(key, "a", { leaseId: ID });
          await etcd.kv.put(key, "b", { leaseId: ID });
          const found = await etcd.kv.get(key);
          const actual = {
            "create revision": found?.createRevision ?? 0n,
            "mod revision": found?.modRevision ?? 0n,
            version: found?.version ?? 0n,
            lease: found?.lease ?? 0n,
          }[target];
          const outcomes = [actual - 1n, actual, actual + 1n].map((number) => holds(etcd, of(key, relation, number)));
          expect(await Promise.all(outcomes)).toEqual(holdsFor[relation]);
          await etcd.lease.revoke(ID);
        });
      }

      it(`${target} of a missing key is 0`, async () => {
        const etcd = h.etcd();
        const key = h.name();
        expect(await holds(etcd, of(key, "=", 0n))).toBe(true);
        expect(await holds(etcd, of(key, "<", 1n))).toBe(true);
        expect(await holds(etcd, of(key, "!=", 0n))).toBe(false);
        expect(await holds(etcd, of(key, ">", 0n))).toBe(false);
      });
    }

    for (const relation of relations) {
      it(`value ${relation} bytes holds for the right bytes only`, async () => {
        const etcd = h.etcd();
        const key = h.name();
        await etcd.kv.put(key, Uint8Array.of(0x80, 5));
        const texts = [Uint8Array.of(0x80, 4), Uint8Array.of(0x80, 5), Uint8Array.of(0x80, 5, 0)];
        const outcomes = texts.map((value) => holds(etcd, compare.value(key, relation, value)));
        expect(await Promise.all(outcomes)).toEqual(holdsFor[relation]);
      });

      it(`value ${relation} bytes never holds for a missing key`, async () => {
        const etcd = h.etcd();
        for (const value of ["", "x"]) expect(await holds(etcd, compare.value(h.name(), relation, value))).toBe(false);
      });
    }

    it("a compare over a range holds when it holds for every key in it", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      for (const key of ["a", "b", "c"]) await etcd.kv.put(`${prefix}${key}`, key);
      const all: KeyRange = { prefix };
      expect(await holds(etcd, compare.version(all, "=", 1n))).toBe(true);
      await etcd.kv.put(`${prefix}b`, "again");
      expect(await holds(etcd, compare.version(all, "=", 1n))).toBe(false);
      expect(await holds(etcd, compare.version(all, ">", 0n))).toBe(true);
    });

    it("a compare over a range looks at the keys before its end only", async () => {
      const etcd = h.etcd();
      const prefix = `${h.name()}/`;
      for (const key of ["a", "b", "c"]) await etcd.kv.put(`${prefix}${key}`, "x");
      await etcd.kv.put(`${prefix}c`, "other");
      expect(await holds(etcd, compare.value({ from: `${prefix}a`, to: `${prefix}c` }, "=", "x"))).toBe(true);
      expect(await holds(etcd, compare.value({ from: `${prefix}a`, to: `${prefix}d` }, "=", "x"))).toBe(false);
    });

    it("a compare over a range without keys sees a missing key", async () => {
      const etcd = h.etcd();
      const nothing: KeyRange = { prefix: `${h.name()}/` };
      expect(await holds(etcd, compare.createRevision(nothing, "=", 0n))).toBe(true);
      expect(await holds(etcd, compare.createRevision(nothing, ">", 0n))).toBe(false);
      expect(await holds(etcd, compare.value(nothing, "!=", "x"))).toBe(false);
    });

    it("all compares must hold", async () => {
      const etcd = h.etcd();
      const key = h.name();
      await etcd.kv.put(key, "a");
      expect(await holds(etcd, compare.version(key, "=", 1n), compare.value(key, "=", "a"))).toBe(true);
      expect(await holds(etcd, compare.version(key, "=", 1n), compare.value(key, "=", "b"))).toBe(false);
      expect(await holds(etcd, compare.version(key, "=", 2n), compare.value(key, "=", "a"))).toBe(false);
    });

    it("no compare at all holds", async () => {
      expect(await holds(h.etcd())).toBe(true);
    });

    it("a compare without a number compares with 0", async () => {
      const key = Buffer.from(h.name());
      const raw = h.raw();
      const answer = await raw.unary(KV.method.txn, { compare: [{ key, result: Result.EQUAL }] });
      expect(answer.messages).toMatchObject([{ succeeded: true }]);
    });

    it("a compare without a key is refused: key is not provided", async () => {
      const answer = await h.raw().unary(KV.method.txn, { compare: [{ result: Result.EQUAL }] });
      expect(answer).toMatchObject({ status: "3", message: "etcdserver: key is not provided" });
    });

    it("128 compares are taken, 129 are refused", async () => {
      const etcd = h.etcd();
      const many = (count: number): Comparison[] =>
        Array.from({ length: count }, () => compare.version("no such key", "=", 0n));
      expect(await holds(etcd, ...many(128))).toBe(true);
      await expect(holds(etcd, ...many(129))).rejects.toMatchObject({
        code: "invalid-argument",
        message: expect.stringContaining("too many operations in txn request") as string,
      });
    });
  });
}

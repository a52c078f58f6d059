import { describe, expect, it } from "vitest";
import { compare, nested, type Op, put, range, remove } from "@tenure/etcd";
import { KV, type TxnResponse } from "@tenure/etcd/rpc";
import { type Harness, text } from "./harness.ts";

const never = [compare.version("no such key", ">", 0n)];

/** What each operation of a transaction read, as text; the responses of nested transactions are lists of their own. */
type Read = string[] | number | "put" | Read[];

function reads({ responses }: TxnResponse): Read[] {
  return responses.map(({ response }): Read => {
    switch (response.case) {
      case "responseRange":
        return response.value.kvs.map(({ value }) => text(value));
      case "responseDeleteRange":
        return Number(response.value.deleted);
      case "responseTxn":
        return reads(response.value);
      case "responsePut":
        return "put";
      case undefined:
        throw new Error("a response without a kind");
    }
  });
}

/** Several operations as one. */
export function txnCases(h: Harness): void {
  describe("txn", () => {
    it("runs the success operations when its compares hold, and only those", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const answer = await kv
        .txn()
        .if(compare.version(key, "=", 0n))
        .success(put(key, "yes"))
        .failure(put(key, "no"))
        .commit();
      expect(answer.succeeded).toBe(true);
      expect(answer.responses).toHaveLength(1);
      expect(text((await kv.get(key))?.value)).toBe("yes");
    });

    it("runs the failure operations when a compare does not hold, and only those", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const answer = await kv
        .txn()
        .if(...never)
        .success(put(key, "yes"))
        .failure(put(key, "no"))
        .commit();
      expect(answer.succeeded).toBe(false);
      expect(answer.responses).toHaveLength(1);
      expect(text((await kv.get(key))?.value)).toBe("no");
    });

    it("a branch without operations does nothing and makes no revision", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const before = (await kv.put(key, "a")).header?.revision;
      const answer = await kv
        .txn()
        .if(...never)
        .success(put(key, "b"))
        .commit();
      expect(answer).toMatchObject({ succeeded: false, responses: [], header: { revision: before } });
    });

    it("all writes of a transaction have one revision, that of its header", async () => {
      const { kv } = h.etcd();
      const prefix = `${h.name()}/`;
      const before = (await kv.put(`${prefix}gone`, "")).header?.revision ?? 0n;
      const writes = [put(`${prefix}a`, ""), remove(`${prefix}gone`), put(`${prefix}b`, "")];
      const { header } = await kv
        .txn()
        .success(...writes)
        .commit();
      expect(header?.revision).toBe(before + 1n);
      const { kvs } = await kv.range({ prefix });
      expect(kvs.map(({ modRevision }) => modRevision)).toEqual([before + 1n, before + 1n]);
    });

    it("a transaction that only reads makes no revision", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const before = (await kv.put(key, "a")).header?.revision;
      expect((await kv.txn().success(range(key)).commit()).header?.revision).toBe(before);
    });

    it("a transaction that deletes nothing makes no revision", async () => {
      const { kv } = h.etcd();
      const before = (await kv.put(h.name(), "a")).header?.revision;
      const answer = await kv.txn().success(remove(h.name())).commit();
      expect(reads(answer)).toEqual([0]);
      expect(answer.header?.revision).toBe(before);
    });

    it("a read sees the writes before it in the transaction, and not those after", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "old");
      const answer = await kv.txn().success(range(key), put(key, "new"), range(key)).commit();
      expect(reads(answer)).toEqual([["old"], "put", ["new"]]);
    });

    it("a read after a deletion in the transaction finds nothing", async () => {
      const { kv } = h.etcd();
      const prefix = `${h.name()}/`;
      for (const key of ["a", "b"]) await kv.put(prefix + key, key);
      const answer = await kv
        .txn()
        .success(remove(`${prefix}a`), range({ prefix }), remove({ prefix }))
        .commit();
      expect(reads(answer)).toEqual([1, ["b"], 1]);
    });

    it("a key put in a transaction shows the transaction's revision to a read in it", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const { header, responses } = await kv.txn().success(put(key, "a"), range(key)).commit();
      const read = responses[1]?.response;
      expect(read?.case).toBe("responseRange");
      expect(read?.value).toMatchObject({ kvs: [{ createRevision: header?.revision, modRevision: header?.revision }] });
    });

    it("a read of the past in a transaction is of the past", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const revision = (await kv.put(key, "old")).header?.revision ?? 0n;
      const answer = await kv.txn().success(put(key, "new"), range(key, { revision })).commit();
      expect(reads(answer)).toEqual(["put", ["old"]]);
    });

    it("prev_kv works for the puts and deletions of a transaction", async () => {
      const { kv } = h.etcd();
      const prefix = `${h.name()}/`;
      for (const key of ["a", "b"]) await kv.put(prefix + key, `old ${key}`);
      const { responses } = await kv
        .txn()
        .success(put(`${prefix}a`, "new", { prevKv: true }), remove(`${prefix}b`, { prevKv: true }))
        .commit();
      const [first, second] = responses.map(({ response }) => response);
      expect(first?.case === "responsePut" && text(first.value.prevKv?.value)).toBe("old a");
      expect(second?.case === "responseDeleteRange" && text(second.value.prevKvs[0]?.value)).toBe("old b");
    });

    const duplicates: readonly (readonly [string, (key: string) => Op[]])[] = [
      ["two puts of a key", (key) => [put(key, "a"), put(key, "b")]],
      ["a put and a deletion of a key", (key) => [put(key, "a"), remove(key)]],
      ["a deletion of a range and a put into it", (key) => [remove({ prefix: key }), put(`${key}/x`, "a")]],
      ["a put and a put of the key in a nested transaction", (key) => [put(key, "a"), nested([], [put(key, "b")])]],
      ["puts of a key in two nested transactions", (key) => [nested([], [put(key, "a")]), nested([], [put(key, "b")])]],
    ];
    for (const [what, ops] of duplicates) {
      it(`${what} in one transaction are refused, and nothing is written`, async () => {
        const etcd = h.etcd();
        const key = h.name();
        await etcd.kv.put(key, "old");
        const success = ops(key);
        const answer = await h.raw().unary(KV.method.txn, { success });
        expect(answer).toMatchObject({ status: "3", message: "etcdserver: duplicate key given in txn request" });
        expect((await etcd.kv.range({ prefix: key })).kvs.map(({ value }) => text(value))).toEqual(["old"]);
      });
    }

    it("the two branches may put the same key, those of a nested transaction too", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv
        .txn()
        .if(...never)
        .success(put(key, "1"))
        .failure(put(key, "2"))
        .commit();
      expect(text((await kv.get(key))?.value)).toBe("2");
      await kv
        .txn()
        .success(nested(never, [put(key, "3")], [put(key, "4")]))
        .commit();
      expect(text((await kv.get(key))?.value)).toBe("4");
    });

    it("two deletions of a key are taken: the second finds nothing", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      await kv.put(key, "a");
      expect(reads(await kv.txn().success(remove(key), remove(key)).commit())).toEqual([1, 0]);
    });

    it("a nested transaction takes the branch of its own compares", async () => {
      const { kv } = h.etcd();
      const [a, b] = [h.name(), h.name()];
      await kv.put(a, "there");
      const answer = await kv
        .txn()
        .success(
          nested([compare.version(a, "=", 1n)], [put(b, "1")], [put(b, "2")]),
          nested([compare.version(b, "=", 1n)], [range(a)], [range(a), range(a)]),
        )
        .commit();
      expect(reads(answer)).toEqual([["put"], [["there"], ["there"]]]);
      expect(answer.responses.map(({ response }) => response.value)).toMatchObject([
        { succeeded: true },
        { succeeded: false },
      ]);
    });

    it("nested compares see the state before the whole transaction", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const answer = await kv
        .txn()
        .success(put(key, "a"), nested([compare.version(key, "=", 0n)], [range(key)]))
        .commit();
      expect(reads(answer)).toEqual(["put", [["a"]]]);
    });

    it("transactions nested three deep still make one revision", async () => {
      const { kv } = h.etcd();
      const prefix = `${h.name()}/`;
      const inner = nested([], [put(`${prefix}c`, "")]);
      const middle = nested(never, [], [put(`${prefix}b`, ""), inner]);
      const { header } = await kv
        .txn()
        .success(put(`${prefix}a`, ""), middle)
        .commit();
      const { kvs } = await kv.range({ prefix });
      expect(kvs.map(({ modRevision }) => modRevision)).toEqual(Array(3).fill(header?.revision));
    });

    it("128 operations are taken, 129 are refused as too many", async () => {
      const { kv } = h.etcd();
      const prefix = `${h.name()}/`;
      const puts = (count: number): Op[] => Array.from({ length: count }, (_, index) => put(`${prefix}${index}`, ""));
      expect(
        (
          await kv
            .txn()
            .success(...puts(128))
            .commit()
        ).responses,
      ).toHaveLength(128);
      const answer = await h.raw().unary(KV.method.txn, { success: puts(129) });
      expect(answer).toMatchObject({ status: "3", message: "etcdserver: too many operations in txn request" });
      await expect(
        kv
          .txn()
          .failure(...puts(129))
          .commit(),
      ).rejects.toMatchObject({ code: "invalid-argument" });
      expect((await kv.range({ prefix })).count).toBe(128n);
    });

    it("a nested transaction may have as many operations as the one around it leaves of 128", async () => {
      const { kv } = h.etcd();
      const reading = (count: number): Op[] => Array.from({ length: count }, () => range("no such key"));
      const ops = (inner: number): Op[] => [...reading(99), nested([], reading(inner))];
      expect(
        (
          await kv
            .txn()
            .success(...ops(28))
            .commit()
        ).succeeded,
      ).toBe(true);
      await expect(
        kv
          .txn()
          .success(...ops(29))
          .commit(),
      ).rejects.toMatchObject({
        message: expect.stringContaining("too many operations in txn request") as string,
      });
    });

    it("an operation without a key is refused: key is not provided", async () => {
      for (const op of [
        { case: "requestPut", value: {} },
        { case: "requestRange", value: {} },
      ] as const) {
        const answer = await h.raw().unary(KV.method.txn, { success: [{ request: op }] });
        expect(answer).toMatchObject({ status: "3", message: "etcdserver: key is not provided" });
      }
    });

    it("an operation that is none is refused: key not found", async () => {
      const answer = await h.raw().unary(KV.method.txn, { success: [{}] });
      expect(answer).toMatchObject({ status: "3", message: "etcdserver: key not found" });
    });

    const refused: readonly (readonly [string, Op, string, string])[] = [
      [
        "a put on a lease that is not there",
        put("never-written", "a", { leaseId: 404n }),
        "5",
        "etcdserver: requested lease not found",
      ],
      [
        "ignore_value for a key that is not there",
        put("never-written", "", { ignoreValue: true }),
        "3",
        "etcdserver: key not found",
      ],
      [
        "ignore_lease for a key that is not there",
        put("never-written", "a", { ignoreLease: true }),
        "3",
        "etcdserver: key not found",
      ],
      [
        "a read of a revision still to come",
        range("never-written", { revision: 2n ** 60n }),
        "11",
        "etcdserver: mvcc: required revision is a future revision",
      ],
    ];
    for (const [what, op, status, message] of refused) {
      it(`${what} refuses the transaction, and nothing of it is written`, async () => {
        const { kv } = h.etcd();
        const key = h.name();
        const before = (await kv.put(h.name(), "")).header?.revision;
        expect(await h.raw().unary(KV.method.txn, { success: [put(key, "a"), op] })).toMatchObject({ status, message });
        expect(await kv.range(key)).toMatchObject({ count: 0n, header: { revision: before } });
      });

      it(`${what} in the branch not taken does no harm`, async () => {
        const { kv } = h.etcd();
        const answer = await kv.txn().success(put(h.name(), "a")).failure(op).commit();
        expect(answer.succeeded).toBe(true);
      });
    }

    it("a read below the compacted revision refuses the transaction, and nothing of it is written", async () => {
      const { kv } = h.etcd();
      const key = h.name();
      const revision = (await kv.put(h.name(), "")).header?.revision ?? 0n;
      await kv.put(h.name(), "");
      await kv.compact(revision + 1n);
      await expect(kv.txn().success(put(key, "a"), range(key, { revision })).commit()).rejects.toMatchObject({
        code: "compacted",
      });
      expect(await kv.get(key)).toBeUndefined();
    });

    it("a transaction above the request limit is refused and changes nothing", async () => {
      const { kv } = h.etcd();
      const prefix = `${h.name()}/`;
      const half = new Uint8Array(0.8 * 1024 * 1024);
      const answer = await h
        .raw()
        .unary(KV.method.txn, { success: [put(`${prefix}a`, half), put(`${prefix}b`, half)] });
      expect(answer).toMatchObject({ status: "3", message: "etcdserver: request is too large" });
      expect((await kv.range({ prefix })).count).toBe(0n);
    });

    it("compare and swap loses no update of 20 clients that write at once", async () => {
      const key = h.name();
      await h.etcd().kv.put(key, "0");
      const increment = async (): Promise<void> => {
        const { kv } = h.etcd();
        for (let done = false; !done;) {
          const found = await kv.get(key);
          const next = String(Number(text(found?.value)) + 1);
          const guard = compare.modRevision(key, "=", found?.modRevision ?? 0n);
          done = (await kv.txn().if(guard).success(put(key, next)).commit()).succeeded;
        }
      };
      await Promise.all(Array.from({ length: 20 }, increment));
      const { kv } = h.etcd();
      expect(text((await kv.get(key))?.value)).toBe("20");
      expect((await kv.get(key))?.version).toBe(21n);
    });
  });
}

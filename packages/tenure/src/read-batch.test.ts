import { EtcdClient, EtcdError } from "@tenure/etcd";
import { ManualClock } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";
import { ReadBatch } from "./read-batch.ts";
import { turn } from "./testing/turn.ts";

/** One request, as the store has it. */
interface Asked {
  /** The prefixes it reads. */
  readonly prefixes: readonly string[];
  readonly signal: AbortSignal | undefined;
  /** Answers with the prefix as the only key of each. */
  readonly answer: (revision: bigint) => Promise<void>;
  readonly fail: (error: EtcdError) => Promise<void>;
}

interface Range {
  readonly key: Uint8Array;
}

function setUp() {
  const clock = new ManualClock();
  const asked: Asked[] = [];
  const unary = (method: { readonly name: string }, signal: AbortSignal | undefined, ...rest: readonly unknown[]) => {
    const together = method.name === "Txn";
    const input = rest.at(2) as Range & {
      readonly success: readonly { readonly request: { readonly value: Range } }[];
    };
    const ranges = together ? input.success.map(({ request }) => request.value) : [input];
    const prefixes = ranges.map(({ key }) => Buffer.from(key).toString());
    return new Promise((resolve, reject) => {
      const answer = (revision: bigint): Promise<void> => {
        const header = { revision, clusterId: 1n };
        const values = ranges.map(({ key }) => ({ kvs: [{ key }] }));
        const responses = values.map((value) => ({ response: { case: "responseRange", value } }));
        resolve({ message: together ? { header, responses } : { header, ...values[0] } });
        return turn();
      };
      const fail = (error: EtcdError): Promise<void> => {
        reject(error);
        return turn();
      };
      asked.push({ prefixes, signal, answer, fail });
    });
  };
  const etcd = new EtcdClient({ clock, transport: { unary, stream: () => Promise.reject(new Error()) } as never });
  const batch = new ReadBatch(etcd);
  const read = (prefix: string, signal: AbortSignal = new AbortController().signal): Promise<string> =>
    batch.read(prefix, { signal }).then(
      ({ kvs, revision }) => `${kvs.map(({ key }) => Buffer.from(key).toString()).join()}@${revision}`,
      (error: unknown) => EtcdError.from(error).code,
    );
  const at = (index: number): Asked => {
    const found = asked[index];
    if (found === undefined) throw new Error(`there is no request ${index}`);
    return found;
  };
  return { clock, asked, at, read };
}

describe("a read", () => {
  it("is sent at once, and ends with its signal", async () => {
    const { asked, at, read } = setUp();
    const { signal } = new AbortController();
    const first = read("a/", signal);
    expect([asked.length, at(0).prefixes, at(0).signal === signal]).toEqual([1, ["a/"], true]);
    await at(0).answer(3n);
    expect(await first).toBe("a/@3");
    void read("b/");
    expect(at(1).prefixes).toEqual(["b/"]);
  });

  it("waits for those under way, and is sent with the others that wait", async () => {
    const { asked, at, read } = setUp();
    void read("a/");
    const others = [read("b/"), read("c/")];
    expect(asked).toHaveLength(1);
    await at(0).answer(3n);
    expect(at(1).prefixes).toEqual(["b/", "c/"]);
    await at(1).answer(4n);
    expect(await Promise.all(others)).toEqual(["b/@4", "c/@4"]);
  });

  it("does not wait for long", () => {
    const { clock, asked, at, read } = setUp();
    void read("a/");
    void read("b/");
    clock.advance(9);
    expect(asked).toHaveLength(1);
    clock.advance(1);
    expect(at(1).prefixes).toEqual(["b/"]);
  });

  it("is not with more than the store takes", async () => {
    const { asked, at, read } = setUp();
    void read("first/");
    for (let index = 0; index < 130; index++) void read(`e${index}/`);
    await at(0).answer(3n);
    expect(asked.map(({ prefixes }) => prefixes.length)).toEqual([1, 60, 60, 10]);
  });

  it("is repeated alone when it was refused together with others", async () => {
    const { at, read } = setUp();
    void read("a/");
    const others = [read("b/"), read("c/")];
    await at(0).answer(3n);
    await at(1).fail(new EtcdError("permission-denied", "one of them is not yours"));
    expect([at(2).prefixes, at(3).prefixes]).toEqual([["b/"], ["c/"]]);
    await at(2).fail(new EtcdError("permission-denied", "not yours"));
    await at(3).answer(5n);
    expect(await Promise.all(others)).toEqual(["permission-denied", "c/@5"]);
  });

  it("is not repeated when nobody can be reached", async () => {
    const { asked, at, read } = setUp();
    void read("a/");
    const others = [read("b/"), read("c/")];
    await at(0).answer(3n);
    await at(1).fail(new EtcdError("unavailable", "down"));
    expect([await Promise.all(others), asked.length]).toEqual([["unavailable", "unavailable"], 2]);
  });
});

import { compare, EtcdClient, type EtcdClientOptions, EtcdError, put, range } from "@tenure/etcd";
import type { TxnRequest, TxnResponse } from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";
import { type Standing, TxnBatch } from "./txn-batch.ts";

/** What a store answers to one transaction; throws for a refusal. */
type Answer = (request: TxnRequest) => Partial<TxnResponse>;

/** How many transactions go together at most. */
const MOST = 60;

/** Answers each transaction, and each part of one, by whether its key ends in an even number. */
const honest: Answer = ({ success }) => ({
  succeeded: true,
  responses: success.map(({ request }) => ({
    $typeName: "etcdserverpb.ResponseOp",
    response:
      request.case === "requestTxn"
        ? { case: "responseTxn", value: { ...honest(request.value), succeeded: numberOf(request.value) % 2 === 0 } }
        : { case: undefined },
  })) as TxnResponse["responses"],
});

function numberOf({ success }: TxnRequest): number {
  const [first] = success;
  if (first?.request.case !== "requestPut") throw new Error("this is no campaign");
  return Number(/\d+$/.exec(Buffer.from(first.request.value.key).toString())?.[0]);
}

function setUp(answer: Answer = honest, options: EtcdClientOptions = {}) {
  const sent: TxnRequest[] = [];
  const unary = (...[method, , , , input]: Parameters<NonNullable<EtcdClientOptions["transport"]>["unary"]>) => {
    if (method.name === "Authenticate") return Promise.resolve({ message: { token: "t" } });
    const request = input as unknown as TxnRequest;
    sent.push(request);
    return new Promise((resolve) =>
      resolve({ message: { header: { revision: 5n, clusterId: 1n }, ...answer(request) } }),
    );
  };
  const transport = { unary, stream: () => Promise.reject(new Error("no stream was expected")) };
  const etcd = new EtcdClient({ ...options, transport: transport as never });
  const batch = new TxnBatch(etcd);
  const commit = (prefix: string, fields: Partial<Standing> = {}): Promise<TxnResponse> => {
    const success = [put(`${prefix}1`, "v"), range({ prefix })];
    const guards = [compare.createRevision(`${prefix}1`, "=", 0n)];
    return batch.commit({ prefix, guards, success, failure: [range({ prefix })], bytes: 10, ...fields });
  };
  return { commit, sent };
}

/** How many parts each transaction had; 0 for one that is no whole of parts. */
function parts(sent: readonly TxnRequest[]): number[] {
  return sent.map(({ success }) => success.filter(({ request }) => request.case === "requestTxn").length);
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `e${index + 100}/`);

describe("transactions of one turn", () => {
  it("travel together, and each gets its own answer with the revision of the whole", async () => {
    const { commit, sent } = setUp();
    const even = commit("a/", { success: [put("a/2", "v"), range({ prefix: "a/" })] });
    const odd = commit("b/", { success: [put("b/3", "v"), range({ prefix: "b/" })] });
    expect([(await even).succeeded, (await odd).succeeded]).toEqual([true, false]);
    expect((await odd).header?.revision).toBe(5n);
    expect(parts(sent)).toEqual([2]);
  });

  it("are not all of them in one where there are too many", async () => {
    const { commit, sent } = setUp();
    await Promise.all(numbered(2 * MOST + 1).map((prefix) => commit(prefix)));
    expect(parts(sent)).toEqual([MOST, MOST, 0]);
  });

  it.each([
    ["names within one another", ["a/", "a/b/"]],
    ["the same name", ["a/", "a/"]],
  ])("are sent apart for %s", async (_what, prefixes) => {
    const { commit, sent } = setUp();
    await Promise.all(prefixes.map((prefix) => commit(prefix)));
    expect(parts(sent)).toEqual([0, 0]);
  });

  it("are sent apart where one is large", async () => {
    const { commit, sent } = setUp();
    await Promise.all([commit("a/"), commit("b/", { bytes: 5000 })]);
    expect(parts(sent)).toEqual([0, 0]);
  });

  it.each<[string, EtcdClientOptions]>([
    ["a password", { auth: { user: "u", password: "p" } }],
    ["a certificate", { tls: { cert: "c", key: "k" } }],
  ])("are sent apart by who has %s", async (_what, options) => {
    const { commit, sent } = setUp(honest, options);
    await Promise.all([commit("a/"), commit("b/")]);
    expect(parts(sent)).toEqual([0, 0]);
  });

  it("are sent one by one when they were refused together, and each hears of its own refusal", async () => {
    const refusal = new EtcdError("not-found", "refused");
    const { commit, sent } = setUp((request) => {
      const [first] = request.success;
      if (first?.request.case === "requestTxn") throw refusal;
      if (Buffer.from(request.compare[0]?.key ?? []).toString() === "b/1") throw refusal;
      return honest(request);
    });
    const outcomes = await Promise.allSettled([commit("a/"), commit("b/"), commit("c/")]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(parts(sent)).toEqual([3, 0, 0, 0]);
  });

  it.each([
    ["was lost", new EtcdError("unavailable", "the answer was lost")],
    ["is not there in time", new EtcdError("deadline-exceeded", "no answer in time")],
    ["says that nobody can be reached", new EtcdError("unavailable", "down", { mayHaveApplied: false })],
  ])("are not repeated when their answer %s: that of each is the same", async (_what, error) => {
    const { commit, sent } = setUp(() => {
      throw error;
    });
    const outcomes = await Promise.allSettled([commit("a/"), commit("b/")]);
    expect(outcomes).toMatchObject([{ reason: { code: error.code } }, { reason: { code: error.code } }]);
    expect(outcomes).toMatchObject(Array(2).fill({ reason: { mayHaveApplied: error.mayHaveApplied } }));
    expect(parts(sent)).toEqual([2]);
  });

  it("may all have been carried out when the answer makes no sense", async () => {
    const { commit } = setUp(() => ({ responses: [] }));
    const outcomes = await Promise.allSettled([commit("a/"), commit("b/")]);
    expect(outcomes).toMatchObject(Array(2).fill({ reason: { code: "internal", mayHaveApplied: true } }));
  });
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EtcdError } from "@tenure/etcd";
import type { TxnRequest } from "@tenure/etcd/rpc";
import { type Client, connect, type Term } from "tenure";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled } from "../support/until.ts";
import { faultyTransport } from "./faulty-store.ts";
import { longTtlMs } from "./witness.ts";

/** More than travel in one transaction. */
const count = 150;
/** What etcd takes in one, which is less than travels together. */
const maxTxnOps = 20;

let etcd: RealEtcd;
let narrow: RealEtcd;

beforeAll(async () => {
  [etcd, narrow] = await Promise.all([startEtcd(), startEtcd({ args: [`--max-txn-ops=${maxTxnOps}`] })]);
});
afterAll(async () => {
  await Promise.all([etcd.stop(), narrow.stop()]);
});

/** A client that loses so many answers to transactions which carry campaigns, and how many of these it sent. */
function deaf(endpoint: string, answersToLose: number): { client: Client; carried: () => number } {
  let left = answersToLose;
  let carried = 0;
  const inner = faultyTransport(endpoint, () => undefined);
  const client = connect({
    transport: {
      unary: async (...call) => {
        const answer = await inner.unary(...call);
        const [method, , , , request] = call;
        if (method.name !== "Txn" || !carriesCampaigns(request as unknown as TxnRequest)) return answer;
        carried++;
        if (left-- > 0) throw new EtcdError("unavailable", "the answer was lost");
        return answer;
      },
      stream: (...call) => inner.stream(...call),
    },
  });
  return { client, carried: () => carried };
}

function carriesCampaigns({ success }: TxnRequest): boolean {
  return success.some(({ request }) => request.case === "requestTxn");
}

/** Wins many elections at once, sees who leads each, resigns them all, and sees that nothing is left; how many. */
async function winAll(client: Client, direct: Client, name: string): Promise<number> {
  const names = Array.from({ length: count }, (_, index) => `${name}/${index}`);
  const campaigns = names.map((each) => client.election(each, { ttlMs: longTtlMs }).campaign(`of ${each}`));
  const terms = await settled(Promise.all(campaigns), { what: "the terms" });
  expect(terms.every(({ held }) => held)).toBe(true);
  expect(await seen(direct, names)).toEqual(
    terms.map(({ key, token, leaseId }: Term, index) => [
      expect.objectContaining({ key, revision: token, leaseId, value: `of ${names[index]}` }),
    ]),
  );
  await Promise.all(terms.map((term) => term.resign()));
  expect(await seen(direct, names)).toEqual(names.map(() => []));
  return terms.length;
}

function seen(direct: Client, names: readonly string[]): Promise<unknown[]> {
  return Promise.all(names.map((name) => direct.election(name).candidates()));
}

describe("many campaigns at once", () => {
  it.each([0, 1, 3])("are all won, with one key each, when %d answers for many of them are lost", async (lost) => {
    const { client, carried } = deaf(etcd.endpoint, lost);
    await using direct = connect({ endpoints: [etcd.endpoint] });
    // They travel together when there is a session already.
    const ready = await client.election(`ready ${lost}`, { ttlMs: longTtlMs }).campaign();
    expect(await winAll(client, direct, `lost ${lost}`)).toBe(count);
    // Those without an answer were repeated one by one.
    expect(carried()).toBe(3);
    await ready.resign();
    await client.close();
  });

  it("are all won where etcd takes fewer operations in a transaction than it would take for them", async () => {
    await using client = connect({ endpoints: [narrow.endpoint] });
    await using direct = connect({ endpoints: [narrow.endpoint] });
    await client.election("ready", { ttlMs: longTtlMs }).campaign();
    expect(await winAll(client, direct, "narrow")).toBe(count);
  });
});

// What each step costs in requests: one more is one more round trip, or more work for etcd with each election.
import { channel } from "node:diagnostics_channel";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Client, connect, type Election, type Term } from "tenure";
import type { RpcEvent } from "@tenure/etcd";
import { elapsed } from "./harness.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";

/** Long enough for no keep-alive to be due while requests are counted. */
const ttlMs = 60_000;
const idleTtlMs = 6_000;
const idleMs = 5_000;
let etcd: RealEtcd;
/** Another way to the same etcd, so that the requests of those who look on are told from those that count. */
let aside: Proxy;
let names = 0;
const clients: Client[] = [];

beforeAll(async () => {
  etcd = await startEtcd();
  aside = await startProxy(etcd.endpoint);
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});
afterAll(async () => {
  await aside?.stop();
  await etcd?.stop();
});

describe("the number of requests", () => {
  it("is one for a campaign with a session, beside one watch at most", async () => {
    const [election] = electionOf(ttlMs, await withSession());
    const { sent, result } = await during(() => election.campaign("a"));
    expect(awaited(sent)).toEqual(["KV/Txn"]);
    expect(sent.length - awaited(sent).length).toBeLessThanOrEqual(1);
    expect(result.held).toBe(true);
  });

  it("is two for a campaign without a session", async () => {
    const client = clientAt(etcd.endpoint);
    await client.ready();
    const [election] = electionOf(ttlMs, client);
    const { sent } = await during(() => election.campaign("a"));
    expect(awaited(sent)).toEqual(["Lease/LeaseGrant", "KV/Txn"]);
    expect(sent.length - awaited(sent).length).toBeLessThanOrEqual(1);
  });

  it("is one to become a standby, beside one watch at most", async () => {
    const [leading, standing, onlooking] = electionOf(ttlMs, await withSession(), await withSession(), onlooker());
    await leading.campaign("a");
    const { sent } = await during(async () => {
      void stands(standing, "b");
      await candidates(onlooking, 2);
    });
    expect(awaited(sent)).toEqual(["KV/Txn"]);
    expect(sent.length - awaited(sent).length).toBeLessThanOrEqual(1);
  });

  it("is one to resign, and none to be promoted, however many wait", async () => {
    const [first, second, third, onlooking] = electionOf(
      ttlMs,
      await withSession(),
      await withSession(),
      await withSession(),
      onlooker(),
    );
    const leading = await first.campaign("a");
    const next = stands(second, "b");
    await candidates(onlooking, 2);
    const last = stands(third, "c");
    await candidates(onlooking, 3);
    let promoted: Term | undefined;
    const resign = await during(async () => {
      await leading.resign();
      promoted = await settled(next, { what: "the second" });
    });
    expect(resign.sent).toEqual(["KV/Txn"]);
    const again = await during(async () => {
      await promoted?.resign();
      await settled(last, { what: "the third" });
    });
    expect(again.sent).toEqual(["KV/Txn"]);
  });

  it("is one to resign where it gives the lease back, and one for that", async () => {
    const client = clientAt(etcd.endpoint);
    const [election, onlooking] = electionOf(ttlMs, client, onlooker());
    const term = await election.campaign("a");
    const { sent } = await during(async () => {
      await term.resign();
      await until(async () => (await onlooking.candidates()).length === 0, { what: "end of the key" });
      await client.close();
    });
    expect(sent).toEqual(["KV/Txn", "Lease/LeaseRevoke"]);
  });

  it("is one to proclaim", async () => {
    const [election] = electionOf(ttlMs, await withSession());
    const term = await election.campaign("a");
    expect((await during(() => term.proclaim("b"))).sent).toEqual(["KV/Txn"]);
  });

  it("is one to transfer, and none for whoever leads then", async () => {
    const [leading, standing, onlooking] = electionOf(ttlMs, await withSession(), await withSession(), onlooker());
    const term = await leading.campaign("a");
    const next = stands(standing, "b");
    await candidates(onlooking, 2);
    const [, target] = await onlooking.candidates();
    const { sent } = await during(async () => {
      await term.transfer(target?.key ?? "");
      await settled(next, { what: "the target" });
    });
    expect(sent).toEqual(["KV/Txn"]);
  });

  it("is one to ask who leads, or who stands", async () => {
    const [election] = electionOf(ttlMs, await withSession());
    expect((await during(() => election.leader())).sent).toEqual(["KV/Range"]);
    expect((await during(() => election.candidates())).sent).toEqual(["KV/Range"]);
  });

  it("is one read, and one watch at most, to observe, however many leaders come and observers", async () => {
    const client = await withSession();
    const name = newName();
    const observed = client.election(name, { ttlMs });
    const elsewhere = [onlooker(), onlooker()].map((each) => each.election(name, { ttlMs }));
    const seen: string[][] = [[], []];
    const leaving = new AbortController();
    const { sent } = await during(async () => {
      const loops = seen.map(async (values) => {
        for await (const leader of observed.observe({ signal: leaving.signal })) values.push(leader?.value ?? "nobody");
      });
      await until(() => seen.every((values) => values.includes("nobody")), { what: "the observers" });
      for (let round = 0; round < 6; round++) {
        const term = await elsewhere[round % 2]?.campaign(`leader ${round}`);
        await term?.proclaim(`value ${round}`);
        await until(() => seen.every((values) => values.at(-1) === `value ${round}`), { what: `value ${round}` });
        await term?.resign();
      }
      await until(() => seen.every((values) => values.at(-1) === "nobody"), { what: "the end" });
      leaving.abort();
      await Promise.all(loops);
    });
    // The watch shares the stream of those that were there before.
    expect(awaited(sent)).toEqual(["KV/Range"]);
    expect(sent.length).toBeLessThanOrEqual(2);
  });

  it("is far less than one for each of many elections that it stands for at once, and one stream", async () => {
    const client = await withSession();
    const elections = Array.from({ length: 30 }, () => client.election(newName(), { ttlMs }));
    const { sent } = await during(() => Promise.all(elections.map((election) => election.campaign("a"))));
    const count = (method: string): number => sent.filter((each) => each === method).length;
    expect([count("Lease/LeaseGrant"), count("Watch/Watch") <= 1]).toEqual([0, true]);
    // One transaction for all. Where the puts of others came between a campaign and its watch, the election is read
    // once more, together with others.
    expect(count("KV/Txn") + count("KV/Range")).toBeLessThan(elections.length);
  });

  it("is none while nothing happens, and messages are keep-alives and questions for progress", async () => {
    const own = [await withSession(idleTtlMs), await withSession(idleTtlMs), onlooker()] as const;
    const [leading, standing, onlooking] = electionOf(idleTtlMs, ...own);
    await leading.campaign("a");
    void stands(standing, "b");
    await candidates(onlooking, 2);
    // By the first keep-alive its stream is open.
    await elapsed(idleTtlMs / 2 + 500);
    const before = await received();
    const startedAt = performance.now();
    const { sent } = await during(() => elapsed(idleMs));
    const after = await received();
    // The clock of the test may be late, not the nodes: what may have been sent follows from what has passed.
    const perStream = Math.ceil((performance.now() - startedAt) / (idleTtlMs / 3)) + 1;
    const grown = [...after].map(([method, count]) => [method, count - (before.get(method) ?? 0)] as const);
    const messages = new Map(grown.filter(([, count]) => count > 0));
    expect(sent).toEqual([]);
    expect([...messages.keys()].toSorted()).toEqual(["LeaseKeepAlive", "Watch"]);
    const sessions = 2;
    const watches = 4;
    expect(messages.get("LeaseKeepAlive")).toBeLessThanOrEqual(sessions * perStream);
    expect(messages.get("Watch")).toBeLessThanOrEqual(watches * perStream);
  });
});

function newName(): string {
  return `counts-${++names}`;
}

function clientAt(endpoint: string): Client {
  const client = connect({ endpoints: [endpoint] });
  clients.push(client);
  return client;
}

/** A client whose requests do not count. */
function onlooker(): Client {
  return clientAt(aside.endpoint);
}

/** A client whose session is there already, as it is in a process that stands somewhere else too. */
async function withSession(sessionTtlMs: number = ttlMs): Promise<Client> {
  const client = clientAt(etcd.endpoint);
  await client.election(newName(), { ttlMs: sessionTtlMs }).campaign("kept");
  return client;
}

/** One election, as each client has it. */
function electionOf<T extends readonly Client[]>(sessionTtlMs: number, ...own: T): { [K in keyof T]: Election } {
  const name = newName();
  return own.map((client) => client.election(name, { ttlMs: sessionTtlMs })) as { [K in keyof T]: Election };
}

/** Begins to stand; that it stops at the end of the test is no error. */
function stands(election: Election, value: string): Promise<Term> {
  const campaign = election.campaign(value);
  campaign.catch(() => undefined);
  return campaign;
}

async function candidates(election: Election, count: number): Promise<void> {
  await until(async () => (await election.candidates()).length === count, { what: `${count} candidates` });
}

/** The methods of the requests that leave meanwhile, in order, those of onlookers left out. */
async function during<T>(action: () => Promise<T>): Promise<{ readonly sent: string[]; readonly result: T }> {
  const sent: string[] = [];
  const hear = (event: unknown): void => {
    const { method, endpoint } = event as RpcEvent;
    if (endpoint === etcd.endpoint) sent.push(method.replace("etcdserverpb.", ""));
  };
  const rpc = channel("tenure:rpc");
  rpc.subscribe(hear);
  try {
    return { result: await action(), sent };
  } finally {
    rpc.unsubscribe(hear);
  }
}

/** The requests that someone waits for: watches are opened beside them. */
function awaited(methods: readonly string[]): string[] {
  return methods.filter((method) => method !== "Watch/Watch");
}

/** Messages that etcd has received so far, on streams too, by method. */
async function received(): Promise<Map<string, number>> {
  const text = await (await fetch(`${etcd.endpoint}/metrics`)).text();
  // The health service has a method of a watch's name.
  const counters = text.matchAll(
    /^grpc_server_msg_received_total\{grpc_method="(\w+)",grpc_service="etcdserverpb\.\w+",.*\} (\d+)$/gm,
  );
  return new Map([...counters].map(([, method = "", count]) => [method, Number(count)]));
}

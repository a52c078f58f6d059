import type { EtcdClientOptions } from "@tenure/etcd";
import { seededRandom } from "@tenure/etcd/runtime";
import { startEmbed } from "@tenure/embed";
import { type Client, connect, put, type Term } from "tenure";
import { describe, expect, it } from "vitest";
import { faultyTransport } from "./faulty-store.ts";
import { longTtlMs } from "./witness.ts";

type Transport = NonNullable<EtcdClientOptions["transport"]>;

// Elections have a connection of their own, which may hear of it a third of the TTL later.
describe("another cluster that answers a program's own request (etcd#16028)", () => {
  it.each<readonly [string, (client: Client, term: Term) => Promise<unknown>]>([
    ["a read", (client) => client.etcd.kv.get("k")],
    ["a transaction", (client) => client.txn().success(put("k", "v")).commit()],
    [
      "a guarded one",
      (client, term) =>
        client
          .txn()
          .if(...term.guard())
          .success(put("k", "v"))
          .commit(),
    ],
  ])("%s: ends the term at once", async (_what, ask) => {
    await using old = await startEmbed({ random: seededRandom(1) });
    await using fresh = await startEmbed({ random: seededRandom(2) });
    const ways = [old, fresh].map(({ endpoint }) => faultyTransport(endpoint, () => undefined));
    let [way] = ways;
    const transport: Transport = {
      unary: (...call) => (way as Transport).unary(...call),
      stream: (...call) => (way as Transport).stream(...call),
    };
    const client = connect({ transport });
    const term = await client.election("a", { ttlMs: longTtlMs }).campaign("a");
    await client.etcd.kv.put("k", "v");
    expect(term.held).toBe(true);
    [, way] = ways;
    await ask(client, term);
    expect([term.held, term.signal.aborted]).toEqual([false, true]);
    expect(term.signal.reason).toMatchObject({ code: "leadership-lost", sessionEnd: "cluster-changed" });
    await client.close();
  });
});

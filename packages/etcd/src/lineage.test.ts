import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EtcdClient } from "./client.ts";
import { KV, Lease, type ResponseHeader, ResponseHeaderSchema, Watch } from "./gen/rpc_pb.ts";
import { Lineage } from "./lineage.ts";
import { range } from "./op.ts";
import { inMemory } from "./testing/in-memory.ts";

function header(revision: bigint, clusterId = 7n): ResponseHeader {
  return create(ResponseHeaderSchema, { clusterId, revision });
}

/** A client of a store whose answers carry the headers given, in turn, and what it was told of changes. */
function clientOf(...headers: ResponseHeader[]) {
  const next = (): ResponseHeader => headers.shift() ?? header(0n);
  const client = new EtcdClient({
    transport: inMemory(({ service }) => {
      service(KV, { range: () => ({ header: next() }), txn: () => ({ header: next() }) });
      service(Lease, {
        leaseTimeToLive: () => ({ header: next() }),
        async *leaseKeepAlive(requests) {
          for await (const { ID } of requests) yield { header: next(), ID, TTL: 9n };
        },
      });
      service(Watch, {
        async *watch(requests) {
          for await (const _ of requests) yield { header: next(), created: true };
        },
      });
    }),
  });
  const changes: string[] = [];
  const stop = client.lineage.onChanged((reason) => changes.push(reason));
  return { client, changes, stop };
}

describe("the lineage of a cluster", () => {
  it("keeps its id and the highest revision of any answer", async () => {
    const { client, changes } = clientOf(header(5n), header(9n), header(8n));
    await client.kv.range("k");
    await client.lease.timeToLive(1n);
    await client.lease.timeToLive(1n);
    expect([client.lineage.clusterId, client.lineage.revision, changes]).toEqual([7n, 9n, []]);
  });

  it("changes when another cluster answers, to whatever was asked", async () => {
    const { client, changes } = clientOf(header(5n), header(900n, 8n), header(6n, 8n));
    await client.kv.range("k");
    await client.lease.timeToLive(1n);
    expect(changes).toEqual(["cluster 8 answers instead of 7"]);
    expect([client.lineage.clusterId, client.lineage.revision]).toEqual([8n, 900n]);
  });

  it("takes an id of 0, as etcd's gRPC proxy sends it, for unknown and not for a change", async () => {
    const { client, changes } = clientOf(header(5n), header(6n, 0n), header(7n));
    for (let calls = 0; calls < 3; calls++) await client.kv.range("k");
    expect([client.lineage.clusterId, client.lineage.revision, changes]).toEqual([7n, 7n, []]);
  });

  it.each(["range", "txn"] as const)("changes when a linearizable answer goes back: %s (etcd#16028)", async (call) => {
    const { client, changes } = clientOf(header(9n), header(8n), header(8n));
    const ask = (): Promise<unknown> =>
      call === "range" ? client.kv.range("k") : client.kv.txn().success(range("k")).commit();
    await ask();
    await ask();
    expect(changes).toEqual(["the cluster was set back from revision 9 to 8"]);
    await ask();
    expect([changes.length, client.lineage.revision]).toEqual([1, 8n]);
  });

  it("does not change when an answer of one member is behind: it may lag", async () => {
    const { client, changes } = clientOf(header(9n), header(8n), header(7n), header(6n), header(5n), header(4n));
    const { signal } = new AbortController();
    await client.kv.range("k");
    await client.kv.range("k", { serializable: true });
    await client.kv
      .txn()
      .success(range("k", { serializable: true }))
      .commit();
    await client.lease.timeToLive(1n);
    for await (const message of client.watch.watch("k", { signal })) if (message.t === "created") break;
    const keepAlives = client.lease.keepAlive(signal);
    keepAlives.send(1n);
    for await (const _ of keepAlives.answers) break;
    expect(changes).toEqual([]);
  });

  it("does not change when a linearizable answer is below what was seen after it was asked for", () => {
    const lineage = new Lineage();
    const changes: string[] = [];
    lineage.onChanged((reason) => changes.push(reason));
    lineage.answered(header(5n), 0n);
    const atLeast = lineage.revision;
    lineage.answered(header(9n), 0n);
    lineage.answered(header(6n), atLeast);
    expect([changes, lineage.revision]).toEqual([[], 9n]);
  });

  it("takes no notice of what was asked for before it changed", () => {
    const lineage = new Lineage();
    const changes: string[] = [];
    lineage.onChanged((reason) => changes.push(reason));
    lineage.answered(header(100n), 0n);
    const { epoch } = lineage;
    lineage.answered(header(50n), 100n);
    lineage.answered(header(100n), 0n, epoch);
    lineage.answered(header(52n), 50n);
    expect([changes.length, lineage.revision]).toEqual([1, 52n]);
  });

  it("tells nobody who has taken his listener off", async () => {
    const { client, changes, stop } = clientOf(header(9n), header(1n, 8n));
    stop();
    await client.kv.range("k");
    await client.kv.range("k");
    expect(changes).toEqual([]);
  });
});

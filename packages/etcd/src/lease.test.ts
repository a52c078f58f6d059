import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { EtcdClient } from "./client.ts";
import { type LeaseGrantRequest, Lease } from "./gen/rpc_pb.ts";
import { inMemory } from "./testing/in-memory.ts";

describe("a lease", () => {
  it("is granted under the id asked for, with the TTL the server chose", async () => {
    const asked: LeaseGrantRequest[] = [];
    const transport = inMemory(({ rpc }) => {
      rpc(Lease.method.leaseGrant, (request) => {
        asked.push(request);
        return { ID: request.ID === 0n ? 99n : request.ID, TTL: 20n };
      });
    });
    const { lease } = new EtcdClient({ transport });
    expect(await lease.grant(10n, { id: 5n })).toMatchObject({ ID: 5n, TTL: 20n });
    expect(await lease.grant(10n)).toMatchObject({ ID: 99n });
    expect(asked).toMatchObject([
      { ID: 5n, TTL: 10n },
      { ID: 0n, TTL: 10n },
    ]);
  });

  it("whose answer carries an error was not granted", async () => {
    const transport = inMemory(({ rpc }) => {
      rpc(Lease.method.leaseGrant, () => ({ ID: 5n, TTL: 10n, error: "lease refused" }));
    });
    await expect(new EtcdClient({ transport }).lease.grant(10n)).rejects.toMatchObject({
      name: "EtcdError",
      code: "failed-precondition",
      message: "lease refused",
    });
  });

  it("that is not there cannot be revoked", async () => {
    const transport = inMemory(({ rpc }) => {
      rpc(Lease.method.leaseRevoke, () => {
        throw new ConnectError("etcdserver: requested lease not found", Code.NotFound);
      });
    });
    await expect(new EtcdClient({ transport }).lease.revoke(5n)).rejects.toMatchObject({ code: "not-found" });
  });

  it("shows its keys only when asked for them", async () => {
    const transport = inMemory(({ rpc }) => {
      rpc(Lease.method.leaseTimeToLive, ({ ID, keys }) => ({ ID, TTL: 3n, keys: keys ? [Buffer.from("k")] : [] }));
    });
    const { lease } = new EtcdClient({ transport });
    expect((await lease.timeToLive(5n)).keys).toHaveLength(0);
    expect((await lease.timeToLive(5n, { keys: true })).keys).toHaveLength(1);
  });
});

describe("a stream of keep-alives", () => {
  it("brings the answers in the order of the requests, and ends with its signal", async () => {
    const transport = inMemory(({ rpc }) => {
      rpc(Lease.method.leaseKeepAlive, async function* (requests) {
        for await (const { ID } of requests) yield { ID, TTL: ID * 10n };
      });
    });
    const controller = new AbortController();
    const { send, answers } = new EtcdClient({ transport }).lease.keepAlive(controller.signal);
    for (const id of [1n, 2n, 3n]) send(id);
    const seen: bigint[] = [];
    const all = (async () => {
      for await (const { TTL } of answers) {
        seen.push(TTL);
        if (seen.length === 3) controller.abort();
      }
    })();
    await expect(all).rejects.toThrow("abort");
    expect(seen).toEqual([10n, 20n, 30n]);
  });
});

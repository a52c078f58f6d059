import { connect as connectTcp } from "node:net";

import { Auth, Cluster, KV, Lease, Maintenance, Watch } from "@tenure/etcd/rpc";
import { ManualClock } from "@tenure/etcd/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type EmbedServer, startEmbed } from "./index.ts";
import { RawGrpcClient } from "./testing/raw-grpc-client.ts";
import { bytes } from "./testing/test-server.ts";

let clock: ManualClock;
let etcd: EmbedServer;
let client: RawGrpcClient;

beforeEach(async () => {
  clock = new ManualClock();
  etcd = await startEmbed({ clock, firstRevision: 100n });
  client = new RawGrpcClient(etcd.endpoint);
});

afterEach(async () => {
  client.close();
  await etcd.close();
});

describe("startEmbed", () => {
  it("listens on a free port of the loopback address", () => {
    expect(etcd.endpoint).toBe(`http://127.0.0.1:${etcd.port}`);
    expect(etcd.port).toBeGreaterThan(0);
  });

  it("rejects when the port is in use, with the code of the cause", async () => {
    await expect(startEmbed({ port: etcd.port })).rejects.toMatchObject({
      code: "EADDRINUSE",
      message: `cannot listen on 127.0.0.1:${etcd.port}: the port is in use`,
      cause: { code: "EADDRINUSE" },
    });
  });

  it("frees the port when it is closed, which may happen twice", async () => {
    await Promise.all([etcd.close(), etcd.close()]);
    await using again = await startEmbed({ port: etcd.port });
    expect(again.port).toBe(etcd.port);
  });

  it("ends streams and silent connections when it is closed", async () => {
    const silent = connectTcp(etcd.port, "127.0.0.1");
    await new Promise((resolve) => silent.once("connect", resolve));
    const gone = new Promise((resolve) => silent.once("close", resolve));
    const watch = client.open(Watch.method.watch);
    watch.send({ requestUnion: { case: "createRequest", value: { key: bytes("a") } } });
    await watch.received(1);
    await etcd.close();
    expect(await watch.answer).toMatchObject({ status: "14", message: "etcdserver: server stopped" });
    await gone;
  });
});

describe("the services", () => {
  it("put and read keys", async () => {
    await client.unary(KV.method.put, { key: bytes("a"), value: bytes("1") });
    const { messages, status } = await client.unary(KV.method.range, { key: bytes("a") });
    expect(status).toBe("0");
    expect(messages).toMatchObject([{ count: 1n, header: { revision: 101n, raftTerm: 2n } }]);
  });

  it("answer a refusal with etcd's code and text", async () => {
    const answer = await client.unary(KV.method.put, { value: bytes("1") });
    expect(answer).toMatchObject({ status: "3", message: "etcdserver: key is not provided", messages: [] });
  });

  it("show one member, which leads and has no alarm", async () => {
    const [list] = (await client.unary(Cluster.method.memberList, {})).messages;
    expect(list).toMatchObject({ members: [{ name: "tenure-embed", clientURLs: [etcd.endpoint] }] });
    const [status] = (await client.unary(Maintenance.method.status, {})).messages;
    expect(status).toMatchObject({ version: "3.5.30", leader: Reflect.get(status ?? {}, "header").memberId });
    expect((await client.unary(Maintenance.method.alarm, {})).messages).toMatchObject([{ alarms: [] }]);
  });

  it("say that authentication is not enabled", async () => {
    const answer = await client.unary(Auth.method.authenticate, { name: "root" });
    expect(answer).toMatchObject({ status: "9", message: "etcdserver: authentication is not enabled" });
  });

  it("deliver events to a watch, also after the client has half closed it", async () => {
    const watch = client.open(Watch.method.watch);
    watch.send({ requestUnion: { case: "createRequest", value: { key: bytes("a") } } });
    watch.stream.end();
    await watch.received(1);
    await client.unary(KV.method.put, { key: bytes("a"), value: bytes("1") });
    expect((await watch.received(2))[1]).toMatchObject({ events: [{ kv: { modRevision: 101n } }] });
    watch.stream.close();
  });

  it("keep a lease alive, and end it by the clock otherwise", async () => {
    await client.unary(Lease.method.leaseGrant, { ID: 7n, TTL: 5n });
    const keepAlive = client.open(Lease.method.leaseKeepAlive);
    keepAlive.send({ ID: 7n });
    keepAlive.send({ ID: 8n });
    expect(await keepAlive.received(2)).toMatchObject([
      { ID: 7n, TTL: 5n },
      { ID: 8n, TTL: 0n },
    ]);
    keepAlive.stream.end();
    expect(await keepAlive.answer).toMatchObject({ status: "0" });
    clock.advance(5500);
    expect((await client.unary(Lease.method.leaseLeases, {})).messages).toMatchObject([{ leases: [] }]);
  });

  it("hold events back from a client that does not read, and lose none", async () => {
    const watch = client.open(Watch.method.watch);
    watch.send({ requestUnion: { case: "createRequest", value: { key: bytes("a") } } });
    await watch.received(1);
    watch.stream.pause();
    const value = new Uint8Array(1_000_000);
    for (let i = 0; i < 30; i += 1) await client.unary(KV.method.put, { key: bytes("a"), value });
    watch.stream.resume();
    const events = (): unknown[] => watch.messages.flatMap((message) => Reflect.get(message, "events"));
    while (events().length < 30) await watch.received(watch.messages.length + 1);
    const revisions = events().map((event) => Reflect.get(event ?? {}, "kv").modRevision);
    expect(revisions).toEqual(Array.from({ length: 30 }, (_, i) => BigInt(101 + i)));
    watch.stream.close();
  });
});

describe("a call that is wrong", () => {
  it.each([
    ["/etcdserverpb.KV/Nothing", "unknown method Nothing for service etcdserverpb.KV"],
    ["/etcdserverpb.Nothing/Range", "unknown service etcdserverpb.Nothing"],
  ])("to %s is answered with what is missing", async (path, message) => {
    const answer = await client.unary(KV.method.range, {}, { ":path": path });
    expect(answer).toMatchObject({ status: "12", message, httpStatus: 200 });
  });

  it.each([
    ["is no message", Buffer.from([0, 0, 0, 0, 1, 0xff]), "13"],
    ["is compressed", Buffer.from([1, 0, 0, 0, 0]), "12"],
    ["is larger than two megabytes", Buffer.from([0, 0, 0x30, 0, 0]), "8"],
    ["is cut short", Buffer.from([0, 0, 0]), "2"],
    ["is missing", Buffer.alloc(0), "2"],
  ])("because its request %s gets a status", async (_, request, status) => {
    const call = client.open(KV.method.put);
    call.stream.end(request);
    expect((await call.answer).status).toBe(status);
  });

  it("because its deadline passes before the request is complete gets a status", async () => {
    const call = client.open(KV.method.put, { "grpc-timeout": "100m" });
    await client.unary(Lease.method.leaseLeases, {});
    clock.advance(100);
    expect(await call.answer).toMatchObject({ status: "4", message: "context deadline exceeded" });
  });
});

describe("a request that is not gRPC", () => {
  it("is told what the port is for", async () => {
    const post = await fetch(`${etcd.endpoint}/v3/kv/range`, { method: "POST", body: "{}" });
    expect([post.status, await post.text()]).toEqual([415, expect.stringContaining("gRPC port of an etcd v3 server")]);
    const answer = await client.unary(KV.method.range, {}, { "content-type": "application/json" });
    expect(answer).toMatchObject({ httpStatus: 415, text: expect.stringContaining("application/grpc") });
  });

  it("gets the health and the version as etcd tells them", async () => {
    expect(await (await fetch(`${etcd.endpoint}/health`)).json()).toEqual({ health: "true" });
    expect(await (await fetch(`${etcd.endpoint}/version`)).json()).toMatchObject({ etcdserver: "3.5.30" });
  });
});

import { EtcdClient, EtcdError, type EtcdClientOptions, type WatchMessage } from "@tenure/etcd";
import { Auth, KV } from "@tenure/etcd/rpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { RawGrpcClient } from "../testing/raw-grpc-client.ts";
import { startEmbed, type TestServer } from "./index.ts";

let server: TestServer;
let clients: EtcdClient[];

beforeEach(async () => {
  server = await startEmbed();
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await server.close();
});

function connect(options: EtcdClientOptions = {}): EtcdClient {
  const client = new EtcdClient({ endpoints: [server.endpoint], ...options });
  clients.push(client);
  return client;
}

/** The next message of a watch that says something. */
async function next(watch: AsyncGenerator<WatchMessage>): Promise<WatchMessage> {
  const { value, done } = await watch.next();
  if (done === true) throw new Error("the watch ended");
  return value;
}

describe("time", () => {
  it("stands still until the test lets it pass, and then ends leases as etcd does", async () => {
    const { kv, lease } = connect();
    await lease.grant(5n, { id: 7n });
    await kv.put("a", "1", { leaseId: 7n });
    await server.advance(4900);
    expect(server.leases()).toEqual([{ id: 7n, ttlMs: 5000, remainingMs: 100, keys: ["a"] }]);
    await server.advance(600);
    expect(server.leases()).toEqual([]);
    expect((await kv.range("a")).kvs).toEqual([]);
  });

  it("is the same for a client with the server's clock", async () => {
    const { kv } = connect({ clock: server.clock });
    await kv.put("a", "1");
    server.freeze();
    const late = kv.put("a", "2", { timeoutMs: 30_000 }).catch((error: unknown) => error);
    await server.advance(30_000);
    expect(await late).toMatchObject({ code: "deadline-exceeded" });
    server.thaw();
  });

  it("begins with the same revision and the same ids each time", async () => {
    const { kv, lease } = connect();
    expect((await kv.put("a", "1")).header?.revision).toBe(2n);
    const { ID } = await lease.grant(60n);
    await using again = await startEmbed();
    await using other = new EtcdClient({ endpoints: [again.endpoint] });
    expect((await other.lease.grant(60n)).ID).toBe(ID);
    expect(server.revision).toBe(2n);
  });
});

describe("a freeze", () => {
  it("holds back requests, new connections and all that falls due, until it ends", async () => {
    const { kv, lease } = connect();
    await lease.grant(5n, { id: 7n });
    server.freeze();
    const held = [kv.put("a", "1"), connect().kv.put("b", "1")].map((put) => put.then(() => "answered"));
    await server.advance(20_000);
    expect(await Promise.race([...held, Promise.resolve("held")])).toBe("held");
    expect(server.leases()).toMatchObject([{ id: 7n, remainingMs: 0 }]);
    expect(server.revision).toBe(1n);
    server.thaw();
    expect(await Promise.all(held)).toEqual(["answered", "answered"]);
    expect(server.leases()).toEqual([]);
  });
});

describe("a connection", () => {
  it("is cut alone, and what it carried breaks", async () => {
    const [one, other] = [connect(), connect()];
    await one.kv.put("a", "1");
    const [first] = server.connections();
    await other.kv.put("a", "2");
    const watch = one.watch.watch("a", { signal: new AbortController().signal });
    await next(watch);
    expect(server.connections()).toHaveLength(2);
    first?.cut();
    await expect(next(watch)).rejects.toMatchObject({ code: "unavailable" });
    expect(server.connections().map(({ remotePort }) => remotePort)).not.toContain(first?.remotePort);
    await other.kv.put("a", "3");
    expect(server.revision).toBe(4n);
  });
});

describe("a lost reply", () => {
  it("is of a request that was carried out, which its client cannot know", async () => {
    const { kv } = connect();
    await kv.range("a");
    const lost = server.loseNextReply({ method: "Put" });
    await kv.range("a");
    const error: unknown = await kv.put("a", "1").catch((reason: unknown) => reason);
    await lost;
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: true });
    expect(error).toBeInstanceOf(EtcdError);
    expect((await kv.range("a")).kvs).toMatchObject([{ version: 1n }]);
  });

  it("may be waited for in vain", async () => {
    const { kv } = connect();
    const lost = server.loseNextReply({ by: "silence" });
    const put = kv.put("a", "1", { timeoutMs: 300 });
    await expect(put).rejects.toMatchObject({ code: "deadline-exceeded" });
    await lost;
    await kv.put("b", "1");
    expect(server.revision).toBe(3n);
  });
});

describe("what only a cluster, a disk or time would do", () => {
  it("ends a lease with all its keys in one revision", async () => {
    const { kv, lease, watch } = connect();
    await lease.grant(60n, { id: 7n });
    for (const key of ["a", "b"]) await kv.put(key, "1", { leaseId: 7n });
    const events = watch.watch({ prefix: "" }, { signal: new AbortController().signal });
    await next(events);
    expect(server.expireLease(7n)).toBe(true);
    expect(server.expireLease(7n)).toBe(false);
    const { value } = await events.next();
    expect(value).toMatchObject({ events: [{ kv: { modRevision: 4n } }, { kv: { modRevision: 4n } }] });
  });

  it("forgets history", async () => {
    const { kv, watch } = connect();
    for (const value of ["1", "2", "3"]) await kv.put("a", value);
    server.compact(3n);
    await expect(kv.range("a", { revision: 2n })).rejects.toMatchObject({ code: "compacted" });
    server.compact();
    await expect(kv.range("a", { revision: 3n })).rejects.toMatchObject({ code: "compacted" });
    expect(() => server.compact()).toThrow("mvcc: required revision has been compacted");
    const late = watch.watch("a", { startRevision: 2n, signal: new AbortController().signal });
    const listen = async (): Promise<void> => {
      for (;;) await next(late);
    };
    await expect(listen()).rejects.toMatchObject({ code: "compacted" });
  });

  it("has no space, until it has", async () => {
    const { kv } = connect();
    server.setNoSpace(true);
    await expect(kv.put("a", "1")).rejects.toMatchObject({ code: "resource-exhausted" });
    server.setNoSpace(false);
    await kv.put("a", "1");
  });

  it("gives leases their full time and an election more when the leader changes", async () => {
    const { lease } = connect();
    await lease.grant(10n, { id: 7n });
    await server.advance(9000);
    server.changeLeader();
    expect(server.leases()).toMatchObject([{ id: 7n, ttlMs: 10_000, remainingMs: 11_000 }]);
    server.changeLeader(500);
    expect(server.leases()).toMatchObject([{ remainingMs: 10_500 }]);
  });

  it.each(["simple", "signed"])("ends %s tokens", async (kind) => {
    const jwt = { signMethod: "HS256", privateKey: "a secret" } as const;
    await using own = await startEmbed(kind === "signed" ? { jwt } : {});
    const raw = new RawGrpcClient(own.endpoint);
    await raw.unary(Auth.method.userAdd, { name: "root", password: "secret" });
    await raw.unary(Auth.method.userGrantRole, { user: "root", role: "root" });
    await raw.unary(Auth.method.authEnable, {});
    const signIn = async (): Promise<string> => {
      const { messages } = await raw.unary(Auth.method.authenticate, { name: "root", password: "secret" });
      return String(Reflect.get(messages[0] ?? {}, "token"));
    };
    const read = async (token: string): Promise<string> =>
      (await raw.unary(KV.method.range, { key: Buffer.from("a") }, { token })).message ?? "";
    const token = await signIn();
    expect(token.split(".")).toHaveLength(kind === "signed" ? 3 : 2);
    expect(await read(token)).toBe("");
    own.expireTokens();
    expect(await read(token)).toBe("etcdserver: invalid auth token");
    const next = await signIn();
    expect(await read(next)).toBe("");
    await own.advance(302_000);
    expect(await read(next)).toBe("etcdserver: invalid auth token");
    raw.close();
  });
});

describe("inspection", () => {
  it("shows watches with their ranges", async () => {
    const { watch } = connect();
    const { signal } = new AbortController();
    await next(watch.watch("a", { signal }));
    await next(watch.watch({ prefix: "b/" }, { signal, startRevision: 9n }));
    expect(server.watchers()).toEqual([
      { id: 0n, key: "a", rangeEnd: "", startRevision: 0n, synced: true },
      { id: 0n, key: "b/", rangeEnd: "b0", startRevision: 9n, synced: true },
    ]);
  });
});

import { afterEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "./runtime/clock.ts";
import { EtcdError } from "./errors.ts";
import { LeaseKeepAliveResponseSchema, PutResponseSchema, WatchResponseSchema } from "./gen/rpc_pb.ts";
import { failure } from "./testing/failure.ts";
import { answer, clientOf, closeClients, FakeServer, finish, respond, send, WAIT } from "./testing/fake-server.ts";

afterEach(closeClients);

describe("a stream", () => {
  it("brings every message in order to a reader slower than the server", async () => {
    const count = 2000;
    await using server = await FakeServer.start((call) => {
      respond(call);
      send(call, WatchResponseSchema, { created: true });
      for (let revision = 1; revision <= count; revision++) {
        const kv = { key: Buffer.alloc(3000), modRevision: BigInt(revision) };
        send(call, WatchResponseSchema, { events: [{ kv }] });
      }
      finish(call, 14, "bye");
    });
    const seen: bigint[] = [];
    const watch = clientOf([server]).watch.watch("k", { signal: new AbortController().signal });
    const error = await failure(
      (async () => {
        for await (const message of watch) {
          if (message.t === "events") for (const event of message.events) seen.push(event.kv?.modRevision ?? 0n);
          await new Promise<void>((resolve) => setImmediate(resolve));
        }
      })(),
    );
    expect(error).toMatchObject({ code: "unavailable" });
    expect(error.message).toContain("bye");
    expect(seen).toEqual(Array.from({ length: count }, (_, index) => BigInt(index + 1)));
  });

  it("holds the server back while its reader is behind, and nobody else", async () => {
    await using server = await FakeServer.start((call) => {
      if (call.headers[":path"]?.endsWith("/Put") === true) return answer(call, PutResponseSchema, {});
      respond(call);
      send(call, WatchResponseSchema, { created: true });
      for (let sent = 0; sent < 400; sent++) {
        send(call, WatchResponseSchema, { events: [{ kv: { key: Buffer.alloc(100_000) } }] });
      }
    });
    const client = clientOf([server]);
    const controller = new AbortController();
    const watch = client.watch.watch("k", { signal: controller.signal });
    expect((await watch.next()).value).toMatchObject({ t: "created" });
    // Time enough for everything to arrive that is not held back.
    for (let round = 0; round < 200; round++) await client.kv.put("k", "v");
    expect(server.calls[0]?.stream.writableLength).toBeGreaterThan(1_000_000);
    controller.abort();
    await watch.return();
  });

  it("of a watch that the server cancelled is closed", async () => {
    await using server = await FakeServer.start((call) => {
      respond(call);
      send(call, WatchResponseSchema, { created: true, canceled: true, compactRevision: 3n });
    });
    const watch = clientOf([server]).watch.watch("k", { signal: new AbortController().signal });
    expect((await failure(watch.next())).code).toBe("compacted");
    await vi.waitFor(() => expect(server.calls[0]?.stream.closed).toBe(true), WAIT);
    expect(server.sessions.size).toBe(1);
  });

  it("of keep-alives answers each request, and tells the server when it is closed", async () => {
    await using server = await FakeServer.start((call) => {
      if (call.messages.length === 1) respond(call);
      send(call, LeaseKeepAliveResponseSchema, { ID: 5n, TTL: BigInt(call.messages.length) });
    });
    const controller = new AbortController();
    const { send: keepAlive, answers } = clientOf([server]).lease.keepAlive(controller.signal);
    const iterator = answers[Symbol.asyncIterator]();
    keepAlive(5n);
    expect((await iterator.next()).value).toMatchObject({ ID: 5n, TTL: 1n });
    keepAlive(5n);
    expect((await iterator.next()).value).toMatchObject({ ID: 5n, TTL: 2n });
    expect(server.calls[0]?.headers["grpc-timeout"]).toBeUndefined();
    controller.abort();
    expect((await failure(iterator.next())).code).toBe("aborted");
    await vi.waitFor(() => expect(server.calls[0]?.stream.closed).toBe(true), WAIT);
  });

  it("silent since its last request takes the connection down when its owner gives it up", async () => {
    await using server = await FakeServer.start();
    await using other = await FakeServer.start();
    const client = clientOf([server, other]);
    await client.kv.put("k", "v");
    server.onMessage = () => undefined;
    const controller = new AbortController();
    const { send: keepAlive, answers } = client.lease.keepAlive(controller.signal);
    keepAlive(5n);
    const next = failure(answers[Symbol.asyncIterator]().next());
    await vi.waitFor(() => expect(server.calls[1]?.messages).toHaveLength(1), WAIT);
    // Less is no silence.
    await new Promise<void>((resolve) => void systemClock.after(200, resolve));
    controller.abort(new EtcdError("deadline-exceeded", "silent"));
    expect((await next).code).toBe("deadline-exceeded");
    await vi.waitFor(() => expect(server.sessions.size).toBe(0), WAIT);
    await client.kv.put("k", "v");
    expect(other.calls).toHaveLength(1);
  });

  it.each([1, 2])(
    "that is suspect stays open, and calls that start now go over another connection: %d endpoints",
    async (count) => {
      await using server = await FakeServer.start(() => undefined);
      await using other = await FakeServer.start();
      const client = clientOf(count === 1 ? [server] : [server, other]);
      const controller = new AbortController();
      const { send: keepAlive, answers, suspect } = client.lease.keepAlive(controller.signal);
      const iterator = answers[Symbol.asyncIterator]();
      keepAlive(5n);
      await vi.waitFor(() => expect(server.calls[0]?.messages).toHaveLength(1), WAIT);
      suspect();
      server.onMessage = (call) => answer(call, PutResponseSchema, {});
      await client.kv.put("k", "v");
      expect([server.sessionsSeen, other.calls.length]).toEqual(count === 1 ? [2, 0] : [1, 1]);
      const [call] = server.calls;
      if (call === undefined) throw new Error("there was no call");
      respond(call);
      send(call, LeaseKeepAliveResponseSchema, { ID: 5n, TTL: 9n });
      expect((await iterator.next()).value).toMatchObject({ TTL: 9n });
      controller.abort();
      await failure(iterator.next());
      // The connection that nobody uses any more is closed.
      await vi.waitFor(() => expect(server.sessions.size).toBe(count === 1 ? 1 : 0), WAIT);
    },
  );

  it("ends as soon as the server announces its end, and the next one is opened elsewhere", async () => {
    await using server = await FakeServer.start((call) => {
      respond(call);
      send(call, WatchResponseSchema, { created: true });
    });
    const client = clientOf([server]);
    const { signal } = new AbortController();
    const watch = client.watch.watch("k", { signal });
    await watch.next();
    for (const session of server.sessions) session.goaway();
    expect(await failure(watch.next())).toMatchObject({ code: "unavailable" });
    const again = client.watch.watch("k", { signal });
    await again.next();
    expect(server.sessionsSeen).toBe(2);
    await again.return();
  });
});

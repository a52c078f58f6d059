import { channel } from "node:diagnostics_channel";
import * as http2 from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import { afterEach, describe, expect, it, vi } from "vitest";
import { PutResponseSchema, RangeResponseSchema } from "./gen/rpc_pb.ts";
import { frame } from "./rpc/framing.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { failure } from "./testing/failure.ts";
import {
  answer,
  clientOf,
  closeClients,
  FakeServer,
  finish,
  portOf,
  respond,
  send,
  trailersOnly,
  WAIT,
} from "./testing/fake-server.ts";

afterEach(closeClients);

describe("a call", () => {
  it("carries what gRPC and etcd ask for", async () => {
    await using server = await FakeServer.start();
    await clientOf([server]).kv.put("k", "v", { timeoutMs: 3000 });
    const headers: http2.IncomingHttpHeaders = server.calls[0]?.headers ?? {};
    expect(headers).toMatchObject({
      ":method": "POST",
      ":scheme": "http",
      ":path": "/etcdserverpb.KV/Put",
      ":authority": server.endpoint.slice("http://".length),
      "content-type": "application/grpc",
      te: "trailers",
      hasleader: "true",
    });
    expect(Number(/^(\d+)m$/.exec(String(headers["grpc-timeout"]))?.[1])).toBeGreaterThan(2000);
    expect(Number.parseInt(String(headers["grpc-timeout"]), 10)).toBeLessThanOrEqual(3000);
  });

  it("has five seconds unless told otherwise", async () => {
    await using server = await FakeServer.start();
    await clientOf([server], new ManualClock()).kv.put("k", "v");
    expect(server.calls[0]?.headers["grpc-timeout"]).toBe("5000m");
  });

  it("gives the answer when the status in the trailers is OK", async () => {
    await using server = await FakeServer.start((call) => answer(call, RangeResponseSchema, { count: 7n }));
    expect((await clientOf([server]).kv.range("k")).count).toBe(7n);
  });

  it("fails with the status in the trailers, even after a message", async () => {
    await using server = await FakeServer.start((call) => {
      respond(call);
      send(call, PutResponseSchema, {});
      finish(call, 5, "etcdserver: requested lease not found: 50 % ü");
    });
    const error = await failure(clientOf([server]).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "not-found", message: "etcdserver: requested lease not found: 50 % ü" });
  });

  it("fails with a status that comes without anything else", async () => {
    await using server = await FakeServer.start((call) => trailersOnly(call, 7, "etcdserver: permission denied"));
    const error = await failure(clientOf([server]).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "permission-denied", mayHaveApplied: false });
  });

  it("fails when the answer holds no message", async () => {
    await using server = await FakeServer.start((call) => trailersOnly(call, 0, ""));
    expect(await failure(clientOf([server]).kv.put("k", "v"))).toMatchObject({
      code: "internal",
      mayHaveApplied: true,
    });
  });

  it("fails when the answer ends inside a message", async () => {
    await using server = await FakeServer.start((call) => {
      respond(call);
      call.stream.write(frame(Buffer.alloc(100)).subarray(0, 50));
      finish(call, 0);
    });
    const error = await failure(clientOf([server]).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "internal", message: "the stream ended inside a message" });
  });

  it("that is reset because there are too many fails as one that may have applied", async () => {
    await using server = await FakeServer.start(({ stream }) => {
      stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
    expect(await failure(clientOf([server]).kv.put("k", "v"))).toMatchObject({
      code: "resource-exhausted",
      mayHaveApplied: true,
    });
  });

  it("fails when the answer ends without a status", async () => {
    await using server = await FakeServer.start((call) => {
      call.stream.respond({ ":status": 200, "content-type": "application/grpc" });
      send(call, PutResponseSchema, {});
      call.stream.end();
    });
    expect(await failure(clientOf([server]).kv.put("k", "v"))).toMatchObject({
      code: "unavailable",
      mayHaveApplied: true,
    });
  });

  it("carries large messages both ways", async () => {
    await using server = await FakeServer.start((call) => {
      const size = call.messages[0]?.byteLength ?? 0;
      answer(call, RangeResponseSchema, {
        kvs: [{ key: Buffer.from("k"), value: Buffer.alloc(20 << 20, size % 251) }],
      });
    });
    const key = Buffer.alloc(3 << 20, "k");
    const { kvs } = await clientOf([server]).kv.range(key);
    const sent = server.calls[0]?.messages[0]?.byteLength ?? 0;
    expect(sent).toBeGreaterThan(3 << 20);
    expect(Buffer.compare(kvs[0]?.value ?? new Uint8Array(), Buffer.alloc(20 << 20, sent % 251))).toBe(0);
  });

  it("is published for whoever counts calls", async () => {
    await using server = await FakeServer.start();
    const seen: unknown[] = [];
    const onCall = (event: unknown): void => void seen.push(event);
    channel("tenure:rpc").subscribe(onCall);
    await clientOf([server]).kv.put("k", "v");
    channel("tenure:rpc").unsubscribe(onCall);
    expect(seen).toEqual([{ method: "etcdserverpb.KV/Put", endpoint: server.endpoint }]);
  });

  it("and others share one connection", async () => {
    await using server = await FakeServer.start();
    const client = clientOf([server]);
    await Promise.all(Array.from({ length: 20 }, () => client.kv.put("k", "v")));
    await client.kv.put("k", "v");
    expect([server.sessionsSeen, server.calls.length]).toEqual([1, 21]);
  });
});

describe("an answer that is not gRPC", () => {
  it.each([
    [404, "text/plain", "unimplemented"],
    [401, "text/html", "unauthenticated"],
    [403, "text/html", "permission-denied"],
    [502, "text/html; charset=utf-8", "unavailable"],
    [200, "text/html", "unavailable"],
  ])("over HTTP/2 with status %d and %s is %s", async (status, type, code) => {
    await using server = await FakeServer.start(({ stream }) => {
      stream.respond({ ":status": status, "content-type": type });
      stream.end("<html>go away</html>");
    });
    const error = await failure(clientOf([server]).kv.put("k", "v"));
    expect(error.code).toBe(code);
    expect(error.message).toContain(`HTTP status ${status} with ${type}`);
    expect(error.message).not.toContain("go away");
  });

  it("over HTTP/1 says that it is not HTTP/2", async () => {
    const server = net.createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${portOf(server)}`;
    const error = await failure(clientOf([endpoint]).kv.put("k", "v"));
    server.close();
    expect(error.code).toBe("unavailable");
    expect(error.message).toContain(endpoint);
    expect(error.message).toMatch(/HTTP\/2.* https:\/\//);
  });

  it("from a plain port where TLS was meant says so", async () => {
    await using server = await FakeServer.start();
    const error = await failure(clientOf([server.endpoint.replace("http:", "https:")]).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(error.message).toContain("is it an http:// endpoint?");
  });

  it("from a port with TLS where none was meant says so", async () => {
    const server = tls.createServer();
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const error = await failure(clientOf([`http://127.0.0.1:${portOf(server)}`]).kv.put("k", "v"));
    server.close();
    expect(error.code).toBe("unavailable");
    expect(error.message).toContain("expect https://?");
  });
});

describe("a deadline", () => {
  it("ends a call that is not answered, and the silent connection with it", async () => {
    await using server = await FakeServer.start();
    const clock = new ManualClock();
    const client = clientOf([server], clock);
    await client.kv.put("k", "v");
    server.onMessage = () => undefined;
    const call = failure(client.kv.put("k", "v", { timeoutMs: 1500 }));
    await vi.waitFor(() => expect(server.calls).toHaveLength(2), WAIT);
    clock.advance(1499);
    expect(server.sessions.size).toBe(1);
    clock.advance(1);
    const error = await call;
    expect(error).toMatchObject({ code: "deadline-exceeded", mayHaveApplied: true });
    expect(error.message).toContain(server.endpoint);
    server.onMessage = (message) => answer(message, PutResponseSchema, {});
    await client.kv.put("k", "v");
    expect(server.sessionsSeen).toBe(2);
    await vi.waitFor(() => expect(server.sessions.size).toBe(1), WAIT);
  });

  it("leaves a connection alone when the caller was in a hurry", async () => {
    await using server = await FakeServer.start();
    const clock = new ManualClock();
    const client = clientOf([server], clock);
    await client.kv.put("k", "v");
    server.onMessage = () => undefined;
    const call = failure(client.kv.put("k", "v", { timeoutMs: 700 }));
    await vi.waitFor(() => expect(server.calls).toHaveLength(2), WAIT);
    clock.advance(700);
    expect(await call).toMatchObject({ code: "deadline-exceeded" });
    server.onMessage = (message) => answer(message, PutResponseSchema, {});
    await client.kv.put("k", "v");
    expect(server.sessionsSeen).toBe(1);
  });

  it("takes down a connection that answers neither callers in a hurry nor the ping that they lead to", async () => {
    const ends: boolean[] = [];
    const server = net.createServer((socket) => {
      const at = ends.push(false) - 1;
      socket.on("error", () => undefined).on("close", () => (ends[at] = true));
      socket.resume();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const clock = new ManualClock();
    const client = clientOf([`http://127.0.0.1:${portOf(server)}`], clock);
    const call = failure(client.kv.put("k", "v", { timeoutMs: 700 }));
    await vi.waitFor(() => expect(ends).toEqual([false]), WAIT);
    // The connection has been made here, too, and is not waited for any more.
    await vi.waitFor(() => expect(clock.due).toEqual([700]), WAIT);
    clock.advance(700);
    expect(await call).toMatchObject({ code: "deadline-exceeded" });
    expect(clock.due).toEqual([1000]);
    clock.advance(1000);
    await vi.waitFor(() => expect(ends).toEqual([true]), WAIT);
    server.close();
  });

  it("leaves a connection alone that brought something meanwhile", async () => {
    await using server = await FakeServer.start();
    const clock = new ManualClock();
    const client = clientOf([server], clock);
    await client.kv.put("k", "v");
    server.onMessage = (call) => {
      if (call.headers[":path"]?.endsWith("/Range") === true) answer(call, RangeResponseSchema, {});
    };
    const silent = failure(client.kv.put("k", "v", { timeoutMs: 700 }));
    await vi.waitFor(() => expect(server.paths).toEqual(["Put", "Put"]), WAIT);
    await client.kv.range("k");
    clock.advance(700);
    expect((await silent).code).toBe("deadline-exceeded");
    await client.kv.range("k");
    expect(server.sessionsSeen).toBe(1);
  });

  it("leaves no timer behind after an answer", async () => {
    await using server = await FakeServer.start();
    const clock = new ManualClock();
    await clientOf([server], clock).kv.put("k", "v");
    expect(clock.due).toEqual([]);
  });
});

describe("aborting", () => {
  it("ends a call, tells the server, and leaves the connection alone", async () => {
    await using server = await FakeServer.start(() => undefined);
    const client = clientOf([server]);
    const controller = new AbortController();
    const call = failure(client.kv.put("k", "v", { signal: controller.signal }));
    await vi.waitFor(() => expect(server.calls[0]?.messages).toHaveLength(1), WAIT);
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await call).toMatchObject({ code: "aborted", cause: reason, mayHaveApplied: true });
    await vi.waitFor(() => expect(server.calls[0]?.stream.rstCode).toBe(http2.constants.NGHTTP2_CANCEL), WAIT);
    server.onMessage = (message) => answer(message, PutResponseSchema, {});
    await client.kv.put("k", "v");
    expect(server.sessionsSeen).toBe(1);
  });

  it("before a call sends nothing", async () => {
    await using server = await FakeServer.start();
    const client = clientOf([server]);
    expect((await failure(client.kv.put("k", "v", { signal: AbortSignal.abort() }))).code).toBe("aborted");
    await client.kv.range("k");
    expect(server.paths).toEqual(["Range"]);
  });
});

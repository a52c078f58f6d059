import { channel } from "node:diagnostics_channel";
import * as http2 from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it, vi } from "vitest";
import { EtcdClient } from "./client.ts";
import { EtcdError } from "./errors.ts";
import {
  LeaseKeepAliveResponseSchema,
  PutResponseSchema,
  RangeResponseSchema,
  WatchResponseSchema,
} from "./gen/rpc_pb.ts";
import { FrameReader, frame } from "./rpc/framing.ts";
import { encodeGrpcMessage } from "./rpc/status.ts";
import { type Clock, systemClock } from "./runtime/clock.ts";

const WAIT = { timeout: 5000, interval: 2 };
const MAX_BYTES = 64 * 1024 * 1024;

/** One call as the server sees it. */
interface ServerCall {
  readonly stream: http2.ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  /** Bodies of the messages so far. */
  readonly messages: Uint8Array[];
}

/** A gRPC server that answers as the test says. */
class FakeServer implements AsyncDisposable {
  readonly calls: ServerCall[] = [];
  readonly sessions = new Set<http2.ServerHttp2Session>();
  sessionsSeen = 0;
  /** Called with each message of a call. */
  onMessage: (call: ServerCall) => void = (call) => answer(call, PutResponseSchema, {});
  readonly #server = http2.createServer({ maxSessionMemory: 256, settings: { initialWindowSize: 1024 * 1024 } });

  private constructor() {
    this.#server.on("session", (session) => {
      this.sessionsSeen++;
      this.sessions.add(session);
      session.on("error", () => undefined);
      session.once("close", () => this.sessions.delete(session));
    });
    this.#server.on("stream", (stream, headers) => {
      const call: ServerCall = { stream, headers, messages: [] };
      this.calls.push(call);
      const reader = new FrameReader(MAX_BYTES);
      stream.on("error", () => undefined);
      stream.on("data", (chunk: Buffer) => {
        for (const message of reader.push(chunk)) {
          call.messages.push(message);
          this.onMessage(call);
        }
      });
    });
  }

  static async start(onMessage?: (call: ServerCall) => void): Promise<FakeServer> {
    const fake = new FakeServer();
    if (onMessage !== undefined) fake.onMessage = onMessage;
    await new Promise<void>((resolve) => fake.#server.listen(0, "127.0.0.1", resolve));
    return fake;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${portOf(this.#server)}`;
  }

  get paths(): (string | undefined)[] {
    return this.calls.map(({ headers }) => headers[":path"]?.split("/").at(-1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function portOf(server: net.Server | http2.Http2Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function respond(call: ServerCall): void {
  call.stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
}

/** Ends a call with a status in trailers. */
function finish({ stream }: ServerCall, status: number, message = ""): void {
  stream.on("wantTrailers", () =>
    stream.sendTrailers({ "grpc-status": String(status), "grpc-message": encodeGrpcMessage(message) }),
  );
  stream.end();
}

function send<D extends DescMessage>(call: ServerCall, schema: D, fields: MessageInitShape<D>): void {
  call.stream.write(frame(toBinary(schema, create(schema, fields))));
}

function answer<D extends DescMessage>(call: ServerCall, schema: D, fields: MessageInitShape<D>): void {
  respond(call);
  send(call, schema, fields);
  finish(call, 0);
}

function trailersOnly(call: ServerCall, status: number, message: string): void {
  const headers = { ":status": 200, "content-type": "application/grpc", "grpc-status": String(status) };
  call.stream.respond({ ...headers, "grpc-message": encodeGrpcMessage(message) }, { endStream: true });
}

/** Time that passes only when it is told to. */
class ManualClock implements Clock {
  readonly timers = new Set<{ readonly dueAt: number; readonly callback: () => void }>();
  #nowMs = 0;
  now(): number {
    return this.#nowMs;
  }
  date(): Date {
    return new Date(this.#nowMs);
  }
  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueAt: this.#nowMs + delayMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }
  advance(byMs: number): void {
    this.#nowMs += byMs;
    for (const timer of [...this.timers].toSorted((a, b) => a.dueAt - b.dueAt)) {
      if (timer.dueAt <= this.#nowMs && this.timers.delete(timer)) timer.callback();
    }
  }
}

const clients: EtcdClient[] = [];

/** A client that tries the endpoints in the order given. */
function clientOf(endpoints: readonly (FakeServer | string)[], clock: Clock = systemClock): EtcdClient {
  const urls = endpoints.map((endpoint) => (typeof endpoint === "string" ? endpoint : endpoint.endpoint));
  const client = new EtcdClient({
    endpoints: urls,
    clock,
    connectTimeoutMs: 1000,
    random: { fraction: () => 0, bits: () => 1n },
  });
  clients.push(client);
  return client;
}

async function failure(call: Promise<unknown>): Promise<EtcdError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof EtcdError) return error;
    throw error;
  }
  throw new Error("the call succeeded");
}

/** An endpoint of this machine where nothing listens. */
async function deadEndpoint(): Promise<string> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const port = portOf(server);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return `http://127.0.0.1:${port}`;
}

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

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

describe("another endpoint", () => {
  it("is taken when nothing listens at the first, and kept for the next call", async () => {
    const dead = await deadEndpoint();
    await using server = await FakeServer.start();
    const client = clientOf([dead, server]);
    await client.kv.put("k", "v");
    await client.kv.put("k", "v");
    expect(server.calls).toHaveLength(2);
  });

  it("is taken for a call that the first refused to read", async () => {
    await using first = await FakeServer.start(({ stream }) => stream.close(http2.constants.NGHTTP2_REFUSED_STREAM));
    await using second = await FakeServer.start();
    const client = clientOf([first, second]);
    await client.kv.put("k", "v");
    expect([first.calls.length, second.calls.length]).toEqual([1, 1]);
    await client.kv.put("k", "v");
    expect([first.calls.length, second.calls.length]).toEqual([1, 2]);
  });

  it.each([
    ["CANCEL", http2.constants.NGHTTP2_CANCEL],
    ["INTERNAL_ERROR", http2.constants.NGHTTP2_INTERNAL_ERROR],
    ["NO_ERROR", http2.constants.NGHTTP2_NO_ERROR],
  ])("is not given a write that the first may have read, when it is reset with %s", async (_name, code) => {
    await using first = await FakeServer.start(({ stream }) => stream.close(code));
    await using second = await FakeServer.start();
    const error = await failure(clientOf([first, second]).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: true });
    expect(error.message).toContain(first.endpoint);
    expect(second.calls).toHaveLength(0);
  });

  it("is not given a write that was in flight when the connection broke, but the next call", async () => {
    await using first = await FakeServer.start(({ stream }) => stream.session?.destroy());
    await using second = await FakeServer.start();
    const client = clientOf([first, second]);
    const error = await failure(client.kv.put("k", "v"));
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: true });
    expect(second.calls).toHaveLength(0);
    await client.kv.put("k", "v");
    expect(second.calls).toHaveLength(1);
  });

  it("is not asked after an answer that is a refusal", async () => {
    await using first = await FakeServer.start((call) => trailersOnly(call, 3, "etcdserver: key is not provided"));
    await using second = await FakeServer.start();
    expect((await failure(clientOf([first, second]).kv.put("k", "v"))).code).toBe("invalid-argument");
    expect(second.calls).toHaveLength(0);
  });

  it("is taken when the first does not finish a connection in time", async () => {
    const silent = net.createServer((socket) => socket.on("error", () => undefined));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const url = `https://127.0.0.1:${portOf(silent)}`;
    const other = (await deadEndpoint()).replace("http:", "https:");
    const clock = new ManualClock();
    const call = failure(clientOf([url, other], clock).kv.put("k", "v"));
    await vi.waitFor(() => expect(clock.timers.size).toBe(2), WAIT);
    clock.advance(1000);
    const error = await call;
    silent.close();
    expect(error.message).toContain(`${url}: no connection within 1000 ms`);
    expect(error.message).toContain(`${other}: connection refused`);
  });

  it("being dead too, one error names each", async () => {
    const dead = [await deadEndpoint(), await deadEndpoint()];
    const error = await failure(clientOf(dead).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    for (const url of dead) expect(error.message).toContain(`${url}: connection refused`);
  });
});

describe("a deadline", () => {
  it("ends a call that is not answered, and the silent connection with it", async () => {
    await using server = await FakeServer.start();
    const clock = new ManualClock();
    const client = clientOf([server], clock);
    await client.kv.put("k", "v");
    server.onMessage = () => undefined;
    const call = failure(client.kv.put("k", "v", { timeoutMs: 700 }));
    await vi.waitFor(() => expect(server.calls).toHaveLength(2), WAIT);
    clock.advance(699);
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
    expect(clock.timers.size).toBe(0);
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

describe("a connection", () => {
  it("is not used for new calls after a GOAWAY, while its open calls finish", async () => {
    await using server = await FakeServer.start(() => undefined);
    const client = clientOf([server]);
    const first = client.kv.put("k", "v");
    await vi.waitFor(() => expect(server.calls[0]?.messages).toHaveLength(1), WAIT);
    server.onMessage = (call) => answer(call, PutResponseSchema, {});
    for (const session of server.sessions) session.close();
    // A call that crosses the GOAWAY is refused; those after it go over a new connection.
    await vi.waitFor(() => client.kv.put("k", "v"), WAIT);
    expect(server.sessionsSeen).toBe(2);
    expect(server.sessions.size).toBe(2);
    const [open] = server.calls;
    if (open !== undefined) answer(open, PutResponseSchema, {});
    await expect(first).resolves.toBeDefined();
    await vi.waitFor(() => expect(server.sessions.size).toBe(1), WAIT);
  });

  it("is made anew after the server closed it", async () => {
    await using server = await FakeServer.start();
    const client = clientOf([server]);
    await client.kv.put("k", "v");
    for (const session of server.sessions) session.destroy();
    await vi.waitFor(async () => {
      await client.kv.put("k", "v");
      expect(server.sessionsSeen).toBe(2);
    }, WAIT);
  });

  it("that is closed ends its calls, and refuses others without asking anybody", async () => {
    await using server = await FakeServer.start(() => undefined);
    const client = clientOf([server]);
    const call = failure(client.kv.put("k", "v"));
    await vi.waitFor(() => expect(server.calls).toHaveLength(1), WAIT);
    await client.close();
    expect((await call).code).toBe("unavailable");
    const refused = await failure(client.kv.put("k", "v"));
    expect(refused).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(refused.message).toContain("the client is closed");
    await vi.waitFor(() => expect(server.sessions.size).toBe(0), WAIT);
    expect(server.calls).toHaveLength(1);
  });

  it("that is closed while it is being made ends the calls that wait for it", async () => {
    await using server = await FakeServer.start();
    const client = clientOf([server]);
    const call = failure(client.kv.put("k", "v"));
    await client.close();
    expect(await call).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(server.calls).toHaveLength(0);
  });
});

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
    controller.abort(new EtcdError("deadline-exceeded", "silent"));
    expect((await next).code).toBe("deadline-exceeded");
    await vi.waitFor(() => expect(server.sessions.size).toBe(0), WAIT);
    await client.kv.put("k", "v");
    expect(other.calls).toHaveLength(1);
  });
});

import * as http2 from "node:http2";
import * as net from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { EtcdError } from "./errors.ts";
import { PutResponseSchema } from "./gen/rpc_pb.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { failure } from "./testing/failure.ts";
import {
  answer,
  clientOf,
  closeClients,
  deadEndpoint,
  FakeServer,
  portOf,
  type ServerCall,
  trailersOnly,
  WAIT,
} from "./testing/fake-server.ts";

afterEach(closeClients);

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
    [14, "etcdserver: no leader"],
    [9, "etcdserver: rpc not supported for learner"],
  ])("is taken for a call that the first member refused for what it is: %i %s", async (status, message) => {
    await using first = await FakeServer.start((call) => trailersOnly(call, status, message));
    await using second = await FakeServer.start();
    const client = clientOf([first, second]);
    await client.kv.put("k", "v");
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
    await vi.waitFor(() => expect(clock.due).toHaveLength(2), WAIT);
    clock.advance(1000);
    const error = await call;
    silent.close();
    expect(error.message).toContain(`${url}: no connection within 1000 ms`);
    expect(error.message).toContain(`${other}: connection refused`);
  });

  it("is taken after a keep-alive was not answered, although the first answers other calls", async () => {
    const onlyPuts = (call: ServerCall): void => {
      if (call.headers[":path"]?.endsWith("/Put") === true) answer(call, PutResponseSchema, {});
    };
    await using first = await FakeServer.start(onlyPuts);
    await using second = await FakeServer.start(onlyPuts);
    const client = clientOf([first, second]);
    /** Opens a stream of keep-alives, and gives it up once `server` has the first. */
    const keepAlive = async (server: FakeServer, meanwhile: () => Promise<unknown>): Promise<void> => {
      const controller = new AbortController();
      const { send, answers } = client.lease.keepAlive(controller.signal);
      send(5n);
      const next = failure(answers[Symbol.asyncIterator]().next());
      await vi.waitFor(() => expect(server.paths).toContain("LeaseKeepAlive"), WAIT);
      await vi.waitFor(() => expect(server.calls.at(-1)?.messages).toHaveLength(1), WAIT);
      await meanwhile();
      controller.abort(new EtcdError("deadline-exceeded", "not answered in time"));
      expect((await next).code).toBe("deadline-exceeded");
    };
    await keepAlive(first, () => client.kv.put("k", "v"));
    await keepAlive(second, () => Promise.resolve());
    expect(first.sessions.size).toBe(1);
    expect([first.paths, second.paths]).toEqual([["LeaseKeepAlive", "Put"], ["LeaseKeepAlive"]]);
  });

  it("being dead too, one error names each", async () => {
    const dead = [await deadEndpoint(), await deadEndpoint()];
    const error = await failure(clientOf(dead).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    for (const url of dead) expect(error.message).toContain(`${url}: connection refused`);
  });
});

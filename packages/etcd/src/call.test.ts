import * as http2 from "node:http2";
import { afterEach, describe, expect, it, vi } from "vitest";
import { PutResponseSchema, WatchResponseSchema } from "./gen/rpc_pb.ts";
import { failure } from "./testing/failure.ts";
import { clientOf, closeClients, FakeServer, finish, respond, send, WAIT } from "./testing/fake-server.ts";

afterEach(closeClients);

describe("an answer", () => {
  it.each(["application/grpc", "application/grpc+proto", "application/grpc;v=1", "Application/GRPC"])(
    "of type %s is gRPC",
    async (type) => {
      await using server = await FakeServer.start((call) => {
        call.stream.respond({ ":status": 200, "content-type": type }, { waitForTrailers: true });
        send(call, PutResponseSchema, {});
        finish(call, 0);
      });
      expect(await clientOf([server]).kv.put("k", "v")).toBeDefined();
    },
  );

  it.each(["application/grpc-web", "application/grpcx"])("of type %s is not", async (type) => {
    await using server = await FakeServer.start((call) => {
      call.stream.respond({ ":status": 200, "content-type": type });
      call.stream.end();
    });
    const error = await failure(clientOf([server]).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "unavailable", message: expect.stringContaining("not gRPC") });
  });

  it("that has a status of gRPC beside one of HTTP means the first", async () => {
    await using server = await FakeServer.start(({ stream }) => {
      const headers = {
        ":status": 400,
        "content-type": "application/grpc",
        "grpc-status": "8",
        "grpc-message": "full",
      };
      stream.respond(headers, { endStream: true });
    });
    expect(await failure(clientOf([server]).kv.put("k", "v"))).toMatchObject({
      code: "resource-exhausted",
      message: "full",
    });
  });

  it("that had begun before the call was refused leaves open what it did", async () => {
    await using server = await FakeServer.start((call) => {
      respond(call);
      setImmediate(() => call.stream.close(http2.constants.NGHTTP2_REFUSED_STREAM));
    });
    await using other = await FakeServer.start();
    const error = await failure(clientOf([server, other]).kv.put("k", "v"));
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: true });
    expect(other.calls).toEqual([]);
  });

  it("that ends without a status is told from a connection that was lost", async () => {
    await using server = await FakeServer.start((call) => {
      if (server.calls.length === 1) call.stream.respond({ ":status": 200, "content-type": "application/grpc" });
      if (server.calls.length === 1) call.stream.end();
      else call.stream.session?.destroy();
    });
    const client = clientOf([server]);
    expect((await failure(client.kv.put("k", "v"))).message).toContain("ended the call without a status");
    expect((await failure(client.kv.put("k", "v"))).message).toContain("connection was lost");
  });

  it("that ends while our side is open closes that, too", async () => {
    await using server = await FakeServer.start((call) => {
      respond(call);
      send(call, WatchResponseSchema, { created: true });
      finish(call, 14, "bye");
    });
    const watch = clientOf([server]).watch.watch("k", { signal: new AbortController().signal });
    await watch.next();
    await failure(watch.next());
    await vi.waitFor(() => expect(server.calls[0]?.stream.readableEnded).toBe(true), WAIT);
  });
});

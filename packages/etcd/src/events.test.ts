import { subscribe, unsubscribe } from "node:diagnostics_channel";
import * as net from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type ConnectionClosedEvent, publishRetry, publishRpc } from "./events.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { failure } from "./testing/failure.ts";
import { clientOf, closeClients, deadEndpoint, FakeServer, portOf, WAIT } from "./testing/fake-server.ts";

const CHANNELS = [
  "tenure:rpc",
  "tenure:rpc:retried",
  "tenure:connection:opened",
  "tenure:connection:closed",
  "tenure:connection:failed",
];
const PUT = "etcdserverpb.KV/Put";

/** What was published, in order. */
let published: [string, unknown][] = [];
const onMessage = (message: unknown, name: string | symbol): void => void published.push([String(name), message]);

beforeEach(() => {
  published = [];
  for (const name of CHANNELS) subscribe(name, onMessage);
});
afterEach(closeClients);
afterEach(() => {
  for (const name of CHANNELS) unsubscribe(name, onMessage);
});

/** Why connections to an endpoint ended. */
const endings = (endpoint: string): string[] =>
  published
    .filter(([name]) => name === "tenure:connection:closed")
    .map(([, event]) => event as ConnectionClosedEvent)
    .filter((event) => event.endpoint === endpoint)
    .map(({ why }) => why);

describe("a client tells on its diagnostics channels", () => {
  it("of the connection it opens, each request, and its end", async () => {
    await using server = await FakeServer.start();
    const { endpoint } = server;
    const client = clientOf([server]);
    await client.kv.put("k", "v");
    await client.kv.put("k", "v");
    await client.close();
    await vi.waitFor(() => expect(endings(endpoint)).toHaveLength(1), WAIT);
    expect(published).toEqual([
      ["tenure:connection:opened", { endpoint }],
      ["tenure:rpc", { method: PUT, endpoint }],
      ["tenure:rpc", { method: PUT, endpoint }],
      ["tenure:connection:closed", { endpoint, why: "closed" }],
    ]);
  });

  it("of an endpoint that cannot be connected to, and where the request goes instead", async () => {
    const dead = await deadEndpoint();
    await using server = await FakeServer.start();
    const { endpoint } = server;
    await clientOf([dead, server]).kv.put("k", "v");
    const reason = "connection refused: nothing listens there";
    expect(published).toEqual([
      ["tenure:connection:failed", { endpoint: dead, reason }],
      ["tenure:rpc:retried", { method: PUT, endpoint, failedEndpoint: dead, reason }],
      ["tenure:connection:opened", { endpoint }],
      ["tenure:rpc", { method: PUT, endpoint }],
    ]);
  });

  it("of a connection that broke", async () => {
    const server = net.createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${portOf(server)}`;
    await failure(clientOf([endpoint]).kv.put("k", "v"));
    server.close();
    await vi.waitFor(() => expect(endings(endpoint)).toEqual(["lost"]), WAIT);
  });

  it("of a server that goes away", async () => {
    await using server = await FakeServer.start();
    await clientOf([server]).kv.put("k", "v");
    for (const session of server.sessions) session.close();
    await vi.waitFor(() => expect(endings(server.endpoint)).toEqual(["goaway"]), WAIT);
  });

  it("of a connection that is left because an answer on it was overdue", async () => {
    await using server = await FakeServer.start(() => undefined);
    const controller = new AbortController();
    const { send, answers, suspect } = clientOf([server]).lease.keepAlive(controller.signal);
    const next = failure(answers[Symbol.asyncIterator]().next());
    send(5n);
    await vi.waitFor(() => expect(server.calls[0]?.messages).toHaveLength(1), WAIT);
    suspect();
    expect(endings(server.endpoint)).toEqual([]);
    controller.abort();
    await next;
    await vi.waitFor(() => expect(endings(server.endpoint)).toEqual(["suspect"]), WAIT);
  });

  it("of a connection that it gives up because nothing arrives", async () => {
    await using server = await FakeServer.start();
    const clock = new ManualClock();
    const client = clientOf([server], clock);
    await client.kv.put("k", "v");
    server.onMessage = () => undefined;
    const unanswered = failure(client.kv.put("k", "v", { timeoutMs: 1500 }));
    await vi.waitFor(() => expect(server.calls).toHaveLength(2), WAIT);
    clock.advance(1500);
    expect((await unanswered).code).toBe("deadline-exceeded");
    await vi.waitFor(() => expect(endings(server.endpoint)).toEqual(["silent"]), WAIT);
  });
});

describe("without a subscriber", () => {
  it("nothing is made to be published", () => {
    for (const name of CHANNELS) unsubscribe(name, onMessage);
    const unread = vi.fn<() => never>(() => {
      throw new Error("was read");
    });
    const method = Object.defineProperty({ parent: { typeName: "" }, name: "" }, "name", { get: unread });
    publishRpc(method, "http://a");
    publishRetry(method, "http://a", { url: "http://b", error: new Error("away") });
    expect(unread).not.toHaveBeenCalled();
  });
});

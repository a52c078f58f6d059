// How calls run and end from our side: half-close, cancellation, deadlines, silence, flow control, leaks.
import { getEventListeners } from "node:events";
import { createServer } from "node:http2";
import { describe, expect, it } from "vitest";
import { portOf } from "../../packages/etcd/src/testing/fake-server.ts";
import { settled, until } from "../support/until.ts";
import { answer, message, okHeaders, trailers } from "./answers.ts";
import { clientNames, connectTo } from "./clients.ts";
import { countingClock } from "./leaks.ts";
import { readToEnd, unaryOutcome } from "./outcome.ts";
import { RawServer, type RawStream } from "./raw-server.ts";

const CANCEL = 8;

/** The one call of a server, when its first message has come. */
async function callOf(server: RawServer): Promise<RawStream> {
  return await until(() => server.streams.find(({ messages }) => messages.length > 0), { what: "call" });
}

/** What our stack says where others say canceled or deadline-exceeded. */
function cancelled(name: string): string {
  return name === "ours" ? "aborted" : "canceled";
}

describe.each(clientNames)("%s", (name) => {
  it("answers and asks in turn on a stream, and closes its half when told", async () => {
    await using server = await RawServer.start({ onMessage: (stream) => echo(stream) });
    const client = connectTo(name, server.endpoint);
    const stream = client.keepAlive();
    for (let round = 1n; round <= 3n; round++) {
      stream.send(round);
      expect((await settled(stream.answers.next(), { what: "answer" })).value).toBe(round);
    }
    const call = await callOf(server);
    expect(call.clientEnded).toBe(false);
    stream.halfClose();
    await until(() => call.clientEnded, { what: "half-close" });
    trailers(call, 0);
    expect((await settled(stream.answers.next(), { what: "end" })).done).toBe(true);
    client.close();
  });

  it("reads on after it has closed its half", async () => {
    await using server = await RawServer.start({});
    const client = connectTo(name, server.endpoint);
    const stream = client.keepAlive();
    stream.send(1n);
    stream.halfClose();
    const end = readToEnd(stream.answers);
    const call = await until(() => server.streams.find(({ clientEnded }) => clientEnded), { what: "half-close" });
    call.headers(okHeaders);
    for (let count = 0; count < 3; count++) call.data(message());
    trailers(call, 0);
    expect(await settled(end, { what: "end" })).toMatchObject({ code: "ok", messages: 3 });
    client.close();
  });

  it("takes the end of a stream whose half it has not closed, and lets it go", async () => {
    await using server = await RawServer.start({ onCall: (stream) => answer(stream, [message()], 9) });
    const client = connectTo(name, server.endpoint);
    const stream = client.keepAlive();
    stream.send(1n);
    expect(await settled(readToEnd(stream.answers), { what: "end" })).toMatchObject({
      code: "failed-precondition",
      messages: 1,
    });
    const call = await callOf(server);
    // connect-node keeps its half open for as long as the server does not reset the stream.
    if (name !== "connect-node") await until(() => call.isOver, { what: "end of our half" });
    client.close();
  });

  it.each(["before the answer", "after its headers", "after a message"])("cancels a stream %s", async (stage) => {
    await using server = await RawServer.start({
      onCall: (stream) => {
        if (stage !== "before the answer") stream.headers(okHeaders);
        if (stage === "after a message") stream.data(message());
      },
    });
    const client = connectTo(name, server.endpoint);
    const { signal, abort } = aborting();
    const stream = client.keepAlive({ signal });
    stream.send(1n);
    const end = readToEnd(stream.answers);
    const call = await callOf(server);
    if (stage === "after a message") await until(() => call.sentBytes > 0, { what: "message" });
    abort();
    const messages = (await settled(end, { what: "end" })).messages;
    expect(messages).toBeLessThanOrEqual(stage === "after a message" ? 1 : 0);
    await until(() => call.resetBy === CANCEL, { what: "reset with CANCEL" });
    expect(server.openConnections).toBe(1);
    client.close();
  });

  it("cancels a unary call, and uses the connection again", async () => {
    let calls = 0;
    await using server = await RawServer.start({ onCall: (stream) => (++calls === 1 ? undefined : answer(stream)) });
    const client = connectTo(name, server.endpoint);
    const { signal, abort } = aborting();
    const call = unaryOutcome(client, { signal });
    const { connection } = await callOf(server);
    abort();
    expect((await settled(call, { what: "end" })).code).toBe(cancelled(name));
    await until(() => [...connection.streams.values()][0]?.resetBy === CANCEL, { what: "reset with CANCEL" });
    expect((await unaryOutcome(client)).code).toBe("ok");
    expect(server.connections).toHaveLength(1);
    client.close();
  });

  it("sends nothing for a call that is cancelled before it begins", async () => {
    await using server = await RawServer.start({ onCall: (stream) => answer(stream) });
    const client = connectTo(name, server.endpoint);
    expect((await unaryOutcome(client)).code).toBe("ok");
    // grpc-js knows no signal: its calls are cancelled when they run.
    const late = name === "grpc-js" ? undefined : await unaryOutcome(client, { signal: AbortSignal.abort() });
    expect(late?.code).toBe(name === "grpc-js" ? undefined : cancelled(name));
    expect(server.streams).toHaveLength(1);
    client.close();
  });

  it("gives up at its deadline a server that stays silent after half a message", async () => {
    await using server = await RawServer.start({
      onCall: (stream) => {
        stream.headers(okHeaders);
        stream.data(message().subarray(0, 7));
      },
    });
    const client = connectTo(name, server.endpoint);
    expect((await unaryOutcome(client, { timeoutMs: 150 })).code).toBe("deadline-exceeded");
    const call = await callOf(server);
    // connect-node forgets the stream, and it stays open.
    if (name !== "connect-node") await until(() => call.resetBy === CANCEL, { what: "reset with CANCEL" });
    client.close();
  });

  it("tells the server its deadline", async () => {
    const timeouts: (string | undefined)[] = [];
    const server = createServer();
    server.on("stream", (stream, headers) => {
      timeouts.push(headers["grpc-timeout"] as string | undefined);
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "5" }, { endStream: true });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = connectTo(name, `http://127.0.0.1:${portOf(server)}`);
    for (const timeoutMs of [200, 90_000, 7_200_000]) await unaryOutcome(client, { timeoutMs });
    client.close();
    server.close();
    const inMs = timeouts.map((text = "") => Number(text.slice(0, -1)) * (text.endsWith("S") ? 1000 : 1));
    for (const [index, timeoutMs] of [200, 90_000, 7_200_000].entries()) {
      expect(timeouts[index]).toMatch(/^\d{1,8}[mS]$/);
      // What went by before the request was sent is taken off.
      expect(inMs[index]).toBeLessThanOrEqual(timeoutMs);
      expect(inMs[index]).toBeGreaterThan(timeoutMs * 0.5);
    }
  });

  it("waits for room to send, and keeps to what it is given", async () => {
    let calls = 0;
    await using server = await RawServer.start({
      onConnection: (connection) => connection.settings({ initialWindowSize: 0 }),
      onCall: (stream) => (++calls === 1 ? undefined : answer(stream)),
      givesRoom: false,
    });
    const client = connectTo(name, server.endpoint);
    // Before it knows the settings it may send as much as HTTP/2 allows by itself.
    const first = client.put(Buffer.alloc(10));
    const known = await until(() => server.streams[0], { what: "call" });
    if (known.messages.length === 0) known.connection.settings({ initialWindowSize: 100 });
    await until(() => known.messages.length === 1, { what: "message" });
    known.connection.settings({ initialWindowSize: 0 });
    answer(known);
    await settled(first, { what: "answer" });
    const call = client.put(Buffer.alloc(1000));
    const opened = await until(() => server.streams[1], { what: "second call" });
    expect(opened.messages).toEqual([]);
    opened.connection.settings({ initialWindowSize: 2000 });
    await until(() => opened.messages.length === 1, { what: "message" });
    expect(await settled(call, { what: "answer" })).toBe(7n);
    client.close();
  });
});

describe("a slow reader of ours", () => {
  // The stream's window, what Node reads ahead, and the queue of messages. See connection.ts and message-queue.ts.
  const bound = 4 * 1024 * 1024 + 8 * 1024 * 1024 + 2 * 1024 * 1024;

  it("holds the server back, by size of what it has not read", async () => {
    const chunk = message(7n, 256 * 1024);
    const count = 160;
    await using server = await RawServer.start({
      onCall: (stream) => {
        stream.headers(okHeaders);
        for (let sent = 0; sent < count; sent++) stream.data(chunk);
        trailers(stream, 0);
      },
    });
    const client = connectTo("ours", server.endpoint);
    const stream = client.keepAlive();
    stream.send(1n);
    await settled(stream.answers.next(), { what: "first message" });
    const call = await callOf(server);
    let before = -1;
    await until(() => before === (before = call.sentBytes), { what: "stop", intervalMs: 200 });
    expect(call.sentBytes).toBeLessThan(bound);
    expect((await settled(readToEnd(stream.answers), { what: "end" })).messages).toBe(count - 1);
    client.close();
  });
});

describe("many calls of ours", () => {
  it("leave no timer, no listener and no stream behind, however they end", async () => {
    const ways: ((stream: RawStream) => void)[] = [
      (stream) => answer(stream),
      (stream) => stream.headers([...okHeaders, ["grpc-status", "5"]], true),
      (stream) => stream.rst("INTERNAL_ERROR"),
      (stream) => stream.headers(okHeaders),
      () => undefined,
    ];
    let round = 0;
    await using server = await RawServer.start({ onCall: (stream) => ways[round % ways.length]?.(stream) });
    const { clock, pending } = countingClock();
    const client = connectTo("ours", server.endpoint, clock);
    const { signal, abort } = aborting();
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    const outcomes: string[] = [];
    for (; round < 50; round++) {
      outcomes.push((await unaryOutcome(client, { signal, timeoutMs: round % ways.length < 3 ? 5000 : 20 })).code);
      const own = aborting();
      const stream = client.keepAlive({ signal: AbortSignal.any([signal, own.signal]) });
      stream.send(1n);
      stream.halfClose();
      const seen = server.streams.length;
      const end = readToEnd(stream.answers);
      await until(() => server.streams.length > seen || server.streams.at(-1)?.messages.length, {
        what: "call",
        intervalMs: 1,
      });
      own.abort();
      await settled(end, { what: "end" });
    }
    process.off("warning", onWarning);
    expect(new Set(outcomes).size).toBeGreaterThan(2);
    await until(() => server.streams.every(({ isOver }) => isOver), { what: "end of all calls" });
    expect(pending()).toBe(0);
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(warnings).toEqual([]);
    abort();
    client.close();
    await until(() => server.openConnections === 0, { what: "end of the connection" });
  });
});

function echo(stream: RawStream): void {
  if (stream.messages.length === 1) stream.headers(okHeaders);
  stream.data(message(BigInt(stream.messages.length)));
}

function aborting(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

// What the embedded etcd lets its clients take, and that whoever takes more disturbs nobody else.
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectHttp2 } from "node:http2";
import { type EmbedOptions, type EmbedServer, startEmbed } from "@tenure/embed";
import { EtcdClient } from "@tenure/etcd";
import { KV, Watch, type WatchResponse } from "@tenure/etcd/rpc";
import { afterEach, describe, expect, it } from "vitest";
import { RawGrpcClient } from "../../packages/embed/src/testing/raw-grpc-client.ts";
import { seededRandom } from "../../packages/etcd/src/runtime/random.ts";
import { settled, until } from "../support/until.ts";
import { errorCode, Flag, frameBytes, FrameType, headerBlock, uint32 } from "./frames.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = frameBytes(FrameType.settings, 0, 0, Buffer.alloc(0));

const things: AsyncDisposable[] = [];
const sockets: Socket[] = [];
const raws: RawGrpcClient[] = [];
afterEach(async () => {
  for (const raw of raws.splice(0)) raw.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const thing of things.splice(0)) await thing[Symbol.asyncDispose]();
});

async function start(options: EmbedOptions = {}): Promise<EmbedServer> {
  const server = await startEmbed(options);
  things.unshift(server);
  return server;
}

function client(server: EmbedServer): EtcdClient {
  const made = new EtcdClient({ endpoints: [server.endpoint] });
  things.unshift(made);
  return made;
}

function raw(server: EmbedServer): RawGrpcClient {
  const made = new RawGrpcClient(server.endpoint);
  raws.push(made);
  return made;
}

/** A connection of which nothing is expected. */
async function connection(server: EmbedServer): Promise<Socket> {
  const socket = connectTcp(server.port, "127.0.0.1").on("error", () => undefined);
  sockets.push(socket);
  await settled(once(socket, "connect"), { what: "connection" });
  return socket;
}

/** Shows that a server still serves everybody else. */
async function serves(server: EmbedServer): Promise<void> {
  const { kv } = client(server);
  await kv.put("alive", "1");
  expect(await kv.get("alive")).toBeDefined();
}

describe("limits", () => {
  it("must be numbers from 1 on", async () => {
    for (const maxConnections of [0, -1, 1.5, NaN]) {
      await expect(startEmbed({ limits: { maxConnections } })).rejects.toThrow(/^maxConnections must be 1 or more/);
    }
  });

  it("of connections: more are closed, until one goes", async () => {
    const server = await start({ limits: { maxConnections: 2 } });
    const [first] = [await connection(server), await connection(server)];
    const third = await connection(server);
    await settled(once(third, "close"), { what: "end of the third connection" });
    first.destroy();
    const { kv } = client(server);
    await until(
      async () => {
        await kv.put("a", "1");
        return true;
      },
      { what: "a connection" },
    );
    expect(await kv.get("a")).toBeDefined();
  });

  it("of calls on one connection: the client waits with more", async () => {
    const server = await start({ limits: { maxCallsPerConnection: 2 } });
    const connected = raw(server);
    // The server tells its settings once it knows what a client wants.
    await connected.unary(KV.method.range, { key: Buffer.from("a") });
    const { session } = connected;
    await until(() => session.remoteSettings.maxConcurrentStreams === 2, { what: "settings" });
    expect(session.remoteSettings.maxConcurrentStreams).toBe(2);
  });

  it("of watches on one stream, and of all: one more is refused, and room when one is canceled", async () => {
    const server = await start({ limits: { maxWatchesPerStream: 2, maxWatches: 3 } });
    const streams = [raw(server).open(Watch.method.watch), raw(server).open(Watch.method.watch)];
    const create = async (index: number): Promise<WatchResponse> => {
      const stream = streams[index];
      stream?.send({ requestUnion: { case: "createRequest", value: { key: Buffer.from("a") } } });
      const answers = await stream?.received(stream.messages.length + 1);
      return answers?.at(-1) as WatchResponse;
    };
    expect(await create(0)).toMatchObject({ created: true, canceled: false });
    expect(await create(0)).toMatchObject({ created: true, canceled: false });
    const full = { created: true, canceled: true, watchId: -1n };
    expect(await create(0)).toMatchObject({ ...full, cancelReason: "too many watches: a stream may have 2" });
    expect(await create(1)).toMatchObject({ created: true, canceled: false });
    expect(await create(1)).toMatchObject({ ...full, cancelReason: "too many watches: the server may have 3" });
    streams[0]?.send({ requestUnion: { case: "cancelRequest", value: { watchId: 0n } } });
    await streams[0]?.received(4);
    expect(await create(1)).toMatchObject({ created: true, canceled: false });
    streams[1]?.stream.close();
    await streams[1]?.answer;
    await until(async () => !(await create(0)).canceled, { what: "room for a watch" });
  });
});

describe("a client that takes too much", () => {
  it("of headers is refused, and others are served", async () => {
    const server = await start();
    const session = connectHttp2(server.endpoint, { maxSendHeaderBlockLength: 2 ** 22 }).on("error", () => undefined);
    const stream = session.request({
      ":method": "POST",
      ":path": "/etcdserverpb.KV/Put",
      "x-large": "x".repeat(2 ** 20),
    });
    stream.on("error", () => undefined);
    let answers = 0;
    stream.on("response", () => (answers += 1));
    await settled(new Promise((resolve) => stream.once("close", resolve)), { what: "end of the call" });
    expect(answers).toBe(0);
    session.destroy();
    await serves(server);
  });

  it("of messages is refused: above 2 MiB", async () => {
    const server = await start();
    const answer = await raw(server).unary(KV.method.put, { key: Buffer.from("a"), value: Buffer.alloc(2 ** 21) });
    expect(answer.status).toBe("8");
    await serves(server);
  });

  it("of resets is dropped, and others are served meanwhile", async () => {
    const server = await start({ limits: { maxIdleMs: 200 } });
    const attacker = await connection(server);
    const fields = [
      [":method", "POST"],
      [":path", "/etcdserverpb.KV/Range"],
      [":scheme", "http"],
      [":authority", "a"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
    ] as const;
    const calls = (first: number, count: number): Buffer =>
      Buffer.concat(
        Array.from({ length: count }, (_, index) => first + 2 * index).flatMap((id) => [
          frameBytes(FrameType.headers, Flag.endHeaders, id, headerBlock(fields)),
          frameBytes(FrameType.rstStream, 0, id, uint32(errorCode("CANCEL"))),
        ]),
      );
    let isClosed = false;
    attacker.once("close", () => (isClosed = true));
    attacker.resume().write(Buffer.concat([PREFACE, SETTINGS]));
    const { kv } = client(server);
    // Far more than it may reset at once, be that the 1,000 of Node 20 or our own 50,000.
    for (let first = 1; first < 400_000 && !isClosed && !attacker.writableNeedDrain; first += 4_000) {
      attacker.write(calls(first, 2_000));
      await kv.put("meanwhile", "1");
    }
    await until(() => isClosed, { what: "end of the attack" });
    await serves(server);
  });

  it("of nonsense is dropped, whatever it says", async () => {
    const server = await start({ limits: { maxIdleMs: 200 } });
    const random = seededRandom(1);
    const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => Number(random.bits(8))));
    const nonsense = [
      ...Array.from({ length: 20 }, () => bytes(1_000)),
      ...Array.from({ length: 20 }, () => Buffer.concat([PREFACE, bytes(1_000)])),
      ...Array.from({ length: 20 }, () => Buffer.concat([PREFACE, SETTINGS, frameBytes(1, 4, 1, bytes(200))])),
      ...Array.from({ length: 20 }, (_, type) =>
        Buffer.concat([PREFACE, SETTINGS, frameBytes(type, Number(random.bits(8)), type % 4, bytes(100))]),
      ),
      Buffer.concat([PREFACE, SETTINGS, Buffer.alloc(300_000, 0xff)]),
    ];
    const ends = nonsense.map(async (each) => {
      const socket = await connection(server);
      socket.resume().end(each);
      await settled(once(socket, "close"), { what: "end of the connection" });
    });
    expect(await Promise.all(ends)).toHaveLength(nonsense.length);
    await serves(server);
  });

  it("of time is dropped: one that is not there any more; one that only waits is not", async () => {
    const server = await start({ limits: { maxIdleMs: 200 } });
    const waiting = raw(server).open(Watch.method.watch);
    waiting.send({ requestUnion: { case: "createRequest", value: { key: Buffer.from("a") } } });
    await waiting.received(1);
    const dead = await connection(server);
    dead
      .resume()
      .write(Buffer.concat([PREFACE, SETTINGS, frameBytes(FrameType.headers, Flag.endHeaders, 1, Buffer.of(0x83))]));
    await settled(once(dead, "close"), { what: "end of the connection" });
    await client(server).kv.put("a", "1");
    expect((await waiting.received(2))[1]).toMatchObject({ events: [{ kv: { key: Buffer.from("a") } }] });
  });

  it("of connections leaves room for others: a thousand that only begin", async () => {
    const server = await start();
    const idle = await Promise.all(Array.from({ length: 1_000 }, () => connection(server)));
    for (const socket of idle) socket.resume().write(Buffer.concat([PREFACE, SETTINGS]));
    await serves(server);
    expect(idle.every(({ destroyed }) => !destroyed)).toBe(true);
  });
});

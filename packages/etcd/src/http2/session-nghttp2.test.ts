// The same wire with nghttp2 on the other side, which is strict: it must never have a fault to find.
import { createHash } from "node:crypto";
import { once } from "node:events";
import * as http2 from "node:http2";
import * as net from "node:net";
import { describe, expect, it, vi } from "vitest";
import { type Random, seededRandom } from "../runtime/random.ts";
import { portOf } from "../testing/fake-server.ts";
import { Recorder } from "../testing/scripted-peer.ts";
import { ClientSession } from "./client-session.ts";
import { ErrorCode } from "./frames.ts";

const LIMIT = { timeout: 20_000, interval: 2 };
const REQUESTS = 24;
const MIN_STREAMS = 3;
/** Bytes of room with which a body of megabytes still arrives within the limit. */
const SMALL = 500;

/** A server that sends back what it gets, and notes every fault it finds. */
class EchoServer implements AsyncDisposable {
  readonly faults: string[] = [];
  readonly sessions: http2.ServerHttp2Session[] = [];
  readonly streams: http2.ServerHttp2Stream[] = [];
  readonly #server: http2.Http2Server;

  constructor(settings: http2.Settings) {
    this.#server = http2.createServer({ settings, maxSessionMemory: 256 });
    this.#server.on("sessionError", (error) => void this.faults.push(`session: ${error.message}`));
    this.#server.on("session", (session) => {
      this.sessions.push(session);
      session.on("frameError", (type, code, id) => void this.faults.push(`frame ${type} of ${id}: ${code}`));
      session.on("goaway", (code) => void (code !== 0 && this.faults.push(`goaway ${code}`)));
    });
    this.#server.on("stream", (stream) => {
      this.streams.push(stream);
      stream.on("error", (error) => void this.faults.push(`stream: ${error.message}`));
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.pipe(stream);
    });
  }

  async connect(): Promise<ClientSession> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const socket = net.connect({ host: "127.0.0.1", port: portOf(this.#server) });
    await once(socket, "connect");
    const session = new ClientSession(socket, { onClosed: () => undefined, onDestroyed: () => undefined });
    // From here on its settings are known: before, it would refuse what is more than it takes.
    await new Promise<void>((resolve) => session.ping(resolve));
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function upTo(random: Random, limit: number): number {
  return Math.floor(random.fraction() * limit);
}

function bytesOf(random: Random, size: number): Buffer {
  const pattern = Buffer.from(Array.from({ length: 997 }, () => upTo(random, 256)));
  return Buffer.alloc(size, pattern);
}

function digest(bytes: Buffer): string {
  return `${bytes.byteLength} ${createHash("sha1").update(bytes).digest("hex")}`;
}

/** Sends a body in pieces, and in between whatever a caller may do. */
async function converse(session: ClientSession, server: EchoServer, random: Random): Promise<[string, string]> {
  const call = new Recorder();
  call.act = () => {
    if (random.fraction() > 0.2) return;
    call.stream.pause();
    setImmediate(() => call.stream.resume());
  };
  call.begin(session);
  const size = random.fraction() < 0.2 ? upTo(random, 3_000_000) : upTo(random, 60_000);
  const body = bytesOf(random, size);
  for (let at = 0; at < body.byteLength;) {
    const piece = body.subarray(at, at + 1 + upTo(random, 200_000));
    at += piece.byteLength;
    call.stream.send(piece, false);
    if (random.fraction() < 0.5) await new Promise((resolve) => void setImmediate(resolve));
    if (random.fraction() < 0.2) reconfigure(server, random);
  }
  call.stream.send(Buffer.alloc(0), true);
  await vi.waitFor(() => expect(call.ends).toHaveLength(1), LIMIT);
  expect({ ends: call.ends, faults: server.faults }).toEqual({ ends: [undefined], faults: [] });
  return [digest(call.bytes), digest(body)];
}

function reconfigure({ sessions: [session] }: EchoServer, random: Random): void {
  // One at a time: of more than a few without an answer Node would make a fault.
  if (session === undefined || session.destroyed || session.pendingSettingsAck) return;
  session.settings({
    // From less than is on its way to more than any body is.
    initialWindowSize: random.fraction() < 0.5 ? SMALL + upTo(random, 2000) : upTo(random, 1_000_000) + 1,
    // Never fewer than before: nghttp2 refuses what crosses that news.
    maxConcurrentStreams: (session.localSettings.maxConcurrentStreams ?? MIN_STREAMS) + upTo(random, 2),
    maxFrameSize: 16_384 + upTo(random, 50_000),
    headerTableSize: upTo(random, 5000),
  });
  if (random.fraction() < 0.3) session.setLocalWindowSize(65_535 + upTo(random, 1_000_000));
}

describe("with nghttp2 as its server, a session", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "sends and gets every byte, however room and settings change: seed %d",
    async (seed) => {
      const random = seededRandom(seed);
      await using server = new EchoServer({
        maxConcurrentStreams: MIN_STREAMS,
        initialWindowSize: SMALL + upTo(random, 70_000),
      });
      const session = await server.connect();
      const results = await Promise.all(Array.from({ length: REQUESTS }, () => converse(session, server, random)));
      for (const [got, sent] of results) expect(got).toBe(sent);
      expect([server.faults, server.streams.length, session.destroyed]).toEqual([[], REQUESTS, false]);
      session.close();
      await vi.waitFor(() => expect(server.sessions[0]?.destroyed).toBe(true), LIMIT);
      expect(server.faults).toEqual([]);
    },
  );

  it("resets requests at any moment, and finds no fault made", async () => {
    const random = seededRandom(9);
    await using server = new EchoServer({ maxConcurrentStreams: 5, initialWindowSize: 20_000 });
    const session = await server.connect();
    for (let round = 0; round < 300; round++) {
      const call = new Recorder();
      const event = (["headers", "data", "end"] as const)[upTo(random, 3)];
      call.act = (told) => void (told === event && call.stream.reset(ErrorCode.noError));
      call.begin(session).stream.send(bytesOf(random, upTo(random, 50_000)), random.fraction() < 0.5);
      if (random.fraction() < 0.3) await new Promise((resolve) => void setImmediate(resolve));
      if (random.fraction() < 0.3) call.stream.reset(ErrorCode.noError);
      if (random.fraction() < 0.1) await new Promise<void>((resolve) => session.ping(resolve));
    }
    // Those that wait for an end of a body nobody sends are given up with the session.
    const last = new Recorder();
    last.begin(session);
    session.destroy();
    await vi.waitFor(() => expect(last.ends).toHaveLength(1), LIMIT);
    await vi.waitFor(() => expect(server.sessions[0]?.destroyed).toBe(true), LIMIT);
    expect(server.faults).toEqual([]);
  });
});

// Both directions against the HTTP/2 library in Node: what it makes of our blocks, and we of its blocks.
import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type Http2Server,
  type OutgoingHttpHeaders,
  sensitiveHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type Random, seededRandom } from "../runtime/random.ts";
import { Flag, FrameType, frameBytes, HEAD_BYTES, PREFACE, Setting, settingsFrame } from "./frames.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { type HeaderField, HpackEncoder } from "./hpack-encoder.ts";
import { STATIC_TABLE } from "./hpack-tables.ts";

const MAX_LIST_BYTES = 1 << 20;
const SECRETS = ["token", "authorization", "cookie"];

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** What the server saw of one request. */
interface Seen {
  /** Names and values in turn. */
  readonly raw: readonly string[];
  readonly secret: readonly string[];
}

/** A connection to a server of Node, on which nothing is said but what a test says. */
class Line implements AsyncDisposable {
  readonly session: ServerHttp2Session;
  readonly seen: Seen[] = [];
  readonly #server: Http2Server;
  readonly #socket: Socket;
  readonly #frames: AsyncGenerator<Frame>;
  #lastStreamId = -1;

  private constructor(server: Http2Server, session: ServerHttp2Session, socket: Socket) {
    this.#server = server;
    this.session = session;
    this.#socket = socket;
    this.#frames = framesOf(socket);
  }

  /** @param respond what the server sends for the request of each number */
  static async open(
    serverSettings: Settings,
    clientTableBytes: number,
    respond: (stream: ServerHttp2Stream, request: number) => void,
  ): Promise<Line> {
    const server = createServer({ settings: serverSettings, maxDeflateDynamicTableSize: 65_536 });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.setNoDelay(true);
    socket.write(Buffer.concat([PREFACE, settingsFrame([[Setting.headerTableSize, clientTableBytes]])]));
    const [session] = (await once(server, "session")) as [ServerHttp2Session];
    const line = new Line(server, session, socket);
    session.on("error", () => {
      // The connection closes then, which the test sees.
    });
    server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
      line.seen.push({ raw, secret: Reflect.get(headers, sensitiveHeaders) as string[] });
      stream.on("error", () => {});
      respond(stream, line.seen.length - 1);
    });
    return line;
  }

  /** The next frame; throws where the connection has ended. */
  async next(): Promise<Frame> {
    const next = await this.#frames.next();
    if (next.done === true) throw new Error("the server has closed the connection");
    const frame = next.value;
    if (frame.type === FrameType.goaway) throw new Error(`the server goes away: code ${frame.payload.readUInt32BE(4)}`);
    if (frame.type === FrameType.rstStream) throw new Error(`stream refused: code ${frame.payload.readUInt32BE(0)}`);
    return frame;
  }

  request(block: Uint8Array): void {
    this.#lastStreamId += 2;
    this.#socket.write(frameBytes(FrameType.headers, Flag.endHeaders | Flag.endStream, this.#lastStreamId, block));
  }

  acknowledge(): void {
    this.#socket.write(frameBytes(FrameType.settings, Flag.ack, 0, new Uint8Array()));
  }

  /** The header blocks of as many responses; settings are left to `onTableBytes`, and acknowledged. */
  async responses(count: number, onTableBytes: (bytes: number) => void = () => {}): Promise<Buffer[]> {
    const blocks: Buffer[] = [];
    let parts: Buffer[] = [];
    while (blocks.length < count) {
      const { type, flags, payload } = await this.next();
      if (type === FrameType.settings && (flags & Flag.ack) === 0) {
        for (const bytes of tableBytesIn(payload)) onTableBytes(bytes);
        this.acknowledge();
      }
      if (type !== FrameType.headers && type !== FrameType.continuation) continue;
      parts.push(payload);
      if ((flags & Flag.endHeaders) === 0) continue;
      blocks.push(Buffer.concat(parts));
      parts = [];
    }
    return blocks;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    this.session.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function* framesOf(socket: Socket): AsyncGenerator<Frame> {
  let rest = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.byteLength >= HEAD_BYTES) {
      const end = HEAD_BYTES + rest.readUIntBE(0, 3);
      if (rest.byteLength < end) break;
      const [type = 0, flags = 0] = rest.subarray(3, 5);
      yield { type, flags, streamId: rest.readUInt32BE(5), payload: rest.subarray(HEAD_BYTES, end) };
      rest = rest.subarray(end);
    }
  }
}

function tableBytesIn(settings: Buffer): number[] {
  const starts = Array.from({ length: settings.byteLength / 6 }, (_, index) => index * 6);
  return starts
    .filter((start) => settings.readUInt16BE(start) === Setting.headerTableSize)
    .map((start) => settings.readUInt32BE(start + 2));
}

function pick<T>(random: Random, from: readonly [T, ...T[]]): T {
  return from[Math.floor(random.fraction() * from.length)] ?? from[0];
}

/** Visible characters, some of which are not ASCII. */
function randomValue(random: Random, maxLength: number): string {
  const length = Math.floor(random.fraction() ** 4 * maxLength);
  const isAscii = random.fraction() < 0.7;
  return Array.from({ length }, () =>
    String.fromCharCode(
      isAscii ? 0x21 + Math.floor(random.fraction() * 94) : 0xa1 + Math.floor(random.fraction() * 94),
    ),
  ).join("");
}

function randomName(random: Random): string {
  return pick(random, ["etag", "x-a", "x-bb", "accept", "x-long-name-of-a-field", `x-${random.bits(5)}`, "0", "~"]);
}

function randomRequest(random: Random): HeaderField[] {
  const fields: HeaderField[] = [
    [":method", pick(random, ["POST", "GET", "PUT"])],
    [":scheme", pick(random, ["http", "https"])],
    [":path", pick(random, ["/", "/index.html", "/etcdserverpb.KV/Range", `/${random.bits(4)}`])],
    [":authority", pick(random, ["127.0.0.1:2379", "etcd.example", `${random.bits(4)}.example`])],
    ["te", "trailers"],
  ];
  for (let more = Number(random.bits(4)); more > 0; more--) {
    const value = random.fraction() < 0.5 ? `${random.bits(2)}` : randomValue(random, 3000);
    fields.push([random.fraction() < 0.2 ? pick(random, ["token", "authorization"]) : randomName(random), value]);
  }
  if (random.bits(1) === 0n) fields.push(["grpc-timeout", `${random.bits(10)}m`]);
  if (random.bits(2) === 0n) fields.push(["content-length", "0"]);
  // A block has to fit in one frame here.
  return fields.reduce((sum, [name, value]) => sum + name.length + value.length + 10, 0) < 16_000 ? fields : [];
}

const lines: Line[] = [];
afterEach(async () => {
  for (const line of lines.splice(0)) await line[Symbol.asyncDispose]();
});

async function open(...args: Parameters<typeof Line.open>): Promise<Line> {
  const line = await Line.open(...args);
  lines.push(line);
  return line;
}

describe("our blocks are read by nghttp2", () => {
  const answer = (stream: ServerHttp2Stream): void => stream.respond({ ":status": 200 }, { endStream: true });

  /** Sends requests, and checks what the server saw of them. */
  async function exchange(line: Line, encoder: HpackEncoder, requests: readonly HeaderField[][]): Promise<void> {
    const before = line.seen.length;
    for (const fields of requests) line.request(encoder.encode(fields));
    await line.responses(requests.length, (bytes) => encoder.setMaxTableBytes(bytes));
    const seen = line.seen.slice(before);
    expect(seen.map(({ raw }) => raw)).toEqual(requests.map((fields) => fields.flat()));
    expect(seen.map(({ secret }) => secret)).toEqual(
      requests.map((fields) => fields.map(([name]) => name).filter((name) => SECRETS.includes(name))),
    );
  }

  it.each([0, 1, 31, 32, 256, 1000, 4095, 4096, 65_536])("with a table of %i bytes", async (tableBytes) => {
    const random = seededRandom(tableBytes);
    const line = await open({ headerTableSize: tableBytes }, 4096, answer);
    const encoder = new HpackEncoder();
    for (let round = 0; round < 5; round++) {
      const requests = Array.from({ length: 50 }, () => randomRequest(random)).filter((fields) => fields.length > 0);
      expect(requests.length).toBeGreaterThan(25);
      await exchange(line, encoder, requests);
    }
  });

  it("with a table that changes its size", async () => {
    const random = seededRandom(42);
    const line = await open({}, 4096, answer);
    const encoder = new HpackEncoder();
    for (let round = 0; round < 60; round++) {
      const sizes = Array.from({ length: Number(random.bits(2)) }, () => Math.floor(random.fraction() ** 2 * 5000));
      for (const headerTableSize of sizes) line.session.settings({ headerTableSize });
      for (let left = sizes.length; left > 0;) {
        const { type, flags, payload } = await line.next();
        if (type !== FrameType.settings || (flags & Flag.ack) !== 0) continue;
        const given = tableBytesIn(payload);
        for (const bytes of given) encoder.setMaxTableBytes(bytes);
        line.acknowledge();
        // The settings that a connection begins with are not among these.
        if (given.length > 0) left--;
      }
      const requests = Array.from({ length: 10 }, () => randomRequest(random)).filter((fields) => fields.length > 0);
      await exchange(line, encoder, requests);
    }
    expect(line.seen.length).toBeGreaterThan(300);
  });

  it("with each entry of the static table", async () => {
    const line = await open({}, 4096, answer);
    const refused = ["host", "transfer-encoding", "content-length"];
    const fields = STATIC_TABLE.filter(({ name }) => !name.startsWith(":") && !refused.includes(name));
    const request = (method: string, path: string, scheme: string): HeaderField[] => [
      [":method", method],
      [":path", path],
      [":scheme", scheme],
      [":authority", "localhost"],
    ];
    const encoder = new HpackEncoder();
    await exchange(line, encoder, [request("GET", "/", "http"), request("POST", "/index.html", "https")]);
    // A field with a value that is its own takes the name from the table.
    const others = fields.flatMap(({ name, value }): HeaderField[] => [
      [name, value],
      [name, `of ${name}`],
    ]);
    line.request(encoder.encode([...request("GET", "/", "http"), ...others]));
    await line.responses(1);
    expect(line.seen.at(-1)?.raw.slice(8)).toEqual(others.flat());
  });
});

describe("the blocks of nghttp2 are read by us", () => {
  const REQUEST: readonly HeaderField[] = [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "localhost"],
  ];

  function randomResponse(random: Random): Map<string, string[]> {
    const status = pick(random, ["200", "204", "206", "304", "400", "404", "500", "418", "503"]);
    // Node adds a date where there is none.
    const response = new Map([
      [":status", [status]],
      ["date", [`Mon, 21 Oct 2013 20:13:2${random.bits(3)} GMT`]],
    ]);
    for (let more = Number(random.bits(4)); more > 0; more--) {
      const name = randomName(random);
      const value = random.fraction() < 0.5 ? `${random.bits(2)}` : randomValue(random, 6000);
      response.set(name, name === "etag" ? [value] : [...(response.get(name) ?? []), value]);
    }
    return response;
  }

  it.each([0, 1, 256, 1000, 4095, 4096, 65_536])("with a table of %i bytes", async (tableBytes) => {
    const random = seededRandom(tableBytes);
    const sent: Map<string, string[]>[] = [];
    const line = await open({}, tableBytes, (stream) => {
      const response = randomResponse(random);
      sent.push(response);
      const headers: OutgoingHttpHeaders = Object.fromEntries(response);
      headers[":status"] = Number(response.get(":status"));
      const secret = [...response.keys()].filter((name) => name.startsWith("x-") && random.bits(2) === 0n);
      stream.respond({ ...headers, [sensitiveHeaders]: secret }, { endStream: true });
    });
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(tableBytes);
    const read: Map<string, string>[] = [];
    for (let round = 0; round < 10; round++) {
      for (let request = 0; request < 30; request++) line.request(encoder.encode(REQUEST));
      const blocks = await line.responses(30, (bytes) => encoder.setMaxTableBytes(bytes));
      for (const block of blocks) read.push(new Map(decoder.decode(block, MAX_LIST_BYTES)));
    }
    expect(read).toHaveLength(300);
    expect(read).toEqual(
      sent.map((response) => new Map([...response].map(([name, values]) => [name, values.join(", ")]))),
    );
  });
});

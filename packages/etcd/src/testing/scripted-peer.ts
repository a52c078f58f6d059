import { once } from "node:events";
import * as net from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { vi } from "vitest";
import { ClientSession, type SessionEvents } from "../http2/client-session.ts";
import { ClientStream } from "../http2/client-stream.ts";
import { Flag, frameBytes, FrameType, HEAD_BYTES, numberFrame, PREFACE, settingsFrame } from "../http2/frames.ts";
import type { Headers } from "../http2/hpack-decoder.ts";
import { type HeaderField, HpackEncoder } from "../http2/hpack-encoder.ts";
import type { Http2Session, Http2Stream, StreamListener } from "../http2/http2.ts";
import { portOf, WAIT } from "./fake-server.ts";

/** What the client sent. */
export interface SentFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** How the two are connected. */
export interface PeerOptions {
  /** The number of our first request. Default: 1 */
  readonly firstId?: number;
  /** The server's certificate, where they are to speak TLS. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
}

const BARRIER = Buffer.from("barrier!");
const NOTHING = Buffer.alloc(0);

/** A session of ours whose other side is the test itself, frame by frame, however wrong. */
export class ScriptedPeer implements AsyncDisposable {
  readonly session: ClientSession;
  /** Our side's socket. */
  readonly clientSocket: net.Socket;
  readonly socket: net.Socket;
  /** What our side has told of its session, in order. */
  readonly told: readonly string[];
  readonly frames: SentFrame[] = [];
  /** The server's side has heard the end of the connection. */
  ended = false;
  readonly #server: net.Server;
  #bytes: Buffer = NOTHING;
  #greeted = false;

  private constructor(server: net.Server, clientSocket: net.Socket, socket: net.Socket, firstId: number | undefined) {
    this.#server = server;
    this.clientSocket = clientSocket;
    this.socket = socket;
    const told: string[] = [];
    const events: SessionEvents = {
      onClosed: () => void told.push("closed"),
      onDestroyed: () => void told.push("destroyed"),
    };
    this.told = told;
    this.session = new ClientSession(clientSocket, events, firstId);
    // Whoever is cut off in the middle is reset.
    socket.on("error", () => undefined);
    socket.once("close", () => (this.ended = true));
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  /** @param settings the server's first, number and value; `"none"` for a server that says nothing yet */
  static async start(
    settings: readonly (readonly [id: number, value: number])[] | "none" = [],
    { firstId, tls }: PeerOptions = {},
  ): Promise<ScriptedPeer> {
    const server = tls === undefined ? net.createServer({ noDelay: true }) : createTlsServer(tls);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const accepted = new Promise<net.Socket>((resolve) => {
      server.once(tls === undefined ? "connection" : "secureConnection", resolve);
    });
    const place = { host: "127.0.0.1", port: portOf(server) };
    const client = tls === undefined ? net.connect(place) : connectTls({ ...place, rejectUnauthorized: false });
    const connected = once(client, tls === undefined ? "connect" : "secureConnect");
    const [socket] = await Promise.all([accepted, connected]);
    const peer = new ScriptedPeer(server, client.setNoDelay(true), socket, firstId);
    if (settings !== "none") await peer.settings(settings);
    return peer;
  }

  /** Sends frames, or whatever bytes. */
  send(...bytes: readonly Uint8Array[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(bytes));
  }

  /** Sends settings and waits until they count. */
  async settings(settings: readonly (readonly [id: number, value: number])[]): Promise<void> {
    this.send(settingsFrame(settings));
    await this.taken();
  }

  /** Settles when our side has read, and answered, all that was sent. */
  async taken(): Promise<void> {
    const before = this.#barriers();
    this.send(frameBytes(FrameType.ping, 0, 0, BARRIER));
    await this.until(() => this.#barriers() > before, "answer to a ping");
  }

  /** Waits for something to come true. */
  until(condition: () => boolean, what: string): Promise<void> {
    return vi.waitFor(() => {
      if (!condition()) throw new Error(`no ${what}; told: ${this.told.join()}; frames: ${this.frames.length}`);
    }, WAIT);
  }

  /** Begins a request and waits until it is here. */
  async open(recorder: Recorder = new Recorder()): Promise<Recorder> {
    recorder.begin(this.session);
    await this.until(() => this.streamIds().includes(recorder.stream.id), "request");
    return recorder;
  }

  /** The streams that were begun, in order. */
  streamIds(): number[] {
    return this.frames.filter(({ type }) => type === FrameType.headers).map(({ streamId }) => streamId);
  }

  /** Bytes of data that came on one stream, or on all. */
  dataBytes(streamId?: number): number {
    const data = this.frames.filter(({ type, streamId: id }) => type === FrameType.data && id === (streamId ?? id));
    return data.reduce((sum, { payload }) => sum + payload.byteLength, 0);
  }

  /** The codes with which a stream was reset. */
  resets(streamId: number): number[] {
    return this.frames
      .filter((frame) => frame.type === FrameType.rstStream && frame.streamId === streamId)
      .map(({ payload }) => payload.readUInt32BE(0));
  }

  /** The codes of the goodbyes that came. */
  goodbyes(): number[] {
    return this.frames.filter(({ type }) => type === FrameType.goaway).map(({ payload }) => payload.readUInt32BE(4));
  }

  /** Room that our side gave, on a stream or on the connection (0). */
  room(streamId: number): number {
    return this.frames
      .filter((frame) => frame.type === FrameType.windowUpdate && frame.streamId === streamId)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.session.destroy();
    this.socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #barriers(): number {
    return this.frames.filter(({ type, flags, payload }) => {
      return type === FrameType.ping && (flags & Flag.ack) !== 0 && payload.equals(BARRIER);
    }).length;
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#greeted) {
      if (this.#bytes.byteLength < PREFACE.byteLength) return;
      this.#greeted = true;
      this.#bytes = this.#bytes.subarray(PREFACE.byteLength);
    }
    while (this.#bytes.byteLength >= HEAD_BYTES) {
      const end = HEAD_BYTES + this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.byteLength < end) return;
      this.frames.push({
        type: this.#bytes.readUInt8(3),
        flags: this.#bytes.readUInt8(4),
        streamId: this.#bytes.readUInt32BE(5),
        payload: this.#bytes.subarray(HEAD_BYTES, end),
      });
      this.#bytes = this.#bytes.subarray(end);
    }
  }
}

const REQUEST: readonly HeaderField[] = [
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "localhost"],
  [":path", "/echo"],
];
export const OK: readonly HeaderField[] = [[":status", "200"]];
export const TRAILERS: readonly HeaderField[] = [["grpc-status", "0"]];

/** One request, and what it was told. */
export class Recorder implements StreamListener {
  headers: Headers[] = [];
  data: Buffer[] = [];
  /** How it ended: once, if all is well. */
  readonly ends: (Error | undefined)[] = [];
  /** What came after the end. */
  late = 0;
  /** Called after each thing it is told, with its name. */
  act: (event: "headers" | "data" | "end") => void = () => undefined;
  #stream: Http2Stream | undefined;

  begin(session: Http2Session): this {
    this.#stream = session.request(REQUEST, this);
    return this;
  }

  get stream(): ClientStream {
    if (!(this.#stream instanceof ClientStream)) throw new Error("it was not begun");
    return this.#stream;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.data);
  }

  /** The error it ended with; throws unless it ended once and with one. */
  get error(): Error {
    const [error] = this.ends;
    if (error === undefined || this.ends.length > 1) throw new Error(`it ended ${this.ends.length} times`);
    return error;
  }

  onHeaders(headers: Headers): void {
    if (this.ends.length > 0) this.late++;
    this.headers.push(headers);
    this.act("headers");
  }

  onData(bytes: Buffer): void {
    if (this.ends.length > 0) this.late++;
    this.data.push(bytes);
    this.act("data");
  }

  onEnd(error: Error | undefined): void {
    this.ends.push(error);
    this.act("end");
  }
}

/** A whole header block in one frame. */
export function headersFrame(streamId: number, fields: readonly HeaderField[], last: boolean = false): Buffer {
  const flags = Flag.endHeaders | (last ? Flag.endStream : 0);
  return frameBytes(FrameType.headers, flags, streamId, headerBlock(fields));
}

/** A header block that refers to nothing but itself. */
export function headerBlock(fields: readonly HeaderField[]): Uint8Array {
  return new HpackEncoder().encode(fields);
}

export function dataFrame(streamId: number, payload: Uint8Array | string, last: boolean = false): Buffer {
  return frameBytes(FrameType.data, last ? Flag.endStream : 0, streamId, Buffer.from(payload));
}

export function windowFrame(streamId: number, bytes: number): Buffer {
  return numberFrame(FrameType.windowUpdate, streamId, bytes);
}

export function resetFrame(streamId: number, code: number): Buffer {
  return numberFrame(FrameType.rstStream, streamId, code);
}

export function goawayFrame(lastId: number, code: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastId, 0);
  payload.writeUInt32BE(code, 4);
  return frameBytes(FrameType.goaway, 0, 0, payload);
}

/** An answer that is whole: headers, data, trailers. */
export function answerFrames(streamId: number, body: Uint8Array | string = "answer"): Buffer {
  return Buffer.concat([headersFrame(streamId, OK), dataFrame(streamId, body), headersFrame(streamId, TRAILERS, true)]);
}

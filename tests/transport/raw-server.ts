import { createServer, type Server, type Socket } from "node:net";
import { FrameReader } from "../../packages/etcd/src/rpc/framing.ts";
import { portOf } from "../../packages/etcd/src/testing/fake-server.ts";
import { errorCode, Flag, type Frame, frameBytes, FrameType, headerBlock, Setting } from "./frames.ts";
import { takeFrames, uint32, unpadded } from "./frames.ts";

/** Header fields, in the order in which they are sent. */
export type Fields = readonly (readonly [name: string, value: string])[];

const PREFACE_BYTES = 24;
const MAX_FRAME_BYTES = 16_384;
const INITIAL_WINDOW_BYTES = 65_535;

/** What a test does with what arrives. */
export interface RawServerHandlers {
  /** A client has connected and sent its preface. Default: empty SETTINGS. */
  readonly onConnection?: (connection: RawConnection) => void;
  /** The first message of a call is whole. */
  readonly onCall?: (stream: RawStream) => void;
  readonly onMessage?: (stream: RawStream) => void;
  /** Whether the client gets new room for what it has sent. Default: yes. */
  readonly givesRoom?: boolean;
}

/**
 * An HTTP/2 server of nothing but frames, which does whatever a test makes it do, however wrong.
 *
 * It keeps to the client's flow control, and does not look into the headers of a request.
 */
export class RawServer implements AsyncDisposable {
  readonly connections: RawConnection[] = [];
  readonly handlers: RawServerHandlers;
  readonly #server: Server;

  private constructor(handlers: RawServerHandlers) {
    this.handlers = handlers;
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.connections.push(new RawConnection(socket, this.handlers));
    });
  }

  static async start(handlers: RawServerHandlers): Promise<RawServer> {
    const raw = new RawServer(handlers);
    await new Promise<void>((resolve) => raw.#server.listen(0, "127.0.0.1", resolve));
    return raw;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${portOf(this.#server)}`;
  }

  /** Every call so far, over all connections. */
  get streams(): RawStream[] {
    return this.connections.flatMap((connection) => [...connection.streams.values()]);
  }

  get openConnections(): number {
    return this.connections.filter(({ socket }) => !socket.destroyed).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** One client's connection. */
export class RawConnection {
  readonly socket: Socket;
  readonly streams: Map<number, RawStream> = new Map();
  /** Every frame of the client, its data left out. */
  readonly frames: { readonly type: number; readonly flags: number; readonly streamId: number }[] = [];
  /** Room that the client gives for data. */
  window: number = INITIAL_WINDOW_BYTES;
  streamWindow: number = INITIAL_WINDOW_BYTES;
  readonly #handlers: RawServerHandlers;
  readonly #taken: (() => void)[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #greeted = false;

  constructor(socket: Socket, handlers: RawServerHandlers) {
    this.socket = socket;
    this.#handlers = handlers;
    // A client that leaves in the middle is what some tests are about.
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  send(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): void {
    if (!this.socket.destroyed) this.socket.write(frameBytes(type, flags, streamId, payload));
  }

  settings(values: Partial<Record<keyof typeof Setting, number>>): void {
    const entries = Object.entries(values).map(([name, value]) => {
      const id = Buffer.alloc(2);
      id.writeUInt16BE(Setting[name as keyof typeof Setting]);
      return Buffer.concat([id, uint32(value)]);
    });
    this.send(FrameType.settings, 0, 0, Buffer.concat(entries));
  }

  goaway(lastStreamId: number, error: string, text = ""): void {
    const payload = Buffer.concat([uint32(lastStreamId), uint32(errorCode(error)), Buffer.from(text)]);
    this.send(FrameType.goaway, 0, 0, payload);
  }

  /** Runs `action` when the client has taken what was sent before, and its program had a moment to read it. */
  whenTaken(action: () => void): void {
    this.#taken.push(action);
    this.send(FrameType.ping, 0, 0, Buffer.from("whentake"));
  }

  /** Sends a header block in as many frames as it takes. */
  headers(streamId: number, fields: Fields, endStream: boolean): void {
    const block = headerBlock(fields);
    let type: number = FrameType.headers;
    let flags: number = endStream ? Flag.endStream : 0;
    for (let at = 0; at === 0 || at < block.byteLength; at += MAX_FRAME_BYTES) {
      const isLast = at + MAX_FRAME_BYTES >= block.byteLength;
      const part = block.subarray(at, at + MAX_FRAME_BYTES);
      this.send(type, flags | (isLast ? Flag.endHeaders : 0), streamId, part);
      type = FrameType.continuation;
      flags = 0;
    }
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#greeted) {
      if (this.#bytes.byteLength < PREFACE_BYTES) return;
      this.#greeted = true;
      this.#bytes = this.#bytes.subarray(PREFACE_BYTES);
      if (this.#handlers.onConnection === undefined) this.settings({});
      else this.#handlers.onConnection(this);
    }
    const { frames, rest } = takeFrames(this.#bytes);
    this.#bytes = rest;
    for (const frame of frames) this.#take(frame);
  }

  #take(frame: Frame): void {
    const { type, flags, streamId, payload } = frame;
    this.frames.push({ type, flags, streamId });
    const stream = this.streams.get(streamId);
    if (type === FrameType.settings && (flags & Flag.ack) === 0) this.#takeSettings(payload);
    else if (type === FrameType.ping && (flags & Flag.ack) === 0) this.send(FrameType.ping, Flag.ack, 0, payload);
    else if (type === FrameType.ping && payload.toString() === "whentake") setTimeout(this.#taken.shift() ?? idle, 10);
    else if (type === FrameType.windowUpdate) this.#takeWindow(stream, streamId, payload.readUInt32BE(0));
    else if (type === FrameType.goaway && payload.readUInt32BE(4) !== 0) this.socket.end();
    else if (type === FrameType.rstStream) stream?.reset(payload.readUInt32BE(0));
    else if (type === FrameType.headers && stream === undefined) {
      const opened = new RawStream(streamId, this, this.#handlers);
      this.streams.set(streamId, opened);
      if ((flags & Flag.endStream) !== 0) opened.half();
    } else if (type === FrameType.data) {
      stream?.take(unpadded(frame));
      if ((flags & Flag.endStream) !== 0) stream?.half();
      if (this.#handlers.givesRoom !== false && payload.byteLength > 0) this.#giveRoom(streamId, payload.byteLength);
    }
  }

  #giveRoom(streamId: number, bytes: number): void {
    this.send(FrameType.windowUpdate, 0, 0, uint32(bytes));
    this.send(FrameType.windowUpdate, 0, streamId, uint32(bytes));
  }

  #takeSettings(payload: Buffer): void {
    for (let at = 0; at < payload.byteLength; at += 6) {
      if (payload.readUInt16BE(at) !== Setting.initialWindowSize) continue;
      const size = payload.readUInt32BE(at + 2);
      for (const stream of this.streams.values()) stream.window += size - this.streamWindow;
      this.streamWindow = size;
    }
    this.send(FrameType.settings, Flag.ack, 0);
  }

  #takeWindow(stream: RawStream | undefined, streamId: number, bytes: number): void {
    if (streamId === 0) this.window += bytes;
    else if (stream !== undefined) stream.window += bytes;
    for (const each of this.streams.values()) each.flush();
  }
}

/** One call. */
export class RawStream {
  readonly id: number;
  readonly connection: RawConnection;
  /** The messages of the request so far. */
  readonly messages: Uint8Array[] = [];
  window: number;
  /** Bytes of messages sent so far. */
  sentBytes = 0;
  /** The client has sent everything. */
  clientEnded = false;
  /** The code with which the client reset the call. */
  resetBy: number | undefined;
  readonly #handlers: RawServerHandlers;
  readonly #reader = new FrameReader(2 ** 30);
  #unsent: { bytes: Uint8Array; endStream: boolean }[] = [];
  #after: (() => void)[] = [];
  #ended = false;

  constructor(id: number, connection: RawConnection, handlers: RawServerHandlers) {
    this.id = id;
    this.connection = connection;
    this.window = connection.streamWindow;
    this.#handlers = handlers;
  }

  /** Whether nobody can send on it any more. */
  get isOver(): boolean {
    return this.resetBy !== undefined || (this.#ended && this.clientEnded) || this.connection.socket.destroyed;
  }

  headers(fields: Fields, endStream = false): void {
    this.#whenFlushed(() => {
      this.#ended ||= endStream;
      this.connection.headers(this.id, fields, endStream);
    });
  }

  /** Sends data, as soon as the client has room for it. */
  data(bytes: Uint8Array, endStream = false): void {
    this.#unsent.push({ bytes, endStream });
    this.flush();
  }

  rst(error: string | number): void {
    this.#whenFlushed(() => {
      this.#ended = true;
      this.clientEnded = true;
      const code = typeof error === "number" ? error : errorCode(error);
      this.connection.send(FrameType.rstStream, 0, this.id, uint32(code));
    });
  }

  /** Runs `action` when everything before it has been sent. */
  afterwards(action: () => void): void {
    this.#whenFlushed(action);
  }

  flush(): void {
    while (this.#unsent[0] !== undefined && this.resetBy === undefined) {
      const [{ bytes, endStream }] = this.#unsent as [{ bytes: Uint8Array; endStream: boolean }];
      const size = Math.min(bytes.byteLength, this.window, this.connection.window, MAX_FRAME_BYTES);
      if (size <= 0 && bytes.byteLength > 0) return;
      const isAll = size === bytes.byteLength;
      this.window -= size;
      this.connection.window -= size;
      this.sentBytes += size;
      this.#ended ||= isAll && endStream;
      const flags = isAll && endStream ? Flag.endStream : 0;
      this.connection.send(FrameType.data, flags, this.id, bytes.subarray(0, size));
      if (isAll) this.#unsent.shift();
      else this.#unsent[0] = { bytes: bytes.subarray(size), endStream };
    }
    for (const action of this.#after.splice(0)) action();
  }

  take(bytes: Buffer): void {
    for (const message of this.#reader.push(bytes)) {
      this.messages.push(message);
      if (this.messages.length === 1) this.#handlers.onCall?.(this);
      this.#handlers.onMessage?.(this);
    }
  }

  half(): void {
    this.clientEnded = true;
  }

  reset(code: number): void {
    this.resetBy = code;
    this.#unsent = [];
  }

  #whenFlushed(action: () => void): void {
    if (this.#unsent.length === 0) action();
    else this.#after.push(action);
  }
}

function idle(): void {
  // Nobody waits.
}

import type * as net from "node:net";
import { ClientStream, type StreamHost } from "./client-stream.ts";
import { FrameInput } from "./frame-input.ts";
import { FrameOutput } from "./frame-output.ts";
import { assertOfConnection, assertSize, protocolError, unpadded } from "./frame-rules.ts";
import {
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  Flag,
  frameBytes,
  FrameType,
  MAX_31_BITS,
  numberFrame,
  PREFACE,
  Setting,
  settingsFrame,
} from "./frames.ts";
import { type HeaderBlock, HeaderInput } from "./header-input.ts";
import { type HeaderField, HpackEncoder } from "./hpack-encoder.ts";
import type { Http2Session, Http2Stream, StreamListener } from "./http2.ts";
import { Http2Error } from "./http2-error.ts";

/** What a session tells of itself. */
export interface SessionEvents {
  /** It takes no more requests, because the server goes away or its numbers have run out. */
  onClosed(): void;
  /** It is over. Told once, after the code that ended it has returned. */
  onDestroyed(): void;
}

/** The room a server has for what it sends, on each stream and on all together. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Requests at once before the server has said how many it takes; more wait for its word, so that none is refused. */
const FIRST_STREAMS = 8;
const EMPTY = Buffer.alloc(0);

/**
 * The client's side of one HTTP/2 connection (RFC 9113), for gRPC: no priorities, no pushes.
 *
 * Written for Tenure because an election is a handful of small requests: over node:http2 each takes more than three
 * times the CPU (`npm run bench -- --only transport`). All that one turn of the event loop sends leaves in one write.
 */
export class ClientSession implements Http2Session, StreamHost {
  sendWindow: number = DEFAULT_WINDOW_BYTES;
  maxFrameBytes: number = DEFAULT_MAX_FRAME_BYTES;
  bytesRead = 0;
  readonly #socket: net.Socket;
  readonly #events: SessionEvents;
  readonly #input = new FrameInput();
  readonly #headers = new HeaderInput();
  readonly #encoder = new HpackEncoder();
  /** Requests the server knows of, and which are not over. */
  readonly #streams = new Map<number, ClientStream>();
  /** Requests the server has no room for, in order. */
  readonly #waiting = new Set<ClientStream>();
  /** Streams with data the server has no room for. */
  readonly #blocked = new Set<ClientStream>();
  readonly #goaway = new Set<() => void>();
  /** Those whose pings have not come back, in order. */
  readonly #pings: (() => void)[] = [];
  readonly #output: FrameOutput;
  #maxStreams = FIRST_STREAMS;
  #initialWindow = DEFAULT_WINDOW_BYTES;
  #receiveWindow = WINDOW_BYTES;
  #nextId: number;
  #spoke = false;
  #closed = false;
  #destroyed = false;

  /**
   * @param socket connected already, and nobody else's
   * @param firstId the number of the first request, odd. Default: 1, and none is left after 2^30 requests
   */
  constructor(socket: net.Socket, events: SessionEvents, firstId: number = 1) {
    this.#nextId = firstId;
    this.#socket = socket;
    this.#output = new FrameOutput(socket);
    this.#events = events;
    this.#output.write(PREFACE);
    this.#output.write(
      settingsFrame([
        [Setting.enablePush, 0],
        [Setting.initialWindowSize, WINDOW_BYTES],
      ]),
    );
    this.#output.write(numberFrame(FrameType.windowUpdate, 0, WINDOW_BYTES - DEFAULT_WINDOW_BYTES));
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => this.destroy(error));
    socket.once("end", () => this.destroy());
    socket.once("close", () => this.destroy());
  }

  get spoke(): boolean {
    return this.#spoke;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  request(fields: readonly HeaderField[], listener: StreamListener): Http2Stream {
    if (this.#closed) throw new Http2Error(ErrorCode.refusedStream, "the connection takes no more requests");
    const stream = new ClientStream(this, fields, listener, WINDOW_BYTES);
    if (this.#streams.size < this.#maxStreams) this.#start(stream);
    else this.#waiting.add(stream);
    return stream;
  }

  ping(onAnswer: () => void): void {
    if (this.#destroyed) return;
    this.#pings.push(onAnswer);
    this.#output.write(frameBytes(FrameType.ping, 0, 0, Buffer.alloc(8)));
  }

  onGoaway(listener: () => void): () => void {
    this.#goaway.add(listener);
    return () => this.#goaway.delete(listener);
  }

  close(): void {
    this.#closed = true;
    this.#refuseWaiting();
    if (this.#streams.size === 0) this.destroy();
  }

  destroy(error?: Error): void {
    this.#end(error ?? new Http2Error(ErrorCode.noError, CONNECTION_LOST), ErrorCode.noError);
  }

  sendData(stream: ClientStream, flags: number, payload: Uint8Array): void {
    this.sendWindow -= payload.byteLength;
    this.#output.write(frameBytes(FrameType.data, flags, stream.id, payload));
  }

  sendReset(stream: ClientStream, code: number): void {
    this.#output.write(numberFrame(FrameType.rstStream, stream.id, code));
  }

  sendWindowUpdate(stream: ClientStream, bytes: number): void {
    this.#output.write(numberFrame(FrameType.windowUpdate, stream.id, bytes));
  }

  blocked(stream: ClientStream): void {
    this.#blocked.add(stream);
  }

  ended(stream: ClientStream): void {
    this.#blocked.delete(stream);
    this.#waiting.delete(stream);
    if (!this.#streams.delete(stream.id) || this.#destroyed) return;
    this.#startWaiting();
    if (this.#closed && this.#streams.size === 0) this.destroy();
  }

  #start(stream: ClientStream): void {
    const block = this.#encoder.encode(stream.fields);
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, stream);
    this.#output.writeHeaders(id, block);
    stream.start(id, this.#initialWindow);
    if (this.#nextId > MAX_31_BITS) this.#takeNoMore();
  }

  #startWaiting(): void {
    for (const stream of this.#waiting) {
      if (this.#streams.size >= this.#maxStreams) return;
      this.#waiting.delete(stream);
      this.#start(stream);
    }
  }

  /** The server will not hear of those that wait for room. */
  #refuseWaiting(): void {
    for (const stream of Array.from(this.#waiting)) stream.lose(refused());
  }

  #takeNoMore(): void {
    this.#closed = true;
    this.#refuseWaiting();
    this.#events.onClosed();
  }

  /**
   * @param error what the streams hear
   * @param code what the server hears: what it did wrong, if it did
   */
  #end(error: Error, code: number): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#closed = true;
    this.#input.stop();
    const goodbye = Buffer.alloc(8);
    goodbye.writeUInt32BE(code, 4);
    // Behind what this turn sent.
    this.#output.write(frameBytes(FrameType.goaway, 0, 0, goodbye));
    this.#output.stop();
    this.#socket.destroy();
    process.nextTick(() => this.#tellEnd(error));
  }

  #tellEnd(error: Error): void {
    this.#refuseWaiting();
    // Each by itself: a listener that throws keeps nothing from the others.
    for (const stream of this.#streams.values()) process.nextTick(() => stream.lose(error));
    process.nextTick(() => this.#events.onDestroyed());
  }

  #read(chunk: Buffer): void {
    this.bytesRead += chunk.byteLength;
    try {
      this.#input.push(chunk, this.#take);
    } catch (error) {
      if (error instanceof Http2Error) return this.#fail(error);
      // A listener threw, and what came behind is lost.
      this.#end(new Error("the connection was given up", { cause: error }), ErrorCode.internalError);
      throw error;
    }
  }

  /** Ends it for what the server did wrong. The code is ours: no stream may take it for the server's. */
  #fail(fault: Http2Error): void {
    this.#end(new Error(this.#spoke ? fault.message : NOT_HTTP2, { cause: fault }), fault.code);
  }

  readonly #take = (type: number, flags: number, streamId: number, payload: Buffer): void => {
    if (!this.#spoke) {
      if (type !== FrameType.settings || (flags & Flag.ack) !== 0) throw protocolError(NOT_HTTP2);
      this.#spoke = true;
      this.#maxStreams = Infinity;
    }
    const { unfinished } = this.#headers;
    if (unfinished !== 0 && (type !== FrameType.continuation || streamId !== unfinished)) {
      throw protocolError("headers were interrupted by another frame");
    }
    switch (type) {
      case FrameType.data:
        return this.#takeData(flags, streamId, payload);
      case FrameType.headers:
        return this.#takeHeaders(flags, streamId, payload);
      case FrameType.continuation:
        return this.#takeBlock(this.#headers.proceed(flags, payload));
      case FrameType.rstStream:
        assertSize(payload, 4);
        return this.#known(streamId)?.takeReset(payload.readUInt32BE(0));
      case FrameType.settings:
        return this.#takeSettings(flags, streamId, payload);
      case FrameType.ping:
        return this.#takePing(flags, streamId, payload);
      case FrameType.goaway:
        return this.#takeGoaway(streamId, payload);
      case FrameType.windowUpdate:
        return this.#takeWindowUpdate(streamId, payload);
      case FrameType.pushPromise:
        throw protocolError("the server pushes what nobody asked for");
      default:
      // Priorities are of no use to a client, and types that nobody knows are to be ignored.
    }
  };

  /** The stream of a frame; undefined when it is over. Throws for one that never was. */
  #known(streamId: number): ClientStream | undefined {
    const stream = this.#streams.get(streamId);
    if (stream === undefined && (streamId % 2 === 0 || streamId >= this.#nextId)) {
      throw protocolError(`a frame came for stream ${streamId}, which was never begun`);
    }
    return stream;
  }

  #takeData(flags: number, streamId: number, payload: Buffer): void {
    const stream = this.#known(streamId);
    const size = payload.byteLength;
    this.#receiveWindow -= size;
    // New room long before there is none, and whether it is read or not: a reader who falls behind holds up its own
    // stream alone, which is where too much is noticed.
    if (this.#receiveWindow < WINDOW_BYTES / 2) {
      this.#output.write(numberFrame(FrameType.windowUpdate, 0, WINDOW_BYTES - this.#receiveWindow));
      this.#receiveWindow = WINDOW_BYTES;
    }
    stream?.takeData(unpadded(flags, payload), size, (flags & Flag.endStream) !== 0);
  }

  #takeHeaders(flags: number, streamId: number, payload: Buffer): void {
    this.#known(streamId);
    const part = unpadded(flags, payload);
    const priority = (flags & Flag.priority) === 0 ? 0 : 5;
    if (part.byteLength < priority) throw new Http2Error(ErrorCode.frameSizeError, "a frame is too small");
    this.#takeBlock(this.#headers.begin(streamId, flags, part.subarray(priority)));
  }

  #takeBlock(block: HeaderBlock | undefined): void {
    // Even of a stream that is over it had to be decoded: later headers refer to it.
    if (block !== undefined) this.#streams.get(block.streamId)?.takeHeaders(block.headers, block.last);
  }

  #takeSettings(flags: number, streamId: number, payload: Buffer): void {
    assertOfConnection(streamId);
    if ((flags & Flag.ack) !== 0) return assertSize(payload, 0);
    if (payload.byteLength % 6 !== 0) throw new Http2Error(ErrorCode.frameSizeError, "settings of no whole number");
    for (let at = 0; at < payload.byteLength; at += 6) {
      this.#takeSetting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    }
    // All count before the answer, and what they allow comes behind it: until then the server goes by the old ones.
    this.#output.answer(frameBytes(FrameType.settings, Flag.ack, 0, EMPTY));
    this.#flushBlocked();
    this.#startWaiting();
  }

  #takeSetting(id: number, value: number): void {
    switch (id) {
      case Setting.headerTableSize:
        return this.#encoder.setMaxTableBytes(value);
      case Setting.enablePush:
        if (value !== 0) throw protocolError("the server wants to be pushed to");
        return;
      case Setting.maxConcurrentStreams:
        this.#maxStreams = value;
        return;
      case Setting.initialWindowSize: {
        if (value > MAX_31_BITS) throw new Http2Error(ErrorCode.flowControlError, "the window is larger than possible");
        const more = value - this.#initialWindow;
        this.#initialWindow = value;
        for (const stream of this.#streams.values()) stream.resize(more);
        return;
      }
      case Setting.maxFrameSize:
        if (value < DEFAULT_MAX_FRAME_BYTES || value >= 2 ** 24) throw protocolError("frames of an impossible size");
        this.maxFrameBytes = value;
        return;
      default:
      // Of no meaning to a client that sends little, or unknown.
    }
  }

  #takePing(flags: number, streamId: number, payload: Buffer): void {
    assertOfConnection(streamId);
    assertSize(payload, 8);
    if ((flags & Flag.ack) === 0) this.#output.answer(frameBytes(FrameType.ping, Flag.ack, 0, payload));
    else this.#pings.shift()?.();
  }

  #takeGoaway(streamId: number, payload: Buffer): void {
    assertOfConnection(streamId);
    if (payload.byteLength < 8) throw new Http2Error(ErrorCode.frameSizeError, "a frame is too small");
    const lastId = payload.readUInt32BE(0) & MAX_31_BITS;
    const code = payload.readUInt32BE(4);
    this.#takeNoMore();
    for (const listener of Array.from(this.#goaway)) listener();
    if (code !== ErrorCode.noError) {
      const text = `the server ended the connection: ${Http2Error.nameOf(code)}`;
      // Only of a stream does it mean that nothing of it was read.
      const isRefusal = code === ErrorCode.refusedStream;
      return this.#end(isRefusal ? new Error(text) : new Http2Error(code, text), ErrorCode.noError);
    }
    for (const stream of Array.from(this.#streams.values())) if (stream.id > lastId) stream.lose(refused());
    if (this.#streams.size === 0) this.destroy();
  }

  #takeWindowUpdate(streamId: number, payload: Buffer): void {
    assertSize(payload, 4);
    const more = payload.readUInt32BE(0) & MAX_31_BITS;
    if (streamId !== 0) {
      const stream = this.#known(streamId);
      if (more === 0) stream?.fail(protocolError("room for nothing"));
      else stream?.widen(more);
      return;
    }
    if (more === 0) throw protocolError("room for nothing");
    this.sendWindow += more;
    if (this.sendWindow > MAX_31_BITS) {
      throw new Http2Error(ErrorCode.flowControlError, "the window is larger than possible");
    }
    this.#flushBlocked();
  }

  #flushBlocked(): void {
    for (const stream of Array.from(this.#blocked)) {
      // Whoever is served goes to the end of the queue.
      if (this.sendWindow === 0) return;
      this.#blocked.delete(stream);
      stream.flush();
    }
  }
}

const CONNECTION_LOST = "the connection was lost before the call ended";
const NOT_HTTP2 = "the answer is not HTTP/2: does the port expect https://?";

/** The error of a request that the server has not read, and will not. */
function refused(): Http2Error {
  return new Http2Error(ErrorCode.refusedStream, "the server takes no more requests on this connection");
}

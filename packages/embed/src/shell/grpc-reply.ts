import { constants, type ServerHttp2Stream } from "node:http2";

import { encodeGrpcMessage, GrpcError } from "@tenure/etcd/rpc";

import { EtcdServerError, GrpcCode } from "../core/errors.ts";
import type { Codec } from "../wire/codec.ts";
import type { OutputGate } from "./output-gate.ts";

/** What may wait to be sent on one stream: more than Node's own limit, which a few hundred watches of a key exceed. */
const MAX_UNSENT_BYTES = 256 * 1024;
const CONTENT_TYPE = "application/grpc";

/** How a call ended. */
interface Status {
  readonly code: number;
  readonly message: string;
}

const OK: Status = { code: GrpcCode.ok, message: "" };
const OPENING = { ":status": 200, "content-type": CONTENT_TYPE } as const;
/** Without the date, which etcd does not send either. */
const OPENING_OPTIONS = { waitForTrailers: true, sendDate: false };
const OK_TRAILERS = { "grpc-status": String(GrpcCode.ok) } as const;

/**
 * The answer to one call: messages and then, once, a status in trailers. All but the headers goes through the gate, in
 * the order of these calls.
 */
export class GrpcReply {
  readonly #stream: ServerHttp2Stream;
  readonly #codec: Codec;
  readonly #gate: OutputGate;
  #state: "new" | "open" | "ended" = "new";
  /** Bytes that wait at the gate. */
  #heldBytes = 0;
  /** Whether somebody was told that there is no room, for what waits at the gate. */
  #owesRoom = false;

  constructor(stream: ServerHttp2Stream, codec: Codec, gate: OutputGate) {
    this.#stream = stream;
    this.#codec = codec;
    this.#gate = gate;
  }

  /** Whether the last word is said, be it that it still waits at the gate. */
  get isEnded(): boolean {
    return this.#state === "ended" || isGone(this.#stream);
  }

  /** Sends the headers, so that the client knows that the stream stands. */
  open(): void {
    if (this.#state !== "new" || isGone(this.#stream)) return;
    this.#state = "open";
    this.#stream.respond(OPENING, OPENING_OPTIONS);
  }

  /** Sends one message. Returns false when the client or the gate does not keep up: the stream's `drain` follows. */
  send(message: unknown): boolean {
    this.open();
    if (this.isEnded) return true;
    const bytes = this.#codec.encode(message);
    if (this.#gate.isOpen) return this.#write(bytes);
    this.#heldBytes += bytes.byteLength;
    this.#gate.hold(() => this.#release(bytes));
    // Once owed it stays so, even if what is sent nevertheless fits again.
    if (this.#heldBytes >= MAX_UNSENT_BYTES) this.#owesRoom = true;
    return !this.#owesRoom;
  }

  /** Sends the only message of a unary answer, and status OK. */
  sendAndEnd(message: unknown): void {
    this.open();
    if (this.isEnded) return;
    this.#endWith(OK, this.#codec.encode(message));
  }

  /** Ends the call with status OK. */
  end(): void {
    this.open();
    if (!this.isEnded) this.#endWith(OK);
  }

  /** Ends the call with the status an error stands for. Before any message, the status comes in the headers. */
  fail(error: unknown): void {
    if (this.isEnded) return;
    const status = statusOf(error);
    if (this.#state === "open") {
      this.#endWith(status);
      return;
    }
    this.#state = "ended";
    this.#pass(() => respondWith(this.#stream, status));
  }

  #release(bytes: Buffer): void {
    this.#heldBytes -= bytes.byteLength;
    if (isGone(this.#stream)) return;
    const hasRoom = this.#write(bytes);
    if (!this.#owesRoom || this.#heldBytes > 0) return;
    this.#owesRoom = false;
    // What the stream itself has no room for it tells of when it has.
    if (hasRoom) this.#stream.emit("drain");
  }

  /** Messages of the same moment, of many watches say, leave together. Returns false when too much waits to leave. */
  #write(bytes: Buffer): boolean {
    const stream = this.#stream;
    if (stream.writableCorked === 0) {
      stream.cork();
      process.nextTick(() => stream.uncork());
    }
    return stream.write(bytes) || stream.writableLength < MAX_UNSENT_BYTES;
  }

  #endWith(status: Status, lastMessage?: Buffer): void {
    this.#state = "ended";
    this.#pass(() => this.#finish(status, lastMessage));
  }

  #pass(action: () => void): void {
    if (this.#gate.isOpen) action();
    else this.#gate.hold(action);
  }

  #finish(status: Status, lastMessage?: Buffer): void {
    if (isGone(this.#stream)) return;
    this.#stream.on("wantTrailers", () => {
      this.#stream.sendTrailers(status === OK ? OK_TRAILERS : statusHeaders(status));
      // Not at once: a reset that follows immediately overtakes the trailers.
      if (!this.#stream.readableEnded) setImmediate(() => stopUpload(this.#stream));
    });
    if (lastMessage === undefined) this.#stream.end();
    else this.#stream.end(lastMessage);
  }
}

/** Answers a call with nothing but the status an error stands for. */
export function refuse(stream: ServerHttp2Stream, error: unknown, httpStatus: number = 200): void {
  respondWith(stream, statusOf(error), httpStatus);
}

/** Reads a message; bytes that are none become an error of the call. */
export function decode(codec: Codec, bytes: Buffer): unknown {
  try {
    return codec.decode(bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EtcdServerError(GrpcCode.internal, `grpc: error unmarshalling request: ${reason}`);
  }
}

/** Whether the client has left: from then on Node throws at every attempt to answer. */
export function isGone(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}

function respondWith(stream: ServerHttp2Stream, status: Status, httpStatus: number = 200): void {
  if (isGone(stream)) return;
  const headers = { ":status": httpStatus, "content-type": CONTENT_TYPE, ...statusHeaders(status) };
  stream.respond(headers, { endStream: true });
  stopUpload(stream);
}

/** Tells a client that is still sending that nothing more is wanted, as gRPC asks; what was sent arrives first. */
function stopUpload(stream: ServerHttp2Stream): void {
  if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
}

function statusOf(error: unknown): Status {
  if (error instanceof EtcdServerError) return error;
  if (error instanceof GrpcError) return { code: error.status, message: error.message };
  return {
    code: GrpcCode.internal,
    message: error instanceof Error ? error.message : String(error),
  };
}

function statusHeaders({ code, message }: Status): Record<string, string> {
  return { "grpc-status": String(code), "grpc-message": encodeGrpcMessage(message) };
}

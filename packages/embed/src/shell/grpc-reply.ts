import { constants, type ServerHttp2Stream } from "node:http2";

import { type DescMessage, fromBinary, type Message, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { encodeGrpcMessage, frame } from "@tenure/etcd/rpc";

import { EtcdServerError, GrpcCode } from "../core/errors.ts";

const CONTENT_TYPE = "application/grpc";

/** How a call ended. */
interface Status {
  readonly code: number;
  readonly message: string;
}

const OK: Status = { code: GrpcCode.ok, message: "" };

/** The answer to one call: messages and then, once, a status in trailers. */
export class GrpcReply {
  readonly #stream: ServerHttp2Stream;
  readonly #output: DescMessage;
  #state: "new" | "open" | "ended" = "new";

  constructor(stream: ServerHttp2Stream, output: DescMessage) {
    this.#stream = stream;
    this.#output = output;
  }

  get isEnded(): boolean {
    return this.#state === "ended" || isGone(this.#stream);
  }

  /** Sends the headers, so that the client knows that the stream stands. */
  open(): void {
    if (this.#state !== "new" || isGone(this.#stream)) return;
    this.#state = "open";
    this.#stream.respond({ ":status": 200, "content-type": CONTENT_TYPE }, { waitForTrailers: true });
  }

  /** Sends one message. Returns false when the client does not keep up. */
  send(message: unknown): boolean {
    this.open();
    if (this.isEnded) return true;
    return this.#stream.write(this.#encode(message));
  }

  /** Sends the only message of a unary answer, and status OK. */
  sendAndEnd(message: unknown): void {
    this.open();
    if (this.isEnded) return;
    this.#endWith(OK, this.#encode(message));
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
    respondWith(this.#stream, status);
  }

  #endWith(status: Status, lastMessage?: Buffer): void {
    this.#state = "ended";
    this.#stream.once("wantTrailers", () => {
      this.#stream.sendTrailers(statusHeaders(status));
      // Not at once: a reset that follows immediately overtakes the trailers.
      setImmediate(() => stopUpload(this.#stream));
    });
    if (lastMessage === undefined) this.#stream.end();
    else this.#stream.end(lastMessage);
  }

  /** The router has matched handlers with methods, so the message is one of the output type. */
  #encode(message: unknown): Buffer {
    return frame(toBinary(this.#output, message as Message));
  }
}

/** Answers a call with nothing but the status an error stands for. */
export function refuse(stream: ServerHttp2Stream, error: unknown, httpStatus: number = 200): void {
  respondWith(stream, statusOf(error), httpStatus);
}

/** Reads a message; bytes that are none become an error of the call. */
export function decode<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, bytes);
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
  if (error instanceof ConnectError) return { code: error.code, message: error.rawMessage };
  return {
    code: GrpcCode.internal,
    message: error instanceof Error ? error.message : String(error),
  };
}

function statusHeaders({ code, message }: Status): Record<string, string> {
  return { "grpc-status": String(code), "grpc-message": encodeGrpcMessage(message) };
}

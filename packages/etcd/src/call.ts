import { EtcdError, fromStatus } from "./errors.ts";
import { ErrorCode } from "./http2/frames.ts";
import type { Headers } from "./http2/hpack-decoder.ts";
import type { HeaderField } from "./http2/hpack-encoder.ts";
import type { Http2Session, Http2Stream, StreamListener } from "./http2/http2.ts";
import { Http2Error } from "./http2/http2-error.ts";
import { FrameReader, frame } from "./rpc/framing.ts";
import { decodeGrpcMessage } from "./rpc/status.ts";

/** What one gRPC call tells its owner, in this order: any number of messages, then the end, once. */
export interface CallListener {
  onMessage(message: Uint8Array): void;
  /** `error` is undefined when the server closed the call with status OK. */
  onEnd(error: EtcdError | undefined): void;
}

/** One gRPC call on one HTTP/2 stream. */
export class Call implements StreamListener {
  readonly #stream: Http2Stream;
  readonly #reader: FrameReader;
  readonly #listener: CallListener;
  #status: Headers | undefined;
  #responded = false;
  #ended = false;

  /** Throws when the session is over. */
  constructor(session: Http2Session, headers: readonly HeaderField[], maxMessageBytes: number, listener: CallListener) {
    this.#reader = new FrameReader(maxMessageBytes);
    this.#listener = listener;
    this.#stream = session.request(headers, this);
  }

  /** Sends one message; `last` closes our side of the call. */
  send(message: Uint8Array, last: boolean): void {
    if (!this.#ended) this.#stream.send(frame(message), last);
  }

  /** Closes our side of the call. */
  finishSending(): void {
    if (!this.#ended) this.#stream.send(NOTHING, true);
  }

  /** Ends the call from here: the server is told, and the listener hears of `error`. */
  cancel(error: EtcdError): void {
    if (this.#ended) return;
    this.#stream.reset(ErrorCode.cancel);
    this.#finish(error);
  }

  /** Stops reading until {@link resume}, so that the server's flow control window fills. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** For the stream alone. */
  onHeaders(headers: Headers, last: boolean): void {
    if (this.#responded) {
      this.#status = headers;
      return;
    }
    const status = headers.get(":status") ?? "";
    const contentType = headers.get("content-type") ?? "";
    const hasStatus = headers.has("grpc-status");
    // A gRPC server may say its status beside an HTTP status that is none of its own, and then its word counts.
    if (!GRPC_CONTENT_TYPE.test(contentType) || (status !== "200" && !hasStatus)) {
      const answer = `HTTP status ${status}${contentType === "" ? "" : ` with ${contentType}`}`;
      this.cancel(
        new EtcdError(httpStatusCode(status), `the answer is not gRPC but ${answer}: is this etcd's client port?`),
      );
      return;
    }
    this.#responded = true;
    if (hasStatus || last) this.#status = headers;
  }

  /** For the stream alone. */
  onData(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      for (const message of this.#reader.push(chunk)) this.#listener.onMessage(message);
    } catch (thrown) {
      // The answer cannot be read, but the request was.
      const { code, message } = EtcdError.from(thrown);
      this.cancel(new EtcdError(code, message, { cause: thrown, mayHaveApplied: true }));
    }
  }

  /** For the stream alone. */
  onEnd(error: Error | undefined): void {
    this.#finish(error === undefined ? this.#endError() : streamError(error, this.#responded));
  }

  #finish(error: EtcdError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    // A server that ended the call waits for nothing more, but HTTP/2 keeps the stream until both sides have ended it.
    this.#stream.finish();
    this.#listener.onEnd(error);
  }

  /** The error the server's status stands for; none for OK. */
  #endError(): EtcdError | undefined {
    const code = this.#status?.get("grpc-status");
    if (code === undefined) return new EtcdError("unavailable", "the server ended the call without a status");
    if (code !== "0") {
      return fromStatus(Number(code), decodeGrpcMessage(this.#status?.get("grpc-message") ?? ""));
    }
    try {
      this.#reader.end();
      return undefined;
    } catch (error) {
      return EtcdError.from(error);
    }
  }
}

const NOTHING = new Uint8Array(0);

/** `application/grpc` with or without the name of an encoding or a parameter; `application/grpc-web` is another. */
const GRPC_CONTENT_TYPE = /^application\/grpc(?:[+;]|$)/i;

/** HTTP statuses that proxies answer with, as gRPC maps them. */
function httpStatusCode(status: string): "unauthenticated" | "permission-denied" | "unimplemented" | "unavailable" {
  if (status === "401") return "unauthenticated";
  if (status === "403") return "permission-denied";
  if (status === "404") return "unimplemented";
  return "unavailable";
}

function streamError(error: Error, responded: boolean): EtcdError {
  // The reason why the connection gave the session up.
  if (error instanceof EtcdError) return error;
  const code = error instanceof Http2Error ? error.code : undefined;
  // Who has begun to answer has read the request, whatever it says afterwards.
  if (code === ErrorCode.refusedStream && !responded) {
    return new EtcdError("unavailable", "the server refused the call", {
      cause: error,
      mayHaveApplied: false,
    });
  }
  if (code === ErrorCode.enhanceYourCalm) {
    return new EtcdError("resource-exhausted", "the server asks for fewer requests", {
      cause: error,
      mayHaveApplied: true,
    });
  }
  return new EtcdError("unavailable", describe(error), { cause: error });
}

function describe(error: NodeJS.ErrnoException): string {
  return error.code === "ECONNRESET" || error.code === "EPIPE" ? "the connection was reset" : error.message;
}

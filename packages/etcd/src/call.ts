import type * as http2 from "node:http2";
import { EtcdError, fromStatus } from "./errors.ts";
import { FrameReader, frame } from "./rpc/framing.ts";
import { decodeGrpcMessage } from "./rpc/status.ts";

/** What one gRPC call tells its owner, in this order: any number of messages, then the end, once. */
export interface CallListener {
  onMessage(message: Uint8Array): void;
  /** `error` is undefined when the server closed the call with status OK. */
  onEnd(error: EtcdError | undefined): void;
}

const HTTP2_REFUSED_STREAM = 7;
const HTTP2_CANCEL = 8;
const HTTP2_ENHANCE_YOUR_CALM = 11;

/** One gRPC call on one HTTP/2 stream. */
export class Call {
  readonly #stream: http2.ClientHttp2Stream;
  readonly #reader: FrameReader;
  readonly #listener: CallListener;
  #status: http2.IncomingHttpHeaders | undefined;
  #failure: EtcdError | undefined;
  /** Messages of this turn, not written yet. */
  #outgoing: Uint8Array[] = [];
  #responded = false;
  #ended = false;

  constructor(
    session: http2.ClientHttp2Session,
    headers: http2.OutgoingHttpHeaders,
    maxMessageBytes: number,
    listener: CallListener,
  ) {
    this.#reader = new FrameReader(maxMessageBytes);
    this.#listener = listener;
    this.#stream = session.request(headers);
    this.#stream
      .on("response", (response) => this.#onHeaders(response))
      .on("trailers", (trailers: http2.IncomingHttpHeaders) => {
        this.#status = trailers;
      })
      .on("data", (chunk: Buffer) => this.#onData(chunk))
      .on("end", () => this.#finish())
      .on("error", (error: NodeJS.ErrnoException) => {
        this.#failure ??= streamError(error, this.#stream.rstCode, this.#responded);
      })
      .on("close", () => this.#finish());
  }

  /** Sends one message; `last` closes our side of the call. */
  send(message: Uint8Array, last: boolean): void {
    if (this.#ended || this.#stream.destroyed) return;
    if (last) this.#stream.end(frame(message));
    // Node keeps all but the first write of a turn back until that one has left, behind whatever else this turn sends.
    else if (this.#outgoing.push(frame(message)) === 1) process.nextTick(() => this.#flush());
  }

  /** Closes our side of the call. */
  finishSending(): void {
    this.#flush();
    if (!this.#ended && !this.#stream.destroyed) this.#stream.end();
  }

  /** Ends the call from here: the server is told, and the listener hears of `error`. */
  cancel(error: EtcdError): void {
    if (this.#ended) return;
    this.#failure = error;
    this.#stream.close(HTTP2_CANCEL);
    this.#finish();
  }

  /** Stops reading until {@link resume}, so that the server's flow control window fills. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  #flush(): void {
    const messages = this.#outgoing;
    this.#outgoing = [];
    if (messages.length > 0 && !this.#ended && !this.#stream.destroyed) this.#stream.write(Buffer.concat(messages));
  }

  #onHeaders(headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader): void {
    const status = headers[":status"] ?? 0;
    const contentType = headers["content-type"] ?? "";
    const hasStatus = headers["grpc-status"] !== undefined;
    // A gRPC server may say its status beside an HTTP status that is none of its own, and then its word counts.
    if (!GRPC_CONTENT_TYPE.test(contentType) || (status !== 200 && !hasStatus)) {
      const answer = `HTTP status ${status}${contentType === "" ? "" : ` with ${contentType}`}`;
      this.cancel(
        new EtcdError(httpStatusCode(status), `the answer is not gRPC but ${answer}: is this etcd's client port?`),
      );
      return;
    }
    this.#responded = true;
    if (hasStatus) this.#status = headers;
  }

  #onData(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      for (const message of this.#reader.push(chunk)) this.#listener.onMessage(message);
    } catch (thrown) {
      // The answer cannot be read, but the request was.
      const { code, message } = EtcdError.from(thrown);
      this.cancel(new EtcdError(code, message, { cause: thrown, mayHaveApplied: true }));
    }
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    // A server that ended the call waits for nothing more, but HTTP/2 keeps the stream until both sides have ended it.
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end();
    this.#listener.onEnd(this.#failure ?? this.#endError());
  }

  #endWithoutStatus(): string {
    if (this.#stream.session?.destroyed !== false) return "the connection was lost before the call ended";
    return "the server ended the call without a status";
  }

  /** The error the server's status stands for; none for OK. */
  #endError(): EtcdError | undefined {
    const code = this.#status?.["grpc-status"];
    if (code === undefined) return new EtcdError("unavailable", this.#endWithoutStatus());
    if (code !== "0") {
      return fromStatus(Number(code), decodeGrpcMessage(String(this.#status?.["grpc-message"] ?? "")));
    }
    try {
      this.#reader.end();
      return undefined;
    } catch (error) {
      return EtcdError.from(error);
    }
  }
}

/** `application/grpc` with or without the name of an encoding or a parameter; `application/grpc-web` is another. */
const GRPC_CONTENT_TYPE = /^application\/grpc(?:[+;]|$)/i;

/** HTTP statuses that proxies answer with, as gRPC maps them. */
function httpStatusCode(status: number): "unauthenticated" | "permission-denied" | "unimplemented" | "unavailable" {
  if (status === 401) return "unauthenticated";
  if (status === 403) return "permission-denied";
  if (status === 404) return "unimplemented";
  return "unavailable";
}

function streamError(error: NodeJS.ErrnoException, rstCode: number | undefined, responded: boolean): EtcdError {
  // The reason why the connection gave the session up.
  if (error instanceof EtcdError) return error;
  // Who has begun to answer has read the request, whatever it says afterwards.
  if (error.code === "ERR_HTTP2_STREAM_ERROR" && rstCode === HTTP2_REFUSED_STREAM && !responded) {
    return new EtcdError("unavailable", "the server refused the call", {
      cause: error,
      mayHaveApplied: false,
    });
  }
  if (rstCode === HTTP2_ENHANCE_YOUR_CALM) {
    return new EtcdError("resource-exhausted", "the server asks for fewer requests", {
      cause: error,
      mayHaveApplied: true,
    });
  }
  return new EtcdError("unavailable", describe(error), { cause: error });
}

function describe(error: NodeJS.ErrnoException): string {
  if (error.code === "ECONNRESET" || error.code === "EPIPE") return "the connection was reset";
  // What Node says when the first bytes are no HTTP/2, as from a port that expects TLS.
  if (/protocol error|bad client magic|frame size/i.test(error.message)) {
    return "the answer is not HTTP/2: does the port expect https://?";
  }
  return error.message;
}

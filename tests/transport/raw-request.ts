import { connect, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from "node:http2";
import { FrameReader } from "../../packages/etcd/src/rpc/framing.ts";
import { decodeGrpcMessage } from "../../packages/etcd/src/rpc/status.ts";
import { errorNames } from "./frames.ts";

/** What a server answered to a request. */
export interface RawAnswer {
  readonly http: number | undefined;
  /** Its `grpc-status`, from the headers or the trailers. */
  readonly status: string | undefined;
  readonly text: string;
  readonly messages: number;
  /** The code of a reset by the server, if it was one with an error. */
  readonly reset: string | undefined;
}

/** A request as its test wants it. A header of undefined is left out. */
export interface RawRequest {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: readonly Uint8Array[];
  /** Leaves our side open when the body is sent. */
  readonly staysOpen?: boolean;
}

/** A client of nothing but HTTP/2 that sends whatever a test wants. */
export class RawClient implements Disposable {
  readonly #session: ClientHttp2Session;

  constructor(endpoint: string) {
    this.#session = connect(endpoint);
    // A server that ends the connection ends its calls, and those tell.
    this.#session.on("error", () => undefined);
  }

  open({ path, headers = {}, body = [], staysOpen = false }: RawRequest): ClientHttp2Stream {
    const fields: Record<string, string | undefined> = {
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    };
    const sent = Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const stream = this.#session.request(Object.fromEntries(sent), { endStream: false });
    for (const chunk of body) stream.write(chunk);
    if (!staysOpen) stream.end();
    return stream;
  }

  request(request: RawRequest): Promise<RawAnswer> {
    return answerOf(this.open(request));
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** Reads an answer to its end. */
export function answerOf(stream: ClientHttp2Stream): Promise<RawAnswer> {
  const reader = new FrameReader(2 ** 30);
  let headers: IncomingHttpHeaders = {};
  let messages = 0;
  let compressed = 0;
  stream.on("response", (received) => (headers = { ...headers, ...received }));
  stream.on("trailers", (received: IncomingHttpHeaders) => (headers = { ...headers, ...received }));
  stream.on("data", (chunk: Buffer) => {
    if (!String(headers["content-type"]).startsWith("application/grpc")) return;
    try {
      messages += [...reader.push(chunk)].length;
    } catch {
      // Compressed, as etcd answers to compressed requests: it is one message in all these tests.
      compressed = 1;
    }
  });
  // What happened stands in the code of the reset.
  stream.on("error", () => undefined);
  return new Promise((resolve) => {
    stream.once("close", () => {
      const { ":status": http, "grpc-status": status, "grpc-message": text } = headers;
      resolve({
        http: http === undefined ? undefined : Number(http),
        status: status === undefined ? undefined : String(status),
        text: decodeGrpcMessage(String(text ?? "")),
        messages: messages + compressed,
        reset: stream.rstCode === 0 ? undefined : errorNames[stream.rstCode],
      });
    });
  });
}

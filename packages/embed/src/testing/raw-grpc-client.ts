import { connect, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from "node:http2";

import { create, type DescMethod, fromBinary, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { FrameReader, frame } from "@tenure/etcd/rpc";

/** How a call ended, and what came before that. */
export interface RawAnswer {
  readonly messages: readonly Message[];
  readonly status: string | undefined;
  readonly message: string | undefined;
  readonly httpStatus: number | undefined;
  /** The bytes of the answer when it is not gRPC. */
  readonly text: string;
}

/** An open call of a test, on nothing but frames. */
export class RawCall {
  readonly stream: ClientHttp2Stream;
  /** What came so far. */
  readonly messages: Message[] = [];
  readonly answer: Promise<RawAnswer>;
  readonly #method: DescMethod;
  #wake: () => void = () => {};

  constructor(stream: ClientHttp2Stream, method: DescMethod) {
    this.stream = stream;
    this.#method = method;
    this.answer = this.#read();
  }

  send(message: MessageInitShape<DescMethod["input"]>): void {
    this.stream.write(frame(toBinary(this.#method.input, create(this.#method.input, message))));
  }

  /** Resolves when `count` messages have come. */
  async received(count: number): Promise<readonly Message[]> {
    while (this.messages.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.messages;
  }

  #read(): Promise<RawAnswer> {
    const reader = new FrameReader(2 ** 30);
    const raw: Buffer[] = [];
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    this.stream.on("response", (received: IncomingHttpHeaders) => {
      headers = received;
    });
    this.stream.on("trailers", (received: IncomingHttpHeaders) => {
      trailers = received;
    });
    this.stream.on("data", (chunk: Buffer) => {
      raw.push(chunk);
      if (headers["content-type"] !== "application/grpc") return;
      for (const bytes of reader.push(chunk)) this.messages.push(fromBinary(this.#method.output, bytes));
      this.#wake();
    });
    return new Promise((resolve, reject) => {
      this.stream.on("error", reject);
      this.stream.on("close", () => {
        const { "grpc-status": status, "grpc-message": message } = { ...headers, ...trailers };
        const httpStatus = headers[":status"] === undefined ? undefined : Number(headers[":status"]);
        const text = Buffer.concat(raw).toString();
        resolve({ messages: this.messages, status: asText(status), message: asText(message), httpStatus, text });
      });
    });
  }
}

/** A connection of a test. */
export class RawGrpcClient {
  readonly session: ClientHttp2Session;

  constructor(endpoint: string) {
    this.session = connect(endpoint);
    // A server that closes ends its connections; what that means for a call, the call says.
    this.session.on("error", () => {});
  }

  open(method: DescMethod, headers: Readonly<Record<string, string>> = {}): RawCall {
    const stream = this.session.request({
      ":method": "POST",
      ":path": `/${method.parent.typeName}/${method.name}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    return new RawCall(stream, method);
  }

  unary(
    method: DescMethod,
    message: MessageInitShape<DescMethod["input"]>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<RawAnswer> {
    const call = this.open(method, headers);
    call.send(message);
    call.stream.end();
    return call.answer;
  }

  close(): void {
    this.session.destroy();
  }
}

function asText(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

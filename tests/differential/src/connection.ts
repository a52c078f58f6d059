import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { IncomingHttpHeaders } from "node:http2";
import { type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { decodeGrpcMessage, frame, FrameReader } from "@tenure/etcd/rpc";

/** How a call ended. */
export interface Status {
  readonly code: string;
  readonly message: string;
}

/** What is heard of a call. */
export interface CallListener {
  readonly message: (message: Message) => void;
  readonly end: (status: Status) => void;
}

const maxMessageBytes = 2 ** 30;
const windowBytes = 2 ** 24;
/** What stands for the answer of a server that gave none. */
const noAnswer: Status = { code: "none", message: "the connection broke, or there was no answer in time" };

/** A connection that shows messages and statuses as they come, without any of a client's opinions. */
export class Connection {
  readonly #session: ClientHttp2Session;

  constructor(endpoint: string) {
    this.#session = connect(endpoint, { settings: { initialWindowSize: windowBytes } });
    // What that means for a call, the call says.
    this.#session.on("error", () => undefined);
    this.#session.on("connect", () => {
      if (!this.#session.destroyed) this.#session.setLocalWindowSize(windowBytes);
    });
  }

  /** Opens a call of any kind. */
  open(method: DescMethod, listener: CallListener, headers: Readonly<Record<string, string>> = {}): OpenCall {
    const stream = this.#session.request({
      ":method": "POST",
      ":path": `/${method.parent.typeName}/${method.name}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    return new OpenCall(stream, method, listener);
  }

  /** Asks once: the answer if there is one, and the status. */
  async ask(
    method: DescMethod,
    request: Message,
    limitMs: number,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ answer: Message | undefined; status: Status }> {
    let answer: Message | undefined;
    const status = await new Promise<Status>((resolve) => {
      const message = (received: Message): void => void (answer = received);
      const call = this.open(method, { message, end: resolve }, headers);
      call.send(request);
      call.end();
      call.giveUpAfter(limitMs);
    });
    return { answer, status };
  }

  close(): void {
    this.#session.destroy();
  }
}

/** A call under way. */
export class OpenCall {
  readonly #stream: ClientHttp2Stream;
  readonly #method: DescMethod;

  constructor(stream: ClientHttp2Stream, method: DescMethod, listener: CallListener) {
    this.#stream = stream;
    this.#method = method;
    const reader = new FrameReader(maxMessageBytes);
    let headers: IncomingHttpHeaders = {};
    const take = (received: IncomingHttpHeaders): void => void (headers = { ...headers, ...received });
    stream.on("response", take);
    stream.on("trailers", take);
    stream.on("data", (chunk: Buffer) => {
      for (const bytes of reader.push(chunk)) listener.message(fromBinary(method.output, bytes));
    });
    stream.on("error", () => undefined);
    stream.once("close", () => listener.end(statusOf(headers)));
  }

  send(message: Message): void {
    if (!this.#stream.destroyed) this.#stream.write(frame(toBinary(this.#method.input, message)));
  }

  /** Says that nothing more will be sent. */
  end(): void {
    this.#stream.end();
  }

  cancel(): void {
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Cancels the call when it is not over by then. */
  giveUpAfter(limitMs: number): void {
    const timer = setTimeout(() => this.cancel(), limitMs);
    this.#stream.once("close", () => clearTimeout(timer));
  }
}

function statusOf(headers: IncomingHttpHeaders): Status {
  const { "grpc-status": code, "grpc-message": message } = headers;
  if (code === undefined) return noAnswer;
  return { code: String(code), message: decodeGrpcMessage(String(message ?? "")) };
}

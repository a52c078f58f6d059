import * as http2 from "node:http2";
import * as net from "node:net";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { EtcdClient, type EtcdClientOptions } from "../client.ts";
import { PutResponseSchema } from "../gen/rpc_pb.ts";
import { FrameReader, frame } from "../rpc/framing.ts";
import { encodeGrpcMessage } from "../rpc/status.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";

/** How long a test waits for an event, and how often it looks. */
export const WAIT: Readonly<Record<"timeout" | "interval", number>> = { timeout: 5000, interval: 2 };
const MAX_BYTES = 64 * 1024 * 1024;

/** One call as the server sees it. */
export interface ServerCall {
  readonly stream: http2.ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  /** Bodies of the messages so far. */
  readonly messages: Uint8Array[];
}

/** A gRPC server that answers as the test says. */
export class FakeServer implements AsyncDisposable {
  readonly calls: ServerCall[] = [];
  readonly sessions: Set<http2.ServerHttp2Session> = new Set();
  sessionsSeen = 0;
  /** Called with each message of a call. */
  onMessage: (call: ServerCall) => void = (call) => answer(call, PutResponseSchema, {});
  readonly #server: http2.Http2Server = http2.createServer({
    maxSessionMemory: 256,
    settings: { initialWindowSize: 1024 * 1024 },
  });

  private constructor() {
    this.#server.on("session", (session) => {
      this.sessionsSeen++;
      this.sessions.add(session);
      session.on("error", () => undefined);
      session.once("close", () => this.sessions.delete(session));
    });
    this.#server.on("stream", (stream, headers) => {
      const call: ServerCall = { stream, headers, messages: [] };
      this.calls.push(call);
      const reader = new FrameReader(MAX_BYTES);
      stream.on("error", () => undefined);
      stream.on("data", (chunk: Buffer) => {
        for (const message of reader.push(chunk)) {
          call.messages.push(message);
          this.onMessage(call);
        }
      });
    });
  }

  static async start(onMessage?: (call: ServerCall) => void): Promise<FakeServer> {
    const fake = new FakeServer();
    if (onMessage !== undefined) fake.onMessage = onMessage;
    await new Promise<void>((resolve) => fake.#server.listen(0, "127.0.0.1", resolve));
    return fake;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${portOf(this.#server)}`;
  }

  get paths(): (string | undefined)[] {
    return this.calls.map(({ headers }) => headers[":path"]?.split("/").at(-1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** The port of a server that listens. */
export function portOf(server: net.Server | http2.Http2Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Begins an answer whose status comes in trailers. */
export function respond(call: ServerCall): void {
  call.stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
}

/** Ends a call with a status in trailers. */
export function finish({ stream }: ServerCall, status: number, message = ""): void {
  stream.on("wantTrailers", () =>
    stream.sendTrailers({ "grpc-status": String(status), "grpc-message": encodeGrpcMessage(message) }),
  );
  stream.end();
}

/** Sends one message of an answer. */
export function send<D extends DescMessage>(call: ServerCall, schema: D, fields: MessageInitShape<D>): void {
  call.stream.write(frame(toBinary(schema, create(schema, fields))));
}

/** Answers a call with one message. */
export function answer<D extends DescMessage>(call: ServerCall, schema: D, fields: MessageInitShape<D>): void {
  respond(call);
  send(call, schema, fields);
  finish(call, 0);
}

/** Answers a call with a status and nothing else. */
export function trailersOnly(call: ServerCall, status: number, message: string): void {
  const headers = { ":status": 200, "content-type": "application/grpc", "grpc-status": String(status) };
  call.stream.respond({ ...headers, "grpc-message": encodeGrpcMessage(message) }, { endStream: true });
}

const clients: EtcdClient[] = [];

/** A client that tries the endpoints in the order given, until {@link closeClients}. */
export function clientOf(
  endpoints: readonly (FakeServer | string)[],
  clock: Clock = systemClock,
  options: EtcdClientOptions = {},
): EtcdClient {
  const urls = endpoints.map((endpoint) => (typeof endpoint === "string" ? endpoint : endpoint.endpoint));
  const client = new EtcdClient({
    endpoints: urls.length === 0 ? undefined : urls,
    clock,
    connectTimeoutMs: 1000,
    random: { fraction: () => 0, bits: () => 1n },
    ...options,
  });
  clients.push(client);
  return client;
}

/** Closes the clients of the test that ended. */
export async function closeClients(): Promise<void> {
  for (const client of clients.splice(0)) await client.close();
}

/** An endpoint of this machine where nothing listens. */
export async function deadEndpoint(): Promise<string> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const port = portOf(server);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return `http://127.0.0.1:${port}`;
}

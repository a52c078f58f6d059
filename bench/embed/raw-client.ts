import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { connect as connectTcp } from "node:net";

/** Paths of the calls that are made here. */
export const paths = {
  put: "/etcdserverpb.KV/Put",
  range: "/etcdserverpb.KV/Range",
  grant: "/etcdserverpb.Lease/LeaseGrant",
  keepAlive: "/etcdserverpb.Lease/LeaseKeepAlive",
  watch: "/etcdserverpb.Watch/Watch",
} as const;

/** Bytes before each message of gRPC. */
const prefixBytes = 5;

/** A client that does as little as can be: requests are ready in bytes, and of answers it sees that they came. */
export class RawClient {
  readonly #session: ClientHttp2Session;

  constructor(endpoint: string) {
    const { hostname: host, port } = new URL(endpoint);
    const socket = connectTcp({ host, port: Number(port), noDelay: true });
    // Else a server that sends much waits for this client again and again.
    const settings = { initialWindowSize: 16 * 1024 * 1024 };
    this.#session = connect(endpoint, { createConnection: () => socket, settings });
    this.#session.on("connect", () => this.#session.setLocalWindowSize(64 * 1024 * 1024));
  }

  /** One call; `done` gets its answer, or undefined when there is none. */
  call(path: string, request: Buffer, done: (answer: Buffer | undefined) => void): void {
    const stream = this.stream(path);
    let answer: Buffer | undefined;
    stream.on("data", (chunk: Buffer) => (answer = answer === undefined ? chunk : Buffer.concat([answer, chunk])));
    stream.on("error", () => (answer = undefined));
    stream.on("close", () => done(answer));
    stream.end(request);
  }

  /** The same for one who waits: the message without its prefix. */
  ask(path: string, request: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.call(path, request, (answer) => {
        if (answer === undefined) reject(new Error(`${path} was refused`));
        else resolve(answer.subarray(prefixBytes));
      });
    });
  }

  /** An open call. */
  stream(path: string): ClientHttp2Stream {
    return this.#session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
  }

  /** Rejects when the connection breaks. */
  broken(): Promise<never> {
    return new Promise((_, reject) => {
      this.#session.once("error", reject);
      this.#session.once("close", () => reject(new Error("the connection has ended")));
    });
  }

  close(): void {
    this.#session.destroy();
  }
}

import { once } from "node:events";
import { createServer as createHttp1Server, type Server as Http1Server } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from "node:net";

import type { Clock } from "@tenure/etcd/runtime";

import { refusal } from "../core/errors.ts";
import { emptySettings, readOpening } from "./authority.ts";
import { type Call, serveStream, serveUnary } from "./grpc-call.ts";
import { isGone, refuse } from "./grpc-reply.ts";
import type { GrpcRouter, Route } from "./grpc-service.ts";
import { plainAnswer } from "./plain-http.ts";
import { problemOf } from "./request-headers.ts";

/** How every client of HTTP/2 begins. */
const HTTP2_PREFACE = "PRI * HTTP/2.0";
const STREAM_WINDOW_BYTES = 1024 * 1024;
const SESSION_WINDOW_BYTES = 16 * 1024 * 1024;

/** No first request is larger; what is goes on as it is. */
const MAX_OPENING_BYTES = 64 * 1024;
const MAX_CLOSING_TURNS = 20;

const HTTP2_OPTIONS: ServerOptions & {
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
} = {
  // Beyond this Node resets the call and leaks memory, for which it ends the process when the session is collected
  // (seen in 20.20). The size of all headers together has a limit anyway.
  maxHeaderListPairs: 65_536,
  // A Go client puts all watches and calls of a program on one connection.
  settings: { maxConcurrentStreams: 2 ** 31 - 1, initialWindowSize: STREAM_WINDOW_BYTES },
  // In megabytes. Streams beyond it are refused, and the default of 10 is less than a few busy watches need.
  maxSessionMemory: 1024,
  // A client that cancels a watch resets its stream; by default Node takes a thousand of them for an attack.
  streamResetBurst: 1_000_000,
  streamResetRate: 100_000,
};

/** A gRPC server on cleartext HTTP/2 with prior knowledge; to others on the port it says what it is. */
export class GrpcServer {
  readonly #router: GrpcRouter;
  readonly #clock: Clock;
  readonly #tcp: TcpServer;
  readonly #http1: Http1Server;
  readonly #http2: Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #calls = new Set<Call>();

  constructor(router: GrpcRouter, clock: Clock) {
    this.#router = router;
    this.#clock = clock;
    this.#tcp = createTcpServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#http1 = createHttp1Server((request, response) => {
      const { status, contentType, body } = plainAnswer(request.method, request.url);
      response.writeHead(status, { "content-type": contentType, connection: "close" }).end(body);
    });
    this.#http2 = createHttp2Server(HTTP2_OPTIONS);
    this.#http2.on("session", (session) => this.#addSession(session));
    this.#http2.on("stream", (stream, headers) => this.#serve(stream, headers));
  }

  /**
   * Starts to listen and returns the port.
   *
   * @throws Error with the `code` of the system call, such as EADDRINUSE, when that fails.
   */
  async listen(host: string, port: number): Promise<number> {
    this.#tcp.listen({ host, port });
    await once(this.#tcp, "listening");
    const address = this.#tcp.address();
    if (address === null || typeof address === "string") throw new TypeError("a TCP server has no port");
    return address.port;
  }

  /** Ends all calls and connections and frees the port. */
  async close(): Promise<void> {
    const closed = once(this.#tcp, "close");
    this.#tcp.close();
    for (const call of this.#calls) call.fail(refusal("stopped"));
    // The calls' last words take a few turns of the event loop; a client that does not read them costs no more.
    for (let turn = 0; turn < MAX_CLOSING_TURNS && this.#calls.size > 0; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Looks at the first bytes of a connection and hands it to the server for its protocol. */
  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    // A connection that breaks is closed, which is all there is to do about it.
    socket.on("error", () => {});
    socket.once("data", (first: Buffer) => {
      const start = first.toString("latin1", 0, HTTP2_PREFACE.length);
      if (HTTP2_PREFACE.startsWith(start)) this.#acceptHttp2(socket, first);
      else {
        socket.pause();
        socket.unshift(first);
        this.#http1.emit("connection", socket);
        socket.resume();
      }
    });
  }

  /** Hands a connection over once its first request is complete and mended. */
  #acceptHttp2(socket: Socket, first: Buffer): void {
    let bytes = Buffer.alloc(0);
    let settingsSent = false;
    const take = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const opening = readOpening(bytes, settingsSent);
      if (opening.t === "partial" && bytes.length < MAX_OPENING_BYTES) {
        if (!settingsSent) socket.write(emptySettings());
        settingsSent = true;
        return;
      }
      socket.off("data", take);
      socket.pause();
      socket.unshift(opening.t === "complete" ? opening.bytes : bytes);
      // The session reads what was put back, and then the connection itself: nobody else may let it flow.
      this.#http2.emit("connection", socket);
    };
    socket.on("data", take);
    take(first);
  }

  #addSession(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once("close", () => this.#sessions.delete(session));
    // A session that fails is closed, and its streams with it.
    session.on("error", () => {});
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // A stream that fails is closed, and its call hears of that.
    stream.on("error", () => {});
    // Opened and reset in one packet, or its connection broke: there is nobody to answer.
    if (isGone(stream)) return;
    const problem = problemOf(headers);
    if (problem === "not gRPC") {
      const { status, contentType, body } = plainAnswer(headers[":method"], headers[":path"]);
      stream.respond({ ":status": status, "content-type": contentType });
      stream.end(body);
      return;
    }
    if (problem !== undefined) {
      refuse(stream, problem.error, problem.http);
      return;
    }
    const route = this.#route(stream, headers[":path"] ?? "");
    if (route === undefined) return;
    const call =
      route.kind === "unary"
        ? serveUnary(route, stream, headers, this.#clock)
        : serveStream(route, stream, headers, this.#clock);
    this.#calls.add(call);
    stream.once("close", () => this.#calls.delete(call));
  }

  #route(stream: ServerHttp2Stream, path: string): Route | undefined {
    try {
      return this.#router.find(path);
    } catch (error) {
      refuse(stream, error);
      return undefined;
    }
  }
}

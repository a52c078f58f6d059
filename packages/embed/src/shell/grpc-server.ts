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
import type { Limits } from "../limits.ts";
import { emptySettings, readOpening } from "./authority.ts";
import { type Call, serve } from "./grpc-call.ts";
import { isGone, refuse } from "./grpc-reply.ts";
import type { GrpcRouter, Route } from "./grpc-service.ts";
import { dropWhenDead } from "./liveness.ts";
import { OPEN_GATE, type OutputGate } from "./output-gate.ts";
import { plainAnswer } from "./plain-http.ts";
import { callerOf, problemOf } from "./request-headers.ts";
import { commonNameOf, createTlsServer, type EmbedTls, wantsCertificates } from "./server-tls.ts";

/** How every client of HTTP/2 begins. */
const HTTP2_PREFACE = "PRI * HTTP/2.0";
const STREAM_WINDOW_BYTES = 1024 * 1024;
const SESSION_WINDOW_BYTES = 16 * 1024 * 1024;

/** No first request is larger, and before our settings a client sends no more than 64 KiB; what is goes on as it is. */
const MAX_OPENING_BYTES = 128 * 1024;
const MAX_CLOSING_TURNS = 20;
/** A client that says nothing for so long before its first request is dropped. */
const OPENING_TIMEOUT_MS = 30_000;

const HTTP2_OPTIONS: ServerOptions & {
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
} = {
  // Beyond this Node resets the call and leaks memory, for which it ends the process when the session is collected
  // (seen in 20.20). The size of all headers together has a limit anyway.
  maxHeaderListPairs: 65_536,
  settings: { initialWindowSize: STREAM_WINDOW_BYTES },
  // In megabytes. Streams beyond it are refused, and the default of 10 is less than a few busy watches need.
  maxSessionMemory: 1024,
  // A client that cancels a watch resets its stream; by default Node takes a thousand of them for an attack.
  // One that resets more than this is dropped.
  streamResetBurst: 50_000,
  streamResetRate: 10_000,
};

/** What a {@link GrpcServer} is made of. */
export interface GrpcServerOptions {
  readonly router: GrpcRouter;
  readonly clock: Clock;
  readonly limits: Pick<Limits, "maxConnections" | "maxCallsPerConnection" | "maxIdleMs">;
  /** Cleartext unless given. */
  readonly tls?: EmbedTls | undefined;
  /** Where answers wait. They do not unless given. */
  readonly gate?: OutputGate | undefined;
}

/**
 * A gRPC server on HTTP/2, in cleartext with prior knowledge or with TLS; to others on the port it says what it is.
 */
export class GrpcServer {
  /** Hears of each call before it is served: for the test kit. */
  onCall: ((stream: ServerHttp2Stream, path: string) => void) | undefined;
  readonly #router: GrpcRouter;
  readonly #clock: Clock;
  readonly #gate: OutputGate;
  readonly #tcp: TcpServer;
  readonly #http1: Http1Server;
  readonly #http2: Http2Server;
  readonly #sockets = new Set<Socket>();
  /** The connections, and as whom certificates know their clients. */
  readonly #sessions = new Map<ServerHttp2Session, string | undefined>();
  readonly #wantsCertificates: boolean;
  readonly #maxIdleMs: number;
  readonly #calls = new Set<Call>();

  /** Throws when the certificate of TLS cannot be used. */
  constructor({ router, clock, limits, tls, gate = OPEN_GATE }: GrpcServerOptions) {
    this.#router = router;
    this.#clock = clock;
    this.#gate = gate;
    this.#maxIdleMs = limits.maxIdleMs;
    const accept = (socket: Socket): void => this.#accept(socket);
    this.#tcp = tls === undefined ? createTcpServer({ noDelay: true }, accept) : createTlsServer(tls, accept);
    this.#tcp.maxConnections = limits.maxConnections;
    this.#wantsCertificates = wantsCertificates(tls);
    // Those that have not shaken hands yet have to go as well when this ends.
    this.#tcp.on("connection", (socket: Socket) => this.#track(socket));
    this.#http1 = createHttp1Server((request, response) => {
      const { status, contentType, body } = plainAnswer(request.method, request.url);
      response.writeHead(status, { "content-type": contentType, connection: "close" }).end(body);
    });
    this.#http2 = createHttp2Server({
      ...HTTP2_OPTIONS,
      settings: { ...HTTP2_OPTIONS.settings, maxConcurrentStreams: limits.maxCallsPerConnection },
    });
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
    for (const session of this.#sessions.keys()) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** Looks at the first bytes of a connection and hands it to the server for its protocol. */
  #accept(socket: Socket): void {
    // A connection that breaks is closed, which is all there is to do about it.
    socket.on("error", () => {});
    socket.setTimeout(OPENING_TIMEOUT_MS, () => socket.destroy());
    socket.once("data", (first: Buffer) => {
      const start = first.toString("latin1", 0, HTTP2_PREFACE.length);
      if (HTTP2_PREFACE.startsWith(start)) this.#acceptHttp2(socket, first);
      else {
        socket.pause();
        socket.setTimeout(0);
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
      socket.setTimeout(0);
      socket.pause();
      socket.unshift(opening.t === "complete" ? opening.bytes : bytes);
      // The session reads what was put back, and then the connection itself: nobody else may let it flow.
      this.#http2.emit("connection", socket);
    };
    socket.on("data", take);
    take(first);
  }

  #addSession(session: ServerHttp2Session): void {
    this.#sessions.set(session, this.#wantsCertificates ? commonNameOf(session) : undefined);
    session.once("close", () => this.#sessions.delete(session));
    // A session that fails is closed, and its streams with it.
    session.on("error", () => {});
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    dropWhenDead(session, this.#maxIdleMs);
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
    this.onCall?.(stream, headers[":path"] ?? "");
    const call = serve(route, stream, {
      headers,
      caller: callerOf(headers, this.#commonNameOf(stream)),
      clock: this.#clock,
      gate: this.#gate,
    });
    this.#calls.add(call);
    stream.once("close", () => this.#calls.delete(call));
  }

  #commonNameOf({ session }: ServerHttp2Stream): string | undefined {
    return session === undefined ? undefined : this.#sessions.get(session as ServerHttp2Session);
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

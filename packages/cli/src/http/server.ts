import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Clock, systemClock } from "@tenure/etcd/runtime";
import type { Address } from "../listening.ts";
import type { ActionWanted, Actions } from "./actions.ts";
import { type Answer, COMMON_HEADERS, errorAnswer } from "./answer.ts";
import { Connections } from "./connections.ts";
import type { EventStreams } from "./event-streams.ts";
import type { Gate } from "./gate.ts";
import { closed, listen } from "./listen.ts";
import { ACTION_METHODS, METHODS, refusalOf } from "./request-checks.ts";
import { type Board, routed } from "./routes.ts";

/** What an HTTP server is made from. */
export interface HttpOptions {
  readonly board: Board;
  readonly streams: EventStreams;
  /** Who may act. */
  readonly gate: Gate;
  readonly actions: Pick<Actions, "perform">;
  /** Names that requests may be addressed to, besides loopback and the address they came to. */
  readonly hosts: readonly string[];
  readonly clock?: Clock;
}

/** Connections at a time, streams of events not counted: more than arrive before the first of them can be answered. */
export const MAX_CONNECTIONS = 1024;
const MAX_HEADER_BYTES = 16 * 1024;
/** No route takes a body; a larger one is refused. */
const MAX_BODY_BYTES = 64 * 1024;
/** Of a body that is too large so much is read, to let the client see the answer. */
const MAX_DRAINED_BYTES = 16 * 1024 * 1024;
const DRAIN_LIMIT_MS = 1000;
const HEADERS_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
const TIMEOUT_CHECK_MS = 1000;
const MAX_REQUESTS_PER_CONNECTION = 10_000;

/** Health, status, metrics and events over HTTP, answered from memory; and actions, for those who know a secret. */
export class HttpServer {
  readonly #board: Board;
  readonly #streams: EventStreams;
  readonly #gate: Gate;
  readonly #actions: Pick<Actions, "perform">;
  readonly #hosts: ReadonlySet<string>;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #connections: Connections;
  /** Connections that end with the answer to an action. */
  readonly #acting = new WeakSet<Socket>();

  constructor({ board, streams, gate, actions, hosts, clock = systemClock }: HttpOptions) {
    this.#board = board;
    this.#streams = streams;
    this.#gate = gate;
    this.#actions = actions;
    this.#hosts = new Set(hosts.map((host) => host.toLowerCase()));
    this.#clock = clock;
    const limits = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    };
    this.#server = createServer(limits, (request, response) => this.#onRequest(request, response));
    this.#server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION;
    this.#server.on("checkContinue", (request, response) => this.#onRequest(request, response));
    this.#connections = new Connections(this.#server, MAX_CONNECTIONS);
  }

  /** Returns where it listens. Throws CommandError 73. */
  listen(address: Address, flag: string): Promise<Address> {
    return listen(this.#server, address, flag);
  }

  async close(): Promise<void> {
    const done = closed(this.#server);
    this.#streams.close();
    this.#connections.closeAll();
    await done;
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    response.on("error", () => undefined);
    request.on("error", () => undefined);
    if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) return this.#refuseBody(request, response);
    // The usual case is answered in this very turn of the event loop.
    if (request.headers["transfer-encoding"] === undefined) {
      request.resume();
      return this.#answer(request, response);
    }
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      const before = bytes;
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES && before <= MAX_BODY_BYTES) this.#refuseBody(request, response);
    });
    request.once("end", () => {
      if (!response.headersSent) this.#answer(request, response);
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const refusal = refusalOf(request, this.#hosts);
    if (refusal !== undefined) return send(request, response, errorAnswer(refusal.status, refusal.error));
    const answer = routed(request.url ?? "", this.#board);
    if ("t" in answer && answer.t === "action") return void this.#act(request, response, answer);
    const known = "t" in answer || answer.status !== 404;
    if (known && !METHODS.includes(request.method ?? "")) return send(request, response, wrongMethod(METHODS));
    if (!("t" in answer)) return send(request, response, answer);
    if (request.method !== "GET") {
      return send(request, response, { status: 200, headers: { "Content-Type": "text/event-stream" }, body: "" });
    }
    if (this.#streams.full(request.socket)) {
      return send(
        request,
        response,
        errorAnswer(503, "too many listen already", { "Retry-After": "5", Connection: "close" }),
      );
    }
    this.#connections.keep(request.socket);
    this.#streams.open(response, answer.service, request.headers["last-event-id"]?.toString());
  }

  /** What changes something: never by GET, and only for those who may. */
  async #act(request: IncomingMessage, response: ServerResponse, wanted: ActionWanted): Promise<void> {
    const { method = "", headers, socket } = request;
    const close = { Connection: "close" };
    if (method === "OPTIONS") return send(request, response, { status: 200, headers: {}, body: "" }, ACTION_METHODS);
    if (method !== "POST") return send(request, response, wrongMethod(ACTION_METHODS));
    // A form of a web page has one; what an action needs stands in the query.
    if (Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"] !== undefined) {
      return send(request, response, errorAnswer(415, "an action takes no body", close));
    }
    const refused = await this.#gate.refusalOf(request);
    // What a client sends behind an action, without waiting for its answer, could not be answered any more.
    if (this.#acting.has(socket)) return;
    if (refused !== undefined) return send(request, response, refused);
    this.#acting.add(socket);
    // It may take a while, and is none of those that only hold a connection open.
    this.#connections.keep(socket);
    const answer = await this.#actions.perform(wanted, socket.remoteAddress ?? "somebody");
    send(request, response, { ...answer, headers: { ...answer.headers, ...close } });
  }

  /** Answers, and goes on reading for a moment: a client that still sends would not see the answer otherwise. */
  #refuseBody(request: IncomingMessage, response: ServerResponse): void {
    const answer = errorAnswer(413, `no route takes a body, and none of more than ${MAX_BODY_BYTES} bytes is read`);
    const { socket } = request;
    response.writeHead(answer.status, {
      ...COMMON_HEADERS,
      ...answer.headers,
      ...lengthOf(answer.body),
      Connection: "close",
    });
    response.write(answer.body);
    const end = (): void => void socket.destroy();
    const cancel = this.#clock.after(DRAIN_LIMIT_MS, end);
    socket.once("close", cancel);
    let drained = 0;
    request.on("data", (chunk: Buffer) => {
      drained += chunk.length;
      if (drained > MAX_DRAINED_BYTES) end();
    });
    request.once("end", () => response.end());
    request.resume();
  }
}

function wrongMethod(allowed: readonly string[]): Answer {
  return errorAnswer(405, `there is only ${allowed.join(", ")}`, { Allow: allowed.join(", ") });
}

/** @param methods what OPTIONS is told that there is */
function send({ method }: IncomingMessage, response: ServerResponse, answer: Answer, methods = METHODS): void {
  const { status, headers } = answer;
  const options = method === "OPTIONS";
  const body = options ? "" : (answer.bytes ?? answer.body);
  response.writeHead(status, {
    ...COMMON_HEADERS,
    ...headers,
    ...(options && { Allow: methods.join(", ") }),
    // These two have no body by definition.
    ...(status !== 204 && status !== 304 && lengthOf(body)),
  });
  // Node leaves the body out where the method has none.
  response.end(body);
}

function lengthOf(body: string | Buffer): Record<string, string> {
  return { "Content-Length": String(Buffer.byteLength(body)) };
}

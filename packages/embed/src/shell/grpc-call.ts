import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";

import { FrameReader, parseGrpcTimeout } from "@tenure/etcd/rpc";
import type { Clock } from "@tenure/etcd/runtime";

import { EtcdServerError, GrpcCode } from "../core/errors.ts";
import { MAX_REQUEST_BYTES } from "../core/request-checks.ts";
import { decode, GrpcReply } from "./grpc-reply.ts";
import type { Route, StreamReceiver } from "./grpc-service.ts";

/** etcd's own allowance beyond the largest request. */
const MAX_MESSAGE_BYTES = MAX_REQUEST_BYTES + 512 * 1024;

/** A call under way. */
export interface Call {
  /** Ends the call with a status, unless it has ended. */
  fail(error: EtcdServerError): void;
}

/** Serves one call of a unary method. A `grpc-timeout` counts from now. */
export function serveUnary(
  route: Extract<Route, { kind: "unary" }>,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  clock: Clock,
): Call {
  const reply = new GrpcReply(stream, route.method.output);
  const fail = (error: unknown): void => reply.fail(error);
  const timeoutMs = parseGrpcTimeout(asText(headers["grpc-timeout"]));
  if (timeoutMs !== undefined) {
    const expire = (): void => fail(new EtcdServerError(GrpcCode.deadlineExceeded, "context deadline exceeded"));
    stream.once("close", clock.after(timeoutMs, expire));
  }
  let request: Uint8Array | undefined;
  const takeMessage = (message: Uint8Array): void => {
    if (request !== undefined) throw new EtcdServerError(GrpcCode.internal, "more than one request in a unary call");
    request = message;
  };
  const answer = (): void => {
    if (request === undefined) throw new EtcdServerError(GrpcCode.internal, "no request in a unary call");
    const response = route.handler(decode(route.method.input, request));
    if (response instanceof Promise) response.then((message) => reply.sendAndEnd(message), fail);
    else reply.sendAndEnd(response);
  };
  readMessages(stream, { message: takeMessage, end: answer, fail, isEnded: () => reply.isEnded });
  return { fail };
}

/** Serves one stream of a method with streams in both directions. */
export function serveStream(route: Extract<Route, { kind: "stream" }>, stream: ServerHttp2Stream): Call {
  const reply = new GrpcReply(stream, route.method.output);
  let isFull = false;
  const fail = (error: unknown): void => reply.fail(error);
  const send = (message: unknown): boolean => {
    const hasRoom = reply.send(message);
    if (!hasRoom && !isFull) {
      isFull = true;
      // Requests have answers too: whoever does not read gets to send no more of them.
      stream.pause();
    }
    return hasRoom;
  };
  reply.open();
  const receiver: StreamReceiver<unknown> = route.handler({ send, end: () => reply.end() });
  stream.on("drain", () => {
    if (!isFull) return;
    isFull = false;
    stream.resume();
    attempt(() => receiver.drain(), fail);
  });
  stream.once("close", () => receiver.close());
  readMessages(stream, {
    message: (bytes) => receiver.message(decode(route.method.input, bytes)),
    end: () => receiver.halfClose(),
    fail,
    isEnded: () => reply.isEnded,
  });
  return { fail };
}

interface MessageTaker {
  readonly message: (bytes: Uint8Array) => void;
  /** The client has sent everything. */
  readonly end: () => void;
  readonly fail: (error: unknown) => void;
  /** Whether the call has its status already, so that what still arrives is of no use. */
  readonly isEnded: () => boolean;
}

function readMessages(stream: ServerHttp2Stream, taker: MessageTaker): void {
  const reader = new FrameReader(MAX_MESSAGE_BYTES);
  stream.on("data", (chunk: Uint8Array) => {
    if (taker.isEnded()) return;
    attempt(() => {
      for (const message of reader.push(chunk)) taker.message(message);
    }, taker.fail);
  });
  stream.on("end", () => {
    if (taker.isEnded()) return;
    attempt(() => {
      reader.end();
      taker.end();
    }, taker.fail);
  });
}

function attempt(action: () => void, fail: (error: unknown) => void): void {
  try {
    action();
  } catch (error) {
    fail(error);
  }
}

function asText(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

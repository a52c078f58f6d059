import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";

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
  const expire = (): void => fail(new EtcdServerError(GrpcCode.deadlineExceeded, "context deadline exceeded"));
  atDeadline(stream, headers, clock, expire);
  let isAsked = false;
  // As etcd: the first message is the request, whatever follows.
  const answer = (message: Uint8Array): void => {
    if (isAsked) return;
    isAsked = true;
    const response = route.handler(decode(route.method.input, message));
    if (response instanceof Promise) response.then((result) => reply.sendAndEnd(result), fail);
    else reply.sendAndEnd(response);
  };
  const end = (isWhole: boolean): void => {
    if (!isAsked) throw new EtcdServerError(GrpcCode.unknown, isWhole ? "EOF" : "unexpected EOF");
  };
  readMessages(stream, { message: answer, end, fail, isEnded: () => reply.isEnded });
  return { fail };
}

/** Serves one stream of a method with streams in both directions. At its `grpc-timeout` it is reset, as by etcd. */
export function serveStream(
  route: Extract<Route, { kind: "stream" }>,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  clock: Clock,
): Call {
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
  atDeadline(stream, headers, clock, () => stream.close(constants.NGHTTP2_CANCEL));
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
    end: (isWhole) => {
      if (!isWhole) throw new EtcdServerError(GrpcCode.internal, "unexpected EOF");
      receiver.halfClose();
    },
    fail,
    isEnded: () => reply.isEnded,
  });
  return { fail };
}

interface MessageTaker {
  readonly message: (bytes: Uint8Array) => void;
  /** The client has sent everything, be it in whole messages or not. */
  readonly end: (isWhole: boolean) => void;
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
    attempt(() => taker.end(isWhole(reader)), taker.fail);
  });
}

function isWhole(reader: FrameReader): boolean {
  try {
    reader.end();
    return true;
  } catch {
    // It says so by throwing, in words for a client.
    return false;
  }
}

/** Calls `expire` when the call's `grpc-timeout`, which counts from now, is over and the call is not. */
function atDeadline(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, clock: Clock, expire: () => void): void {
  const timeoutMs = parseGrpcTimeout(asText(headers["grpc-timeout"]));
  if (timeoutMs === undefined) return;
  if (timeoutMs <= 0) expire();
  else stream.once("close", clock.after(timeoutMs, expire));
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

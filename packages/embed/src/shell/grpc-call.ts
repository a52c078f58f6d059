import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";

import { FrameReader, parseGrpcTimeout } from "@tenure/etcd/rpc";
import type { Clock } from "@tenure/etcd/runtime";

import type { Caller } from "../core/auth-store.ts";
import { EtcdServerError, GrpcCode } from "../core/errors.ts";
import { MAX_REQUEST_BYTES } from "../core/request-checks.ts";
import { decode, GrpcReply, isGone } from "./grpc-reply.ts";
import type { CallEnd, Route, StreamReceiver } from "./grpc-service.ts";
import type { OutputGate } from "./output-gate.ts";

/** etcd's own allowance beyond the largest request. */
const MAX_MESSAGE_BYTES = MAX_REQUEST_BYTES + 512 * 1024;
/** One byte of flags and four bytes of length stand before each message. */
const PREFIX_BYTES = 5;

/** A call under way. */
export interface Call {
  /** Ends the call with a status, unless it has ended. */
  fail(error: EtcdServerError): void;
}

/** What a call comes with. */
export interface CallContext {
  readonly headers: IncomingHttpHeaders;
  readonly caller: Caller;
  readonly clock: Clock;
  /** Where its answers wait. */
  readonly gate: OutputGate;
}

/** Serves one call. A `grpc-timeout` counts from now. */
export function serve(route: Route, stream: ServerHttp2Stream, context: CallContext): Call {
  switch (route.kind) {
    case "unary":
      return serveUnary(route, stream, context);
    case "server-stream":
      return serveServerStream(route, stream, context);
    case "stream":
      return serveStream(route, stream, context);
  }
}

function serveUnary(
  route: Extract<Route, { kind: "unary" }>,
  stream: ServerHttp2Stream,
  { headers, caller, clock, gate }: CallContext,
): Call {
  const reply = new GrpcReply(stream, route.codec, gate);
  const fail = (error: unknown): void => reply.fail(error);
  const expire = (): void => fail(new EtcdServerError(GrpcCode.deadlineExceeded, "context deadline exceeded"));
  atDeadline(stream, headers, clock, expire);
  readRequest(stream, { fail, isEnded: () => reply.isEnded }, (message) => {
    const response = route.handler(decode(route.codec, message), caller, () => endOf(stream));
    if (response instanceof Promise) response.then((result) => reply.sendAndEnd(result), fail);
    else reply.sendAndEnd(response);
  });
  return { fail };
}

function serveServerStream(
  route: Extract<Route, { kind: "server-stream" }>,
  stream: ServerHttp2Stream,
  { headers, caller, clock, gate }: CallContext,
): Call {
  const reply = new GrpcReply(stream, route.codec, gate);
  const fail = (error: unknown): void => reply.fail(error);
  atDeadline(stream, headers, clock, () => stream.close(constants.NGHTTP2_CANCEL));
  const answer = async (message: Buffer): Promise<void> => {
    const end: CallEnd = () => endOf(stream);
    for await (const response of route.handler(decode(route.codec, message), caller, end)) {
      if (reply.isEnded) return;
      if (!reply.send(response)) await hasRoom(stream);
    }
    reply.end();
  };
  readRequest(stream, { fail, isEnded: () => reply.isEnded }, (message) => {
    answer(message).catch(fail);
  });
  return { fail };
}

/** At its `grpc-timeout` a stream is reset, as by etcd. */
function serveStream(
  route: Extract<Route, { kind: "stream" }>,
  stream: ServerHttp2Stream,
  { headers, caller, clock, gate }: CallContext,
): Call {
  const reply = new GrpcReply(stream, route.codec, gate);
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
  const receiver: StreamReceiver<unknown> = route.handler({ send, end: () => reply.end() }, caller);
  stream.on("drain", () => {
    if (!isFull) return;
    isFull = false;
    stream.resume();
    attempt(() => receiver.drain(), fail);
  });
  stream.once("close", () => receiver.close());
  readMessages(stream, {
    message: (bytes) => receiver.message(decode(route.codec, bytes)),
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
  readonly message: (bytes: Buffer) => void;
  /** The client has sent everything, be it in whole messages or not. */
  readonly end: (isWhole: boolean) => void;
  readonly fail: (error: unknown) => void;
  /** Whether the call has its status already, so that what still arrives is of no use. */
  readonly isEnded: () => boolean;
}

/** Takes the one request of a call. As etcd: that is the first message, whatever follows. */
function readRequest(
  stream: ServerHttp2Stream,
  taker: Pick<MessageTaker, "fail" | "isEnded">,
  take: (bytes: Buffer) => void,
): void {
  let isAsked = false;
  readMessages(stream, {
    fail: taker.fail,
    isEnded: taker.isEnded,
    message: (bytes) => {
      if (isAsked) return;
      isAsked = true;
      take(bytes);
    },
    end: (isWhole) => {
      if (!isAsked) throw new EtcdServerError(GrpcCode.unknown, isWhole ? "EOF" : "unexpected EOF");
    },
  });
}

function endOf(stream: ServerHttp2Stream): AbortSignal {
  const ending = new AbortController();
  if (isGone(stream)) ending.abort();
  else stream.once("close", () => ending.abort());
  return ending.signal;
}

/** Resolves when a stream takes more, or nothing any more. */
function hasRoom(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.once("drain", done);
    stream.once("close", done);
  });
}

function readMessages(stream: ServerHttp2Stream, taker: MessageTaker): void {
  /** Needed from the first chunk on that is not one message, as most are. */
  let reader: FrameReader | undefined;
  const take = (chunk: Buffer): void => {
    const only = reader === undefined ? onlyMessage(chunk) : undefined;
    if (only !== undefined) {
      taker.message(only);
      return;
    }
    reader ??= new FrameReader(MAX_MESSAGE_BYTES);
    for (const message of reader.push(chunk)) taker.message(asBuffer(message));
  };
  stream.on("data", (chunk: Buffer) => {
    if (taker.isEnded()) return;
    try {
      take(chunk);
    } catch (error) {
      taker.fail(error);
    }
  });
  stream.on("end", () => {
    if (taker.isEnded()) return;
    attempt(() => taker.end(reader === undefined || isWhole(reader)), taker.fail);
  });
}

/** The message of a chunk that is a frame from its first to its last byte. */
function onlyMessage(chunk: Buffer): Buffer | undefined {
  if (chunk.length < PREFIX_BYTES || chunk.length > MAX_MESSAGE_BYTES || chunk[0] !== 0) return undefined;
  return chunk.readUInt32BE(1) === chunk.length - PREFIX_BYTES ? chunk.subarray(PREFIX_BYTES) : undefined;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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

import { create, toBinary } from "@bufbuild/protobuf";
import { PutResponseSchema } from "../../packages/etcd/src/gen/rpc_pb.ts";
import { frame } from "../../packages/etcd/src/rpc/framing.ts";
import type { Fields, RawStream } from "./raw-server.ts";

/** The headers of an answer whose status comes in trailers. */
export const okHeaders: Fields = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];

/** One framed answer, of any size. Nothing but a header stands in it, so that it is one of every method. */
export function message(revision: bigint = 7n, paddingBytes: number = 0): Buffer {
  const bytes = toBinary(PutResponseSchema, create(PutResponseSchema, { header: { revision } }));
  if (paddingBytes === 0) return frame(bytes);
  // An unknown field, which every reader skips: field 15, length-delimited.
  const padding = Buffer.concat([Buffer.of((15 << 3) | 2), varint(paddingBytes), Buffer.alloc(paddingBytes)]);
  return frame(Buffer.concat([bytes, padding]));
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.of(...bytes, rest);
}

/** The bytes of a frame with any flags and any length in its prefix. */
export function rawMessage(flags: number, length: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, body]);
}

/** Ends an answer with a status in trailers. */
export function trailers(stream: RawStream, status: number | string, ...more: Fields): void {
  stream.headers([["grpc-status", `${status}`], ...more], true);
}

/** Answers with a status and nothing else. */
export function trailersOnly(stream: RawStream, status: number | string, ...more: Fields): void {
  stream.headers([...okHeaders, ["grpc-status", `${status}`], ...more], true);
}

/** Answers with messages and a status. */
export function answer(stream: RawStream, messages: readonly Uint8Array[] = [message()], status: number = 0): void {
  stream.headers(okHeaders);
  for (const each of messages) stream.data(each);
  trailers(stream, status);
}

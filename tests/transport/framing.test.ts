// gRPC messages as they arrive: cut, joined, empty, large, broken.
import { describe } from "vitest";
import { answer, message, okHeaders, rawMessage, trailers } from "./answers.ts";
import type { Fields } from "./raw-server.ts";
import { compare, type Scenario } from "./scenarios.ts";

const MIB = 1024 * 1024;

/** One good message, then these bytes, then a status. */
function then(name: string, bytes: Uint8Array, status: number = 0, headers: Fields = okHeaders): Scenario {
  return {
    name,
    serve: (stream) => {
      stream.headers(headers);
      stream.data(message());
      stream.data(bytes);
      trailers(stream, status);
    },
    unary: "ok",
    stream: "ok 1",
  };
}

describe("whole messages", () => {
  const one = message();
  compare([
    ...Array.from({ length: one.byteLength - 1 }, (_, index): Scenario => ({
      name: `cut after byte ${index + 1}`,
      serve: (stream) => answer(stream, [one.subarray(0, index + 1), one.subarray(index + 1)]),
      unary: "ok",
      stream: "ok 1",
    })),
    {
      name: "byte by byte, with empty frames between",
      serve: (stream) =>
        answer(
          stream,
          [...one].flatMap((byte) => [Buffer.of(byte), Buffer.alloc(0)]),
        ),
      unary: "ok",
      stream: "ok 1",
    },
    { name: "of no bytes", serve: (stream) => answer(stream, [rawMessage(0, 0)]), unary: "ok", stream: "ok 1" },
    { name: "of 1 MiB", serve: (stream) => answer(stream, [message(7n, MIB)]), unary: "ok", stream: "ok 1" },
    { name: "of 20 MiB", serve: (stream) => answer(stream, [message(7n, 20 * MIB)]), unary: "ok", stream: "ok 1" },
  ]);
});

describe("the number of messages", () => {
  const hangs = "grpc-js loses the call when a unary answer holds more than one message";
  const two: Scenario = {
    name: "two for a unary call",
    serve: (stream) => answer(stream, [message(1n), message(2n)]),
    unary: "unimplemented",
    stream: "ok 2",
    ours: { unary: "internal", because: "gRPC calls it an error of the implementation; unimplemented is a lie" },
    says: /more than one message|^$/,
    mayHaveApplied: true,
    "grpc-js": { unary: "deadline-exceeded", stream: "ok 2", because: hangs },
  };
  const noneSaid = {
    ours: { unary: "internal", because: "the server broke the protocol after it had read the request" },
    mayHaveApplied: true,
  };
  compare([
    two,
    {
      ...two,
      name: "three in one frame of HTTP/2",
      serve: (stream) => answer(stream, [Buffer.concat([message(1n), message(2n), message(3n)])]),
      stream: "ok 3",
      "grpc-js": { unary: "deadline-exceeded", stream: "ok 3", because: hangs },
    },
    {
      name: "none, with status 0",
      serve: (stream) => answer(stream, []),
      unary: "unimplemented",
      stream: "ok 0",
      ...noneSaid,
    },
    {
      name: "none, with status 0 in the headers",
      serve: (stream) => stream.headers([...okHeaders, ["grpc-status", "0"]], true),
      unary: "unimplemented",
      stream: "ok 0",
      ...noneSaid,
      "connect-node": { unary: "unknown", stream: "ok 0", because: "it tells the two ways apart" },
    },
  ]);
});

describe("a message above the limit", () => {
  const noLimit = "it has no limit unless told so, and waits for the rest";
  const waits = { unary: "deadline-exceeded", stream: "deadline-exceeded 1", because: noLimit };
  compare(
    [0x1000_0001, 0x7fff_ffff, 0xffff_ffff].map((length): Scenario => ({
      ...then(`of ${length} bytes is refused before it comes`, Buffer.alloc(0)),
      serve: (stream) => {
        stream.headers(okHeaders);
        stream.data(message());
        stream.data(rawMessage(0, length));
      },
      unary: "resource-exhausted",
      stream: "resource-exhausted 1",
      says: new RegExp(`received message larger than max \\(${length} vs\\. `),
      mayHaveApplied: true,
      "connect-node": waits,
      "grpc-js": waits,
    })),
  );
});

describe("compression, which nobody offered,", () => {
  const because = "etcd never compresses unasked; unimplemented says what is missing here";
  const ours = { unary: "unimplemented", stream: "unimplemented 1", because };
  const refused = { says: /compressed messages are not supported/, mayHaveApplied: true };
  const encoding = (name: string): Fields => [...okHeaders, ["grpc-encoding", name]];
  const uncompressed = (name: string): Pick<Scenario, "name" | "serve"> => ({
    name: `${name} of an answer that is not compressed`,
    serve: (stream) => {
      stream.headers(encoding(name));
      stream.data(message());
      trailers(stream, 0);
    },
  });
  const strict = { unary: "internal", stream: "internal 0", because: "it refuses the header already" };
  compare([
    {
      name: "is refused: gzip",
      serve: (stream) => {
        stream.headers(encoding("gzip"));
        stream.data(rawMessage(1, 3, Buffer.from("abc")));
        trailers(stream, 0);
      },
      unary: "internal",
      stream: "internal 0",
      ...refused,
      ours: { ...ours, stream: "unimplemented 0" },
    },
    {
      name: "is refused: without a name",
      serve: (stream) => {
        stream.headers(okHeaders);
        stream.data(rawMessage(1, 3, Buffer.from("abc")));
        trailers(stream, 0);
      },
      unary: "internal",
      stream: "internal 0",
      ...refused,
      ours: { ...ours, stream: "unimplemented 0" },
      "grpc-js": { unary: "undefined", stream: "undefined 0", because: "it finds no code for this failure" },
    },
    { ...uncompressed("identity"), unary: "ok", stream: "ok 1" },
    { ...uncompressed("gzip"), unary: "ok", stream: "ok 1", "connect-node": strict },
    { ...uncompressed("snappy"), unary: "ok", stream: "ok 1", "connect-node": strict },
  ]);
});

describe("broken messages", () => {
  const incomplete = {
    unary: "invalid-argument",
    stream: "invalid-argument 1",
    because: "its name for half a message",
  };
  const unseen = "it does not look at what is left at the end, and loses the unary call";
  const ok = { unary: "deadline-exceeded", stream: "ok 1", because: unseen };
  const torn = {
    unary: "internal",
    stream: "internal 1",
    says: /ended inside a message/,
    mayHaveApplied: true,
    "connect-node": incomplete,
    "grpc-js": ok,
  };
  const flags = (bits: number): Scenario => ({
    ...then(`flags ${bits}`, rawMessage(bits, 0)),
    unary: "internal",
    stream: "internal 1",
    says: new RegExp(`unknown frame flags ${bits}`),
    mayHaveApplied: true,
    "grpc-js": { unary: "deadline-exceeded", stream: "ok 2", because: "it reads any flags as none" },
    ...((bits & 1) === 0 && {
      "connect-node": { unary: "unimplemented", stream: "ok 2", because: "it reads flags it does not know as none" },
    }),
  });
  compare([
    { ...then("cut in the body", message().subarray(0, 7)), ...torn },
    { ...then("cut in the prefix", message().subarray(0, 3)), ...torn },
    {
      ...then("cut, and a status that says why", message().subarray(0, 7), 5),
      unary: "not-found",
      stream: "not-found 1",
      "connect-node": incomplete,
    },
    {
      ...then("bytes that are no frame", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")),
      unary: "internal",
      stream: "internal 1",
      says: /unknown frame flags 72/,
      mayHaveApplied: true,
      "connect-node": incomplete,
      "grpc-js": ok,
    },
    {
      name: "bytes that are no message",
      serve: (stream) => answer(stream, [rawMessage(0, 4, Buffer.alloc(4, 0xff))]),
      unary: "internal",
      stream: "internal 0",
      mayHaveApplied: true,
    },
    ...[2, 3, 0x80, 0x81, 0xff].map(flags),
  ]);
});

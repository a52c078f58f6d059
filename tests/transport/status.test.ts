// What a server says at the end of a call, and what is made of it when it says something odd.
import { status as GrpcStatus } from "@grpc/grpc-js";
import { describe } from "vitest";
import { message, okHeaders, trailers, trailersOnly } from "./answers.ts";
import type { RawStream } from "./raw-server.ts";
import { compare, type Scenario } from "./scenarios.ts";

/** A message and then trailers. */
function withMessage(stream: RawStream, status: number | string, ...more: [string, string][]): void {
  stream.headers(okHeaders);
  stream.data(message());
  trailers(stream, status, ...more);
}

function codeName(status: number): string {
  return (GrpcStatus[status] ?? "").toLowerCase().replaceAll("_", "-").replace("cancelled", "canceled");
}

const statuses = Array.from({ length: 16 }, (_, index) => index + 1);

describe("a status in the headers", () => {
  compare(
    statuses.map((status) => ({
      name: `${status} ${codeName(status)}`,
      serve: (stream) => trailersOnly(stream, status, ["grpc-message", "the reason"]),
      unary: codeName(status),
      stream: `${codeName(status)} 0`,
      text: "the reason",
    })),
  );
});

describe("a status after a message", () => {
  compare([
    { name: "0 ok", serve: (stream) => withMessage(stream, 0), unary: "ok", stream: "ok 1", text: "" },
    ...statuses.map((status): Scenario => ({
      name: `${status} ${codeName(status)}`,
      serve: (stream) => withMessage(stream, status, ["grpc-message", "the reason"]),
      unary: codeName(status),
      stream: `${codeName(status)} 1`,
      text: "the reason",
    })),
  ]);
});

describe("a status that is none", () => {
  const passedOn = "grpc-js hands on whatever number it finds, as Number() reads it";
  compare([
    ...[17, 99, -1].map((status): Scenario => ({
      name: `${status}`,
      serve: (stream) => trailersOnly(stream, status),
      unary: "internal",
      stream: "internal 0",
      mayHaveApplied: true,
      "grpc-js": { unary: `${status}`, stream: `${status} 0`, because: passedOn },
    })),
    {
      name: "a word",
      serve: (stream) => trailersOnly(stream, "fine"),
      unary: "internal",
      stream: "internal 0",
      mayHaveApplied: true,
      "grpc-js": { unary: "NaN", stream: "NaN 0", because: passedOn },
    },
    {
      name: "nothing",
      serve: (stream) => trailersOnly(stream, ""),
      unary: "internal",
      stream: "internal 0",
      mayHaveApplied: true,
      "grpc-js": { unary: "unimplemented", stream: "ok 0", because: passedOn },
    },
    {
      name: "two of them",
      serve: (stream) => withMessage(stream, 0, ["grpc-status", "5"]),
      unary: "internal",
      stream: "internal 1",
      mayHaveApplied: true,
      "grpc-js": { unary: "NaN", stream: "NaN 1", because: passedOn },
    },
    {
      name: "with leading zeros",
      serve: (stream) => trailersOnly(stream, "007"),
      unary: "permission-denied",
      stream: "permission-denied 0",
    },
  ]);
});

describe("an end without a status", () => {
  const unavailable = {
    because: "a server that dies does so; whether the write was carried out is unknown, and another try may do",
  };
  const missing = {
    says: /ended the call without a status/,
    mayHaveApplied: true,
    ours: { unary: "unavailable", stream: "unavailable 1", ...unavailable },
  };
  const unknown = { unary: "unknown", stream: "unknown 1", because: "grpc-js derives a status from HTTP's" };
  compare([
    {
      name: "in trailers",
      serve: (stream) => {
        stream.headers(okHeaders);
        stream.data(message());
        stream.headers([["x-other", "1"]], true);
      },
      unary: "internal",
      stream: "internal 1",
      ...missing,
      "grpc-js": unknown,
    },
    {
      name: "after a message",
      serve: (stream) => {
        stream.headers(okHeaders);
        stream.data(message(), true);
      },
      unary: "internal",
      stream: "internal 1",
      ...missing,
    },
    {
      name: "in headers that end the stream",
      serve: (stream) => stream.headers(okHeaders, true),
      unary: "internal",
      stream: "internal 0",
      ...missing,
      ours: { unary: "unavailable", stream: "unavailable 0", ...unavailable },
      "grpc-js": { ...unknown, stream: "unknown 0" },
    },
  ]);
});

describe("the text of a status", () => {
  const malformed = { unary: "unknown", stream: "unknown 0", anyText: true, because: "it refuses the whole status" };
  const said = (text: string, sent: string = text): Scenario => ({
    name: JSON.stringify(sent.slice(0, 20)) + (sent.length > 20 ? ` and more, ${sent.length} bytes` : ""),
    serve: (stream) => trailersOnly(stream, 9, ["grpc-message", sent]),
    unary: "failed-precondition",
    stream: "failed-precondition 0",
    text,
  });
  compare([
    said("é€", "%C3%A9%E2%82%AC"),
    said("café", "caf%c3%a9"),
    said("a\0b", "a%00b"),
    ...["100% sure", "%", "%zz", "%C3", "%41%FF"].map((text) => ({ ...said(text), "connect-node": malformed })),
    {
      ...said("é"),
      "grpc-js": { anyText: true, because: "it drops a header that is not ASCII" },
    },
    said("x".repeat(12_000)),
    said("x".repeat(60_000)),
    {
      name: "none",
      serve: (stream) => trailersOnly(stream, 9),
      unary: "failed-precondition",
      stream: "failed-precondition 0",
      says: /gRPC status 9/,
    },
  ]);
});

describe("metadata beside the status", () => {
  compare([
    {
      name: "is skipped, binary or not",
      serve: (stream) => withMessage(stream, 0, ["x-bin", "AAEC"], ["y-bin", "not base64!"], ["x-bin", "AA=="]),
      unary: "ok",
      stream: "ok 1",
    },
    {
      name: "is skipped in the headers too",
      serve: (stream) => {
        stream.headers([...okHeaders, ["x-a", "1"], ["x-b-bin", "AAEC"], ["x-a", "2"]]);
        stream.data(message());
        trailers(stream, 0);
      },
      unary: "ok",
      stream: "ok 1",
    },
  ]);
});

// Answers of servers and proxies that speak HTTP/2, but not gRPC.
import { describe } from "vitest";
import { message, okHeaders, trailers } from "./answers.ts";
import { compare, type Scenario } from "./scenarios.ts";

const passing = "what a proxy says tells nothing of etcd behind it: another try, or another endpoint, may do";

describe("an HTTP status without gRPC", () => {
  const codes: Readonly<Record<number, string>> = {
    400: "internal",
    401: "unauthenticated",
    403: "permission-denied",
    404: "unimplemented",
    429: "unavailable",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
  };
  compare(
    [301, 400, 401, 403, 404, 408, 413, 429, 431, 500, 502, 503, 504, 505].map((status): Scenario => {
      const code = codes[status] ?? "unknown";
      const differs = code === "unknown" || code === "internal";
      return {
        name: `${status}`,
        serve: (stream) => {
          stream.headers([
            [":status", `${status}`],
            ["content-type", "text/html"],
          ]);
          stream.data(Buffer.from("<html>"), true);
        },
        unary: code,
        stream: `${code} 0`,
        says: new RegExp(`not gRPC but HTTP status ${status} with text/html`),
        ...(differs && { ours: { unary: "unavailable", stream: "unavailable 0", because: passing } }),
      };
    }),
  );
});

describe("an HTTP status with a status of gRPC", () => {
  const ignores = "it looks at HTTP's status first";
  compare([
    {
      name: "gives way to that",
      serve: (stream) => {
        const [, contentType] = okHeaders;
        const fields = [
          [":status", "400"],
          ["grpc-status", "8"],
          ["grpc-message", "full"],
        ] as const;
        stream.headers(contentType === undefined ? fields : [...fields, contentType], true);
      },
      unary: "resource-exhausted",
      stream: "resource-exhausted 0",
      text: "full",
      "connect-node": { unary: "internal", stream: "internal 0", anyText: true, because: ignores },
    },
    {
      name: "counts where there is none, whatever the content type",
      serve: (stream) => stream.headers([[":status", "503"], ...okHeaders.slice(1)], true),
      unary: "unavailable",
      stream: "unavailable 0",
      says: /HTTP status 503/,
    },
  ]);
});

describe("the content type", () => {
  const typed = (type: string): Pick<Scenario, "name" | "serve"> => ({
    name: type,
    serve: (stream) => {
      stream.headers([
        [":status", "200"],
        ["content-type", type],
      ]);
      stream.data(message());
      trailers(stream, 0);
    },
  });
  const strict = { unary: "unknown", stream: "unknown 0", because: "it takes application/grpc and +proto only" };
  const lax = { unary: "ok", stream: "ok 1", because: "it does not look at the content type" };
  compare([
    ...["application/grpc", "application/grpc+proto", "APPLICATION/GRPC"].map((type) => ({
      ...typed(type),
      unary: "ok",
      stream: "ok 1",
    })),
    { ...typed("application/grpc; charset=utf-8"), unary: "ok", stream: "ok 1", "connect-node": strict },
    ...["application/grpc-web", "application/grpcx", "application/json", "text/plain"].map((type): Scenario => ({
      ...typed(type),
      unary: "unknown",
      stream: "unknown 0",
      says: /is not gRPC but HTTP status 200 with/,
      ours: { unary: "unavailable", stream: "unavailable 0", because: passing },
      "grpc-js": lax,
    })),
    {
      name: "none",
      serve: (stream) => {
        stream.headers([[":status", "200"]]);
        stream.data(message());
        trailers(stream, 0);
      },
      unary: "unknown",
      stream: "unknown 0",
      says: /is not gRPC but HTTP status 200:/,
      ours: { unary: "unavailable", stream: "unavailable 0", because: passing },
      "grpc-js": lax,
    },
  ]);
});

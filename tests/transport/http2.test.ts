// What HTTP/2 itself can do to a call: resets, goodbyes, odd frames, large headers.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { until } from "../support/until.ts";
import { answer, message, okHeaders, trailers } from "./answers.ts";
import { errorNames, Flag, FrameType, uint32 } from "./frames.ts";
import { connectTo } from "./clients.ts";
import { unaryOutcome } from "./outcome.ts";
import { RawServer, type RawStream } from "./raw-server.ts";
import { compare, type Scenario } from "./scenarios.ts";

const better = "a later try may do, and the text says what happened";

/** What grpc-js and ours make of each code of a reset; connect-node says internal. */
const resets: Readonly<Record<string, { readonly grpcJs: string; readonly ours: string }>> = {
  REFUSED_STREAM: { grpcJs: "unavailable", ours: "unavailable" },
  CANCEL: { grpcJs: "canceled", ours: "unavailable" },
  ENHANCE_YOUR_CALM: { grpcJs: "resource-exhausted", ours: "resource-exhausted" },
  INADEQUATE_SECURITY: { grpcJs: "permission-denied", ours: "unavailable" },
};

function reset(name: string, before: (stream: RawStream) => void, messages: number): Scenario {
  const { grpcJs, ours } = resets[name] ?? { grpcJs: "internal", ours: "unavailable" };
  return {
    name,
    serve: (stream) => {
      before(stream);
      stream.connection.whenTaken(() => stream.rst(name));
    },
    unary: grpcJs,
    stream: `${grpcJs} ${messages}`,
    ours: { unary: ours, stream: `${ours} ${messages}`, because: better },
    mayHaveApplied: !(name === "REFUSED_STREAM" && messages === 0),
    ...(grpcJs !== "canceled" && {
      "connect-node": { unary: "internal", stream: `internal ${messages}`, because: "it maps CANCEL only" },
    }),
  };
}

describe("a reset before any answer", () => {
  compare(
    errorNames.map((name) => ({
      ...reset(name, () => undefined, 0),
      ...(name === "NO_ERROR" && {
        "connect-node": {
          unary: "deadline-exceeded",
          stream: "deadline-exceeded 0",
          because: "it does not notice a reset without an error and without headers",
        },
      }),
    })),
  );
});

describe("a reset after a message", () => {
  compare(
    errorNames.map((name) =>
      reset(
        name,
        (stream) => {
          stream.headers(okHeaders);
          stream.data(message());
        },
        1,
      ),
    ),
  );
});

describe("a reset after the status", () => {
  compare(
    errorNames.map((name) => ({
      name: `${name} changes nothing`,
      serve: (stream: RawStream) => {
        answer(stream);
        stream.rst(name);
      },
      unary: "ok",
      stream: "ok 1",
    })),
  );
});

describe("a connection that is lost", () => {
  const lost = {
    unary: "unavailable",
    says: /connection was lost/,
    mayHaveApplied: true,
    "connect-node": { unary: "canceled", stream: "canceled 0", because: "it takes the end of its stream for that" },
  };
  const inStream = { ...lost, "connect-node": { ...lost["connect-node"], stream: "canceled 1" } };
  const begin = (stream: RawStream): void => {
    stream.headers(okHeaders);
    stream.data(message());
  };
  compare([
    {
      name: "before the answer",
      serve: ({ connection }) => connection.socket.destroy(),
      stream: "unavailable 0",
      ...lost,
    },
    {
      name: "after a message",
      serve: (stream) => {
        begin(stream);
        stream.connection.whenTaken(() => stream.connection.socket.destroy());
      },
      stream: "unavailable 1",
      ...inStream,
    },
    {
      name: "in the middle of a message",
      serve: (stream) => {
        begin(stream);
        stream.data(message().subarray(0, 7));
        stream.connection.whenTaken(() => stream.connection.socket.end());
      },
      stream: "unavailable 1",
      ...inStream,
    },
  ]);
});

describe("a server that goes away", () => {
  const streams = "our streams move at once: etcd would let them run on for seconds and then end them";
  const moved = { stream: "unavailable 0", because: streams };
  const goaway = (error: string, last: (stream: RawStream) => number): Scenario["serve"] => {
    return (stream) => {
      // The second connection of a stack that tries again.
      if (stream.connection.streams.size > 1) return;
      stream.connection.goaway(last(stream), error, "too_many_pings");
      stream.connection.whenTaken(() => answer(stream));
    };
  };
  const below = (): number => 0;
  const at = ({ id }: RawStream): number => id;
  const above = (): number => 2 ** 31 - 1;
  const calm: Scenario = {
    name: "",
    serve: () => undefined,
    unary: "resource-exhausted",
    stream: "resource-exhausted 0",
    mayHaveApplied: true,
    ours: moved,
    "connect-node": { unary: "internal", stream: "internal 0", because: "it maps no code of a session" },
  };
  const broken: Scenario = {
    ...calm,
    unary: "internal",
    stream: "internal 0",
    ours: { ...moved, unary: "unavailable" },
  };
  compare([
    {
      name: "without a fault, having not taken the call",
      serve: goaway("NO_ERROR", below),
      unary: "unavailable",
      stream: "unavailable 0",
      mayHaveApplied: false,
      "connect-node": { unary: "internal", stream: "internal 0", because: "it does not know a refused stream" },
    },
    {
      name: "without a fault, answering this call",
      serve: goaway("NO_ERROR", at),
      unary: "ok",
      stream: "ok 1",
      ours: moved,
    },
    { name: "without a fault, soon", serve: goaway("NO_ERROR", above), unary: "ok", stream: "ok 1", ours: moved },
    ...[below, at, above].flatMap((last): Scenario[] => [
      { ...calm, name: `asking for calm, last stream ${last.name}`, serve: goaway("ENHANCE_YOUR_CALM", last) },
      { ...broken, name: `with a fault, last stream ${last.name}`, serve: goaway("INTERNAL_ERROR", last) },
    ]),
  ]);
});

describe("headers", () => {
  const large = (bytes: number): Scenario => ({
    name: `of ${bytes / 1024} KiB are read`,
    serve: (stream) => {
      stream.headers([...okHeaders, ["x-large", "x".repeat(bytes)]]);
      stream.data(message());
      trailers(stream, 0, ["x-large", "x".repeat(bytes)]);
    },
    unary: "ok",
    stream: "ok 1",
  });
  const fields = Array.from({ length: 120 }, (_, index) => [`x-${index}`, "v"] as const);
  compare([
    ...[8, 15, 16, 17, 32, 60].map((kib) => large(kib * 1024)),
    {
      name: "in great number are read",
      serve: (stream) => {
        stream.headers([...okHeaders, ...fields]);
        stream.data(message());
        trailers(stream, 0, ...fields);
      },
      unary: "ok",
      stream: "ok 1",
    },
    {
      name: "with a name that is none reset the stream",
      serve: (stream) => stream.headers([...okHeaders, ["X-Upper", "v"]]),
      unary: "internal",
      stream: "internal 0",
      ours: { unary: "unavailable", stream: "unavailable 0", because: better },
    },
    {
      name: "may be preceded by others that are only information",
      serve: (stream) => {
        stream.headers([
          [":status", "103"],
          ["link", "x"],
        ]);
        stream.headers([[":status", "100"]]);
        answer(stream);
      },
      unary: "ok",
      stream: "ok 1",
    },
  ]);
});

describe("headers in a number above Node's limit of 128", () => {
  // Refusing them leaks memory in Node 20, and then it aborts the process when the session is collected: connect-node
  // and grpc-js cannot be asked. Before the limit was raised this test ended its process.
  it.each([200, 3000])("are read by ours, and the process lives on: %d", async (count) => {
    const many = Array.from({ length: count }, (_, index) => [`x-${index}`, "v"] as const);
    await using server = await RawServer.start({
      onCall: (stream) => {
        stream.headers([...okHeaders, ...many]);
        stream.data(message());
        trailers(stream, 0, ...many);
      },
    });
    for (let round = 0; round < 3; round++) {
      const client = connectTo("ours", server.endpoint);
      expect(await unaryOutcome(client)).toMatchObject({ code: "ok" });
      client.close();
    }
    await until(() => server.openConnections === 0, { what: "end of the connections" });
    collectGarbage();
  });
});

describe("what ends the whole connection, and not one call alone,", () => {
  const large = "x".repeat(70 * 1024);
  const ways: Readonly<Record<string, readonly [serve: (stream: RawStream) => void, says: RegExp]>> = {
    "bytes that are no HTTP/2": [
      ({ connection }) => void connection.socket.write("this is no HTTP/2 at all. ".repeat(100)),
      /a frame of \d+ bytes is larger than allowed/,
    ],
    "a message before its headers": [(stream) => stream.data(message()), /data came before its headers/],
    "headers of more than 64 KiB": [
      (stream) => stream.headers([...okHeaders, ["x-large", large]]),
      /headers are larger than 64 KiB/,
    ],
    "headers that cannot be decoded": [
      ({ connection, id }) => connection.send(FrameType.headers, Flag.endHeaders, id, Buffer.from([0xbf])),
      /no entry has index 63/,
    ],
    "room that there cannot be": [
      ({ connection }) => connection.send(FrameType.windowUpdate, 0, 0, uint32(2 ** 31 - 1)),
      /the window is larger than possible/,
    ],
    "a goodbye with a code that speaks of single calls": [
      ({ connection, id }) => connection.goaway(id, "REFUSED_STREAM"),
      /the server ended the connection: REFUSED_STREAM/,
    ],
  };

  // Node 20 would go on as if the session stood, so that nothing but a deadline told. What the server read is unknown:
  // no code of ours, nor one that speaks of the connection, may make it look like a call that was refused, or as if the
  // server had asked for fewer.
  it.each(Object.entries(ways))("is told at once, and the next call has a new one: %s", async (_, [serve, says]) => {
    let calls = 0;
    await using server = await RawServer.start({
      onCall: (stream) => (++calls === 1 ? serve(stream) : answer(stream)),
    });
    const client = connectTo("ours", server.endpoint);
    const first = await unaryOutcome(client);
    expect(first).toMatchObject({ code: "unavailable", mayHaveApplied: true, text: expect.stringMatching(says) });
    expect(await unaryOutcome(client)).toMatchObject({ code: "ok" });
    expect([server.connections.length, calls]).toEqual([2, 2]);
    client.close();
  });
});

describe("frames beside the call", () => {
  const fine = { unary: "ok", stream: "ok 1" };
  compare([
    {
      name: "of types that nobody knows",
      serve: (stream) => {
        stream.connection.send(0x2a, 0xff, stream.id, Buffer.alloc(100));
        stream.connection.send(0x2b, 0, 0);
        answer(stream);
      },
      ...fine,
    },
    {
      name: "that ask for a sign of life, five hundred times",
      serve: (stream) => {
        for (let count = 0; count < 500; count++) stream.connection.send(FrameType.ping, 0, 0, Buffer.alloc(8));
        answer(stream);
      },
      ...fine,
    },
    {
      name: "that change the settings again and again",
      serve: (stream) => {
        for (let count = 1; count <= 50; count++) {
          stream.connection.settings({ initialWindowSize: count * 1000, maxConcurrentStreams: count });
        }
        answer(stream);
      },
      ...fine,
    },
    {
      name: "with padding",
      serve: (stream) => {
        stream.headers(okHeaders);
        const padded = Buffer.concat([Buffer.of(5), message(), Buffer.alloc(5)]);
        stream.connection.send(FrameType.data, Flag.padded, stream.id, padded);
        trailers(stream, 0);
      },
      ...fine,
    },
    {
      name: "after the end",
      serve: (stream) => {
        answer(stream);
        stream.connection.send(FrameType.data, 0, stream.id, message());
      },
      ...fine,
    },
    {
      name: "that are a second set of trailers",
      serve: (stream) => {
        stream.headers(okHeaders);
        stream.data(message());
        stream.headers([["grpc-status", "0"]]);
        trailers(stream, 5);
      },
      unary: "internal",
      stream: "internal 1",
      ours: { unary: "unavailable", stream: "unavailable 1", because: better },
    },
  ]);
});

describe("a window of few bytes for what we send", () => {
  compare(
    [1, 3].map((initialWindowSize) => ({
      name: `${initialWindowSize}`,
      onConnection: (connection) => connection.settings({ initialWindowSize }),
      serve: (stream) => answer(stream),
      unary: "ok",
      stream: "ok 1",
    })),
  );
});

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
}

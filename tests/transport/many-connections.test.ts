// Ten thousand connections at once, each with a call that is answered and a watch that stays open.
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { EtcdClient } from "@tenure/etcd";
import { frame, RangeRequestSchema, WatchRequestSchema } from "@tenure/etcd/rpc";
import { expect, it } from "vitest";
import { spawnNode, tenureBin } from "../support/process.ts";
import { settled } from "../support/until.ts";
import { Flag, frameBytes, FrameType, headerBlock } from "./frames.ts";

const count = 10_000;
const together = 200;
const timeoutMs = 120_000;
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = frameBytes(FrameType.settings, 0, 0, Buffer.alloc(0));

const key = Buffer.from("a");
const range = toBinary(RangeRequestSchema, create(RangeRequestSchema, { key }));
const watch = toBinary(
  WatchRequestSchema,
  create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: { key: Buffer.from("b") } } }),
);

/** The frames of a call with one request. */
function call(path: string, id: number, message: Uint8Array, ends: boolean): Buffer {
  const fields = [
    [":method", "POST"],
    [":path", path],
    [":scheme", "http"],
    [":authority", "a"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ] as const;
  return Buffer.concat([
    frameBytes(FrameType.headers, Flag.endHeaders, id, headerBlock(fields)),
    frameBytes(FrameType.data, ends ? Flag.endStream : 0, id, frame(message)),
  ]);
}

const opening = Buffer.concat([
  PREFACE,
  SETTINGS,
  call("/etcdserverpb.Watch/Watch", 1, watch, false),
  call("/etcdserverpb.KV/Range", 3, range, true),
]);

it("serves on with ten thousand connections, and none of them is closed", { timeout: timeoutMs }, async () => {
  await using dev = spawnNode([tenureBin, "dev", "--listen=127.0.0.1:0", "-o", "json"]);
  const { endpoint } = JSON.parse(await dev.line(/^\{/)) as { readonly endpoint: string };
  const port = Number(new URL(endpoint).port);
  const sockets: Socket[] = [];
  let closed = 0;
  const open = async (): Promise<void> => {
    const socket = connectTcp(port, "127.0.0.1").on("error", () => undefined);
    sockets.push(socket);
    socket.once("close", () => (closed += 1));
    await once(socket, "connect");
    socket.write(opening);
    // Both calls are answered: the server's settings alone are shorter.
    for (let bytes = 0; bytes < 100;) bytes += ((await once(socket, "data")) as [Buffer])[0].length;
    socket.resume();
  };
  try {
    for (let made = 0; made < count; made += together) {
      await settled(Promise.all(Array.from({ length: together }, open)), { timeoutMs, what: `connection ${made}` });
    }
    await using client = new EtcdClient({ endpoints: [endpoint] });
    // Everybody is told of it.
    const told = Promise.all(sockets.map((socket) => once(socket, "data")));
    await client.kv.put("b", "1");
    await settled(told, { timeoutMs, what: "event of every watch" });
    expect((await client.kv.range("b")).count).toBe(1n);
    expect({ open: sockets.length - closed, closed }).toEqual({ open: count, closed: 0 });
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

// Raw requests, most of them wrong, to etcd, embed and a server of grpc-js: embed must answer as etcd does.
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LeaseKeepAliveRequestSchema, PutRequestSchema } from "../../packages/etcd/src/gen/rpc_pb.ts";
import { frame } from "../../packages/etcd/src/rpc/framing.ts";
import { settled, until } from "../support/until.ts";
import { rawMessage } from "./answers.ts";
import { answerOf, RawClient, type RawRequest } from "./raw-request.ts";
import { type ServerName, startServer, type TestServer } from "./servers.ts";

const names = ["etcd", "embed", "grpc-js"] as const;
const servers = new Map<ServerName, TestServer>();

beforeAll(async () => {
  for (const name of names) servers.set(name, await startServer(name));
});

afterAll(async () => {
  for (const server of servers.values()) await server.stop();
});

function clientOf(name: ServerName): RawClient {
  return new RawClient(servers.get(name)?.endpoint ?? "");
}

/** A request and the answers to it, each as "HTTP status, gRPC status, messages" and a reset where there is one. */
interface Case extends RawRequest {
  readonly name: string;
  /** Joined by "or" where etcd is not of one mind; embed gives the first. */
  readonly etcd: string;
  /** Part of the text of the status, from both. */
  readonly text?: string;
  /** Where embed differs, and why it may. */
  readonly embed?: { readonly answer?: string; readonly text?: string; readonly because: string };
  /** Where grpc-js differs. It is the witness of what is usual, not the model; undefined for no answer at all. */
  readonly grpcJs?: string | undefined;
}

const PUT = "/etcdserverpb.KV/Put";
const KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive";
const putBytes = toBinary(PutRequestSchema, create(PutRequestSchema, { key: Buffer.from("k") }));
const put = frame(putBytes);
const keepAlive = frame(
  toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID: 0x7777_7777n })),
);

function largePut(bytes: number): Buffer {
  const request = create(PutRequestSchema, { key: Buffer.from("k"), value: Buffer.alloc(bytes) });
  return frame(toBinary(PutRequestSchema, request));
}

function compare(cases: readonly Case[]): void {
  it.each(cases)("$name", async (request) => {
    const { embed, text } = request;
    const possible = request.etcd.split(" or ");
    const answers = await Promise.all(names.map((name) => briefly(name, request)));
    const [ofEtcd, ofEmbed, ofGrpcJs] = answers;
    expect(possible, "etcd").toContain(ofEtcd?.brief);
    expect(ofEmbed?.brief, "embed").toBe(embed?.answer ?? possible[0]);
    expect(ofGrpcJs?.brief, "grpc-js").toBe("grpcJs" in request ? request.grpcJs : possible[0]);
    if (text === undefined) return;
    expect(ofEtcd?.text).toContain(text);
    expect(ofEmbed?.text).toContain(embed?.text ?? text);
  });
}

async function briefly(
  name: ServerName,
  request: RawRequest & { readonly grpcJs?: string | undefined },
): Promise<{ readonly brief: string; readonly text: string } | undefined> {
  // Whoever is known not to answer is not asked.
  if (name === "grpc-js" && "grpcJs" in request && request.grpcJs === undefined) return undefined;
  using client = clientOf(name);
  const answer = await settled(client.request(request), { what: `answer of ${name}`, timeoutMs: 5000 });
  const { http, status, messages, text, reset } = answer;
  return { brief: `${http} ${status} ${messages}${reset === undefined ? "" : ` ${reset}`}`, text };
}

describe("a path", () => {
  compare([
    { name: "that is right", path: PUT, body: [put], etcd: "200 0 1" },
    {
      name: "of an unknown method",
      path: "/etcdserverpb.KV/Nope",
      body: [put],
      etcd: "200 12 0",
      text: "unknown method Nope for service etcdserverpb.KV",
    },
    {
      name: "of an unknown method, our side still open",
      path: "/etcdserverpb.KV/Nope",
      body: [put],
      staysOpen: true,
      etcd: "200 12 0",
      text: "unknown method Nope for service etcdserverpb.KV",
    },
    {
      name: "of an unknown service",
      path: "/etcdserverpb.Nope/Put",
      body: [put],
      etcd: "200 12 0",
      text: "unknown service etcdserverpb.Nope",
    },
    {
      name: "without a method",
      path: "/etcdserverpb.KV",
      body: [put],
      etcd: "200 12 0",
      text: "malformed method name",
    },
    { name: "of nothing", path: "/", body: [put], etcd: "200 12 0", text: 'malformed method name: "/"' },
    { name: "with more behind", path: `${PUT}/x`, body: [put], etcd: "200 12 0", text: "unknown service etcdserverpb" },
  ]);
});

describe("headers", () => {
  const typed = (type: string | undefined): Pick<Case, "name" | "path" | "headers" | "body"> => ({
    name: `with content type ${type}`,
    path: PUT,
    headers: { "content-type": type },
    body: [put],
  });
  const hint = { answer: "415 undefined 0", because: "it tells a person with curl what the port is for" };
  const plain = { answer: "404 undefined 0", because: "it tells a person with curl what the port is for" };
  const timeout = (value: string, grpcJs = "200 13 0"): Case => ({
    name: `with grpc-timeout ${value}`,
    path: PUT,
    headers: { "grpc-timeout": value },
    body: [put],
    etcd: "400 13 0",
    text: "malformed grpc-timeout",
    grpcJs,
  });
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`x-${index}`, "v"]));
  compare([
    ...["application/grpc+proto", "application/grpc;x=1", "application/grpc+json"].map((type) => ({
      ...typed(type),
      etcd: "200 0 1",
    })),
    ...["application/json", undefined, "APPLICATION/GRPC"].map((type) => ({
      ...typed(type),
      etcd: "415 3 0",
      embed: hint,
      grpcJs: "415 undefined 0",
    })),
    ...["application/grpc-web", "application/grpcx"].map((type) => ({
      ...typed(type),
      etcd: "415 3 0",
      text: `invalid gRPC request content-type "${type}"`,
      grpcJs: "200 0 1",
    })),
    {
      name: "with GET",
      path: PUT,
      headers: { ":method": "GET" },
      etcd: "405 13 0",
      text: ':method "GET" which should be POST',
      grpcJs: "200 12 0",
    },
    {
      name: "with GET and without a content type",
      path: PUT,
      headers: { ":method": "GET", "content-type": undefined },
      etcd: "415 3 0",
      embed: plain,
      grpcJs: "415 undefined 0",
    },
    { name: "without te", path: PUT, headers: { te: undefined }, body: [put], etcd: "200 0 1" },
    { name: "of 4 KiB", path: PUT, headers: { "x-large": "x".repeat(4096) }, body: [put], etcd: "200 0 1" },
    { name: "of 60 KiB", path: PUT, headers: { "x-large": "x".repeat(61_440) }, body: [put], etcd: "200 0 1" },
    {
      name: "in a number of 200",
      path: PUT,
      headers: many,
      body: [put],
      etcd: "200 0 1",
      // It refuses more than 128, for which Node 20 aborts the process later.
      grpcJs: undefined,
    },
    {
      name: "with binary metadata that is none",
      path: PUT,
      headers: { "x-bin": "not base64!" },
      body: [put],
      etcd: "400 13 0",
      embed: { answer: "200 0 1", because: "it reads no metadata" },
      grpcJs: "200 0 1",
    },
    timeout("soon"),
    timeout("5x"),
    timeout("123456789m", "200 0 1"),
  ]);
});

describe("messages", () => {
  const none = "200 12 0";
  compare([
    { name: "none", path: PUT, etcd: "200 2 0", text: "EOF", grpcJs: none },
    {
      name: "one, and our side stays open",
      path: PUT,
      body: [put],
      staysOpen: true,
      etcd: "200 0 1",
      grpcJs: undefined,
    },
    { name: "two for a unary call", path: PUT, body: [put, put], etcd: "200 0 1", grpcJs: none },
    { name: "byte by byte", path: PUT, body: [...put].map((byte) => Buffer.of(byte)), etcd: "200 0 1" },
    {
      name: "of no bytes",
      path: PUT,
      body: [rawMessage(0, 0)],
      etcd: "200 3 0",
      text: "key is not",
      grpcJs: "200 0 1",
    },
    { name: "of 1.4 MiB", path: PUT, body: [largePut(1_468_006)], etcd: "200 0 1" },
    {
      name: "of 1.6 MiB",
      path: PUT,
      body: [largePut(1_677_721)],
      etcd: "200 3 0",
      text: "etcdserver: request is too large",
      grpcJs: "200 0 1",
    },
    {
      name: "of 3 MiB",
      path: PUT,
      body: [largePut(3_145_728)],
      etcd: "200 8 0",
      text: "larger than max",
    },
    {
      name: "of 3 MiB that never come",
      path: PUT,
      body: [rawMessage(0, 3_145_728)],
      staysOpen: true,
      etcd: "200 8 0",
      text: "larger than max",
      grpcJs: undefined,
    },
    {
      name: "that are none",
      path: PUT,
      body: [rawMessage(0, 4, Buffer.alloc(4, 0xff))],
      etcd: "200 13 0",
      text: "grpc: error unmarshalling request",
    },
    {
      name: "in bytes that are no frame",
      path: PUT,
      body: [Buffer.from("hello, this is text")],
      etcd: "200 8 0",
      embed: { answer: "200 13 0", because: "it looks at the flags before the length" },
    },
    { name: "cut in the body", path: PUT, body: [put.subarray(0, 7)], etcd: "200 2 0", text: "EOF", grpcJs: none },
    { name: "cut in the prefix", path: PUT, body: [put.subarray(0, 3)], etcd: "200 2 0", text: "EOF", grpcJs: none },
    ...[2, 0x80].map((flags) => ({
      name: `with flags ${flags}`,
      path: PUT,
      body: [rawMessage(flags, putBytes.byteLength, putBytes)],
      etcd: "200 13 0",
      grpcJs: "200 0 1",
    })),
  ]);
});

describe("compression", () => {
  const refused = {
    answer: "200 12 0",
    text: "compressed messages are not supported",
    because: "it never decompresses",
  };
  const gzipped = gzipSync(putBytes);
  const named = (encoding: string): Pick<Case, "path" | "headers"> => ({
    path: PUT,
    headers: { "grpc-encoding": encoding },
  });
  compare([
    {
      name: "by gzip",
      ...named("gzip"),
      body: [rawMessage(1, gzipped.byteLength, gzipped)],
      etcd: "200 0 1",
      embed: refused,
    },
    { name: "by gzip that is named and not used", ...named("gzip"), body: [put], etcd: "200 0 1" },
    { name: "by identity", ...named("identity"), body: [put], etcd: "200 0 1" },
    {
      name: "without a name",
      path: PUT,
      body: [rawMessage(1, 3, Buffer.from("abc"))],
      etcd: "200 13 0",
      embed: refused,
    },
    {
      name: "by a name that nobody knows",
      ...named("snappy"),
      body: [rawMessage(1, 3, Buffer.from("abc"))],
      etcd: "200 12 0",
      embed: refused,
    },
    {
      name: "by a name that nobody knows, not used",
      ...named("snappy"),
      body: [put],
      etcd: "200 12 0",
      embed: { answer: "200 0 1", because: "it looks at messages, not at what is announced" },
      grpcJs: "200 0 1",
    },
  ]);
});

describe("a deadline", () => {
  compare([
    {
      name: "that passes before the request is there",
      path: PUT,
      headers: { "grpc-timeout": "50m" },
      staysOpen: true,
      // Its answer and its reset race.
      etcd: "200 4 0 or undefined undefined 0 CANCEL",
      grpcJs: undefined,
    },
    {
      name: "of nothing",
      path: PUT,
      headers: { "grpc-timeout": "0m" },
      body: [put],
      etcd: "200 4 0",
      text: "context deadline exceeded",
      grpcJs: "200 0 1",
    },
    {
      name: "of a stream resets it",
      path: KEEP_ALIVE,
      headers: { "grpc-timeout": "100m" },
      body: [keepAlive],
      staysOpen: true,
      etcd: "200 undefined 1 CANCEL or 200 4 1",
      grpcJs: undefined,
    },
  ]);
});

describe("a stream", () => {
  compare([
    {
      name: "answers each message and ends when we do",
      path: KEEP_ALIVE,
      body: [keepAlive, keepAlive],
      etcd: "200 0 2",
    },
    { name: "without a message ends well", path: KEEP_ALIVE, etcd: "200 0 0" },
    {
      name: "with a message that is none ends after the good ones",
      path: KEEP_ALIVE,
      body: [keepAlive, rawMessage(0, 4, Buffer.alloc(4, 0xff))],
      etcd: "200 13 1",
    },
    {
      name: "that ends inside a message",
      path: KEEP_ALIVE,
      body: [keepAlive, keepAlive.subarray(0, 6)],
      etcd: "200 13 1",
      text: "unexpected EOF",
      grpcJs: "200 0 1",
    },
  ]);

  it.each(names)("that is cancelled hurts no other on its connection: %s", async (name) => {
    using client = clientOf(name);
    const cancelled = client.open({ path: KEEP_ALIVE, body: [keepAlive], staysOpen: true });
    const kept = client.open({ path: KEEP_ALIVE, body: [keepAlive], staysOpen: true });
    let answers = 0;
    kept.on("data", () => answers++);
    const [ended, keptEnded] = [answerOf(cancelled), answerOf(kept)];
    await until(() => answers === 1, { what: "answer" });
    cancelled.close(8);
    expect((await settled(ended, { what: "end of the cancelled stream" })).status).toBeUndefined();
    kept.write(keepAlive);
    await until(() => answers === 2, { what: "answer on the other stream" });
    kept.end();
    expect((await settled(keptEnded, { what: "end" })).status).toBe("0");
  });
});

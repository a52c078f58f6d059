import { create, type DescMethod, fromBinary, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import * as rpc from "@tenure/etcd/rpc";
import * as grpc from "@grpc/grpc-js";
import { MessageQueue } from "../../../packages/etcd/src/message-queue.ts";

/** What a stack of gRPC does, of whatever make. */
export interface RpcStack {
  /** Asks once; rejects with `CODE: text`. */
  ask(method: DescMethod, request: Message, headers: Readonly<Record<string, string>>): Promise<Message>;
  /** Opens a stream with messages in both directions. */
  open(method: DescMethod): RpcStream;
  close(): void;
}

/** An open stream. */
export interface RpcStream {
  send(request: Message): void;
  next(): Promise<Message>;
  cancel(): void;
}

const { KV, Lease, Watch, Auth, Election, Lock, Maintenance } = rpc;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const leaseId = 7n;
/** What each cluster has of its own. */
const own = new Set(["clusterId", "memberId", "raftTerm", "token", "$typeName", "$unknown"]);

/** Walks through the services on an empty store, authentication included, and tells what it saw, without ids. */
export async function rpcTour(stack: RpcStack): Promise<readonly string[]> {
  const seen: string[] = [];
  const say = (what: string, value: unknown): void => void seen.push(`${what}: ${textOf(value)}`);
  const ask = async <M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Message | undefined> => {
    const answer = await stack.ask(method, create(method.input, request), headers).catch((error: unknown) => error);
    say(method.name, answer instanceof Error ? answer.message : answer);
    return answer instanceof Error ? undefined : (answer as Message);
  };
  await ask(KV.method.put, { key: bytes("a"), value: bytes("1") });
  await ask(KV.method.put, { key: bytes("a"), value: bytes("2"), prevKv: true });
  await ask(KV.method.put, { key: bytes("") });
  await ask(KV.method.range, { key: bytes("a"), revision: 99n });
  await ask(KV.method.txn, {
    compare: [{ key: bytes("a"), result: 0, target: 3, targetUnion: { case: "value", value: bytes("2") } }],
    success: [{ request: { case: "requestDeleteRange", value: { key: bytes("a"), prevKv: true } } }],
  });
  const watch = stack.open(Watch.method.watch);
  const create1 = { key: bytes("a"), startRevision: 2n, prevKv: true };
  watch.send(create(Watch.method.watch.input, { requestUnion: { case: "createRequest", value: create1 } }));
  for (let events = 0; events < 3;) {
    const answer = (await watch.next()) as rpc.WatchResponse;
    events += answer.events.length;
    for (const event of answer.events) say("event", event);
  }
  watch.cancel();
  await ask(Lease.method.leaseGrant, { ID: leaseId, TTL: 60n });
  const alive = stack.open(Lease.method.leaseKeepAlive);
  for (const ID of [leaseId, 404n]) {
    alive.send(create(Lease.method.leaseKeepAlive.input, { ID }));
    say("keep-alive", await alive.next());
  }
  alive.cancel();
  await ask(Election.method.campaign, { name: bytes("e"), lease: leaseId, value: bytes("me") });
  await ask(Election.method.leader, { name: bytes("e") });
  await ask(Election.method.leader, { name: bytes("nobody") });
  await ask(Lock.method.lock, { name: bytes("l"), lease: leaseId });
  await ask(Lease.method.leaseRevoke, { ID: leaseId });
  await ask(Maintenance.method.hashKV, { revision: 1n });
  await ask(KV.method.compact, { revision: 3n });
  await ask(KV.method.range, { key: bytes("a"), revision: 2n });
  await ask(Auth.method.userAdd, { name: "root", password: "pw" });
  await ask(Auth.method.userGrantRole, { user: "root", role: "root" });
  await ask(Auth.method.authEnable, {});
  await ask(KV.method.range, { key: bytes("a") });
  await ask(Auth.method.authenticate, { name: "root", password: "no" });
  const { token = "" } = ((await ask(Auth.method.authenticate, { name: "root", password: "pw" })) ?? {}) as {
    readonly token?: string;
  };
  await ask(KV.method.range, { key: bytes("a") }, { token });
  await ask(KV.method.range, { key: bytes("a") }, { token: "of nobody" });
  await ask(Auth.method.authDisable, {}, { token });
  return seen;
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (name, each: unknown) => {
    if (own.has(name)) return undefined;
    if (typeof each === "bigint") return String(each);
    return each instanceof Uint8Array ? Buffer.from(each).toString("latin1") : each;
  });
}

/** npm `@connectrpc/connect-node`. */
export function connectNode(endpoint: string): RpcStack {
  const sessionManager = new Http2SessionManager(endpoint);
  // Compressed messages, which it would ask for, are refused.
  const transport: Transport = createGrpcTransport({ baseUrl: endpoint, sessionManager, acceptCompression: [] });
  return {
    ask: async (method, request, headers) => {
      try {
        const unary = method as DescMethod & { methodKind: "unary" };
        return (await transport.unary(unary, undefined, undefined, headers, request)).message;
      } catch (error) {
        const { code, rawMessage } = ConnectError.from(error);
        throw new Error(`${code}: ${rawMessage}`, { cause: error });
      }
    },
    open: (method) => {
      const requests = new MessageQueue<Message>();
      const stop = new AbortController();
      const bidi = method as DescMethod & { methodKind: "bidi_streaming" };
      const stream = transport.stream(bidi, stop.signal, undefined, undefined, generated(requests));
      const answers = stream.then(({ message }) => message[Symbol.asyncIterator]());
      return {
        send: (request) => requests.push(request),
        next: async () => (await (await answers).next()).value as Message,
        cancel: () => stop.abort(),
      };
    },
    close: () => sessionManager.abort(),
  };
}

async function* generated<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  yield* items;
}

/** npm `@grpc/grpc-js`. */
export function grpcJs(endpoint: string): RpcStack {
  const channel = new grpc.Client(new URL(endpoint).host, grpc.credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_http_proxy": 0,
  });
  const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`;
  const codecOf = ({ input, output }: DescMethod) => ({
    encode: (message: Message) => Buffer.from(toBinary(input, message)),
    decode: (answer: Uint8Array) => fromBinary(output, answer),
  });
  return {
    ask: (method, request, headers) =>
      new Promise((resolve, reject) => {
        const { encode, decode } = codecOf(method);
        const metadata = new grpc.Metadata();
        for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
        channel.makeUnaryRequest(pathOf(method), encode, decode, request, metadata, (error, answer) => {
          if (error !== null) reject(new Error(`${error.code}: ${error.details}`, { cause: error }));
          else if (answer !== undefined) resolve(answer);
        });
      }),
    open: (method) => {
      const { encode, decode } = codecOf(method);
      const call = channel.makeBidiStreamRequest(pathOf(method), encode, decode);
      const answers = (call as AsyncIterable<Message>)[Symbol.asyncIterator]();
      return {
        send: (request) => void call.write(request),
        next: async () => (await answers.next()).value as Message,
        cancel: () => {
          call.on("error", () => undefined);
          call.cancel();
        },
      };
    },
    close: () => channel.close(),
  };
}

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { Connection } from "../../packages/etcd/src/connection.ts";
import { EndpointRanking } from "../../packages/etcd/src/endpoint-ranking.ts";
import { EtcdError } from "../../packages/etcd/src/errors.ts";
import { parseEndpoint } from "../../packages/etcd/src/endpoint.ts";
import {
  KV,
  Lease,
  LeaseKeepAliveRequestSchema,
  type LeaseKeepAliveResponse,
  LeaseKeepAliveResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
} from "../../packages/etcd/src/gen/rpc_pb.ts";
import { MessageQueue } from "../../packages/etcd/src/message-queue.ts";
import { type Clock, systemClock } from "../../packages/etcd/src/runtime/clock.ts";
import { asConnect } from "../../packages/etcd/src/testing/in-memory.ts";
import { Http2Transport } from "../../packages/etcd/src/transport.ts";
import { keepSessions } from "./keep-sessions.ts";

keepSessions();

/** How a call is limited by its caller. */
export interface Limits {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A stream as its caller holds it. */
export interface OpenStream {
  send(id: bigint): void;
  halfClose(): void;
  /** The revisions of the answers; throws how the stream ended. */
  readonly answers: AsyncIterator<bigint>;
}

/** One of the gRPC stacks that are compared, with a connection of its own. */
export interface TestClient {
  /** Puts a value and returns the revision of the answer. */
  put(value: Uint8Array, limits?: Limits): Promise<bigint>;
  /** Opens a stream of keep-alives, which has messages in both directions. */
  keepAlive(limits?: Limits): OpenStream;
  close(): void;
}

export const clientNames = ["ours", "connect-node", "grpc-js"] as const;
export type ClientName = (typeof clientNames)[number];

/** Connects one of the stacks to an endpoint. */
export function connectTo(name: ClientName, endpoint: string, clock: Clock = systemClock): TestClient {
  switch (name) {
    case "ours": {
      const connection = new Connection(parseEndpoint(endpoint), { clock, connectTimeoutMs: 2000 });
      const ranking = new EndpointRanking([connection]);
      return overConnect(
        asConnect(new Http2Transport(ranking, clock)),
        () => ranking.close(),
        (thrown) => EtcdError.from(thrown),
      );
    }
    case "connect-node": {
      const sessionManager = new Http2SessionManager(endpoint);
      // Without compression, as the others: it would ask for gzip otherwise.
      const transport = createGrpcTransport({ baseUrl: endpoint, sessionManager, acceptCompression: [] });
      return overConnect(
        transport,
        () => sessionManager.abort(),
        (thrown) => thrown,
      );
    }
    case "grpc-js":
      return overGrpcJs(endpoint);
  }
}

/** @param errorOf what the package's own clients make of anything thrown */
function overConnect(transport: Transport, close: () => void, errorOf: (thrown: unknown) => unknown): TestClient {
  const kv = createClient(KV, transport);
  const lease = createClient(Lease, transport);
  return {
    put: async (value, limits = {}) => {
      try {
        const { header } = await kv.put({ key: Buffer.from("k"), value }, limits);
        return header?.revision ?? 0n;
      } catch (error) {
        throw errorOf(error);
      }
    },
    keepAlive: (limits = {}) => {
      const requests = new MessageQueue<{ ID: bigint }>();
      const answers = lease.leaseKeepAlive(generated(requests), limits);
      return {
        send: (ID) => requests.push({ ID }),
        halfClose: () => requests.end(),
        answers: revisions(answers),
      };
    },
    close,
  };
}

async function* generated<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function* revisions(answers: AsyncIterable<LeaseKeepAliveResponse>): AsyncGenerator<bigint> {
  for await (const { header } of answers) yield header?.revision ?? 0n;
}

const keepAlivePath = "/etcdserverpb.Lease/LeaseKeepAlive";

function overGrpcJs(endpoint: string): TestClient {
  const channel = new grpc.Client(new URL(endpoint).host, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_http_proxy": 0,
  });
  return {
    put: (value, limits = {}) =>
      new Promise((resolve, reject) => {
        const call = channel.makeUnaryRequest(
          "/etcdserverpb.KV/Put",
          (message: Uint8Array) => Buffer.from(message),
          (bytes) => fromBinary(PutResponseSchema, bytes),
          toBinary(PutRequestSchema, create(PutRequestSchema, { key: Buffer.from("k"), value })),
          metadata(limits),
          grpcLimits(limits),
          (error, answer) => (error === null ? resolve(answer?.header?.revision ?? 0n) : reject(error)),
        );
        cancelWith(call, limits.signal);
      }),
    keepAlive: (limits = {}) => {
      const call = channel.makeBidiStreamRequest(
        keepAlivePath,
        (ID: bigint) => Buffer.from(toBinary(LeaseKeepAliveRequestSchema, create(LeaseKeepAliveRequestSchema, { ID }))),
        (bytes) => fromBinary(LeaseKeepAliveResponseSchema, bytes).header?.revision ?? 0n,
        metadata(limits),
        grpcLimits(limits),
      );
      cancelWith(call, limits.signal);
      return {
        send: (ID) => void call.write(ID),
        halfClose: () => void call.end(),
        answers: (call as AsyncIterable<bigint>)[Symbol.asyncIterator](),
      };
    },
    close: () => channel.close(),
  };
}

function metadata({ headers = {} }: Limits): grpc.Metadata {
  const fields = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) fields.set(name, value);
  return fields;
}

function grpcLimits({ timeoutMs }: Limits): grpc.CallOptions {
  return timeoutMs === undefined ? {} : { deadline: new Date(Date.now() + timeoutMs) };
}

function cancelWith(call: { cancel(): void }, signal: AbortSignal | undefined): void {
  signal?.addEventListener("abort", () => call.cancel(), { once: true });
}

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { startEmbed } from "@tenure/embed";
import {
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
} from "../../packages/etcd/src/gen/rpc_pb.ts";
import { startEtcd } from "../support/real-etcd.ts";

/** A server under test. */
export interface TestServer {
  readonly endpoint: string;
  stop(): Promise<void>;
}

export type ServerName = "etcd" | "embed" | "grpc-js";

/** Starts one of the servers that are compared. */
export async function startServer(name: ServerName): Promise<TestServer> {
  switch (name) {
    case "etcd":
      return await startEtcd();
    case "embed": {
      const server = await startEmbed();
      return { endpoint: server.endpoint, stop: () => server.close() };
    }
    case "grpc-js":
      return await startGrpcJs();
  }
}

const unary = { requestStream: false, responseStream: false };
const bidi = { requestStream: true, responseStream: true };
const methods = {
  put: {
    path: "/etcdserverpb.KV/Put",
    ...unary,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: (bytes: Uint8Array) => fromBinary(PutRequestSchema, bytes),
    responseSerialize: () => Buffer.from(toBinary(PutResponseSchema, create(PutResponseSchema, { header: {} }))),
    responseDeserialize: () => undefined,
  },
  keepAlive: {
    path: "/etcdserverpb.Lease/LeaseKeepAlive",
    ...bidi,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: (bytes: Uint8Array) => fromBinary(LeaseKeepAliveRequestSchema, bytes),
    responseSerialize: ({ ID }: { readonly ID: bigint }) =>
      Buffer.from(toBinary(LeaseKeepAliveResponseSchema, create(LeaseKeepAliveResponseSchema, { ID }))),
    responseDeserialize: () => undefined,
  },
} satisfies grpc.ServiceDefinition;

async function startGrpcJs(): Promise<TestServer> {
  // The limit of etcd, so that both are asked the same.
  const server = new grpc.Server({ "grpc.max_receive_message_length": 2 * 1024 * 1024 });
  server.addService(methods, {
    put: (_call: unknown, done: grpc.sendUnaryData<object>) => done(null, {}),
    keepAlive: (call: grpc.ServerDuplexStream<{ ID: bigint }, { ID: bigint }>) => {
      call.on("data", (request: { ID: bigint }) => call.write(request));
      call.on("end", () => call.end());
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    stop: () => Promise.resolve(server.forceShutdown()),
  };
}

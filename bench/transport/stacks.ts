import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { EtcdClient } from "@tenure/etcd";
import { KV, PutRequestSchema, PutResponseSchema } from "@tenure/etcd/rpc";
import { RawEtcd } from "../peers/raw-etcd.ts";
import { connectNodeHttp2 } from "../peers/raw-http2.ts";
import type { StackName } from "./protocol.ts";

/** One unary call to etcd: puts a key. */
export type Put = (key: string, value: string, timeoutMs?: number) => Promise<unknown>;

/** Connects a stack as its makers ship it: no option is set that makes it faster or slower. */
export function connectStack(name: StackName, endpoint: string): Put {
  switch (name) {
    case "tenure": {
      const { kv } = new EtcdClient({ endpoints: [endpoint] });
      return (key, value, timeoutMs) => kv.put(key, value, timeoutMs === undefined ? {} : { timeoutMs });
    }
    case "connect-node": {
      const kv = createClient(KV, createGrpcTransport({ baseUrl: endpoint }));
      return (key, value, timeoutMs) =>
        kv.put({ key: Buffer.from(key), value: Buffer.from(value) }, timeoutMs === undefined ? {} : { timeoutMs });
    }
    case "grpc-js":
      return overGrpcJs(endpoint);
    case "node:http2": {
      const etcd = new RawEtcd(connectNodeHttp2(endpoint));
      return (key, value) => etcd.put(key, value, 0n);
    }
  }
}

function overGrpcJs(endpoint: string): Put {
  const client = new grpc.Client(new URL(endpoint).host, grpc.credentials.createInsecure());
  return (key, value, timeoutMs) =>
    new Promise((resolve, reject) => {
      const request = create(PutRequestSchema, { key: Buffer.from(key), value: Buffer.from(value) });
      client.makeUnaryRequest(
        "/etcdserverpb.KV/Put",
        (message: Uint8Array) => Buffer.from(message),
        (bytes) => fromBinary(PutResponseSchema, bytes),
        toBinary(PutRequestSchema, request),
        new grpc.Metadata(),
        timeoutMs === undefined ? {} : { deadline: new Date(Date.now() + timeoutMs) },
        (error, answer) => (error === null ? resolve(answer) : reject(error)),
      );
    });
}

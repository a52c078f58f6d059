import type { EtcdClientOptions } from "@tenure/etcd";
import type { TxnRequest } from "@tenure/etcd/rpc";
import { systemClock } from "@tenure/etcd/runtime";
import { Connection } from "../../packages/etcd/src/connection.ts";
import { EndpointRanking } from "../../packages/etcd/src/endpoint-ranking.ts";
import { parseEndpoints } from "../../packages/etcd/src/endpoint.ts";
import { Http2Transport } from "../../packages/etcd/src/transport.ts";

type Transport = NonNullable<EtcdClientOptions["transport"]>;

/** Looks at each unary request before it is sent; what it throws is the answer. */
export type Fault = (method: string, request: unknown) => void;

/** The way to a real store, with faults on the way. */
export function faultyTransport(endpoint: string, fault: Fault): Transport {
  const options = { tls: undefined, clock: systemClock, connectTimeoutMs: 1000 };
  const connections = parseEndpoints([endpoint]).map((each) => new Connection(each, options));
  const inner = new Http2Transport(new EndpointRanking(connections), systemClock);
  return {
    unary: async (...call) => {
      const [method, , , , input] = call;
      fault(method.name, input);
      return inner.unary(...call);
    },
    stream: (...call) => inner.stream(...call),
  };
}

/** Whether a request is the transaction by which a candidate deletes its key. */
export function isDeletion(method: string, request: unknown): boolean {
  if (method !== "Txn") return false;
  const [operation] = (request as TxnRequest).success;
  return operation?.request.case === "requestDeleteRange";
}

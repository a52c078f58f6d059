import { KV } from "@tenure/etcd/rpc";

import type { EtcdServer } from "../core/etcd-server.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the KV service. */
export function addKv(router: GrpcRouter, server: EtcdServer): void {
  router.add(KV, {
    range: (request) => server.range(request),
    put: (request) => server.put(request),
    deleteRange: (request) => server.deleteRange(request),
    txn: (request) => server.txn(request),
    compact: (request) => server.compact(request),
  });
}

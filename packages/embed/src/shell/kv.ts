import { KV } from "@tenure/etcd/rpc";

import type { EtcdServer } from "../core/etcd-server.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the KV service. */
export function addKv(router: GrpcRouter, server: EtcdServer): void {
  router.add(KV, {
    range: (request, caller) => server.range(request, caller),
    put: (request, caller) => server.put(request, caller),
    deleteRange: (request, caller) => server.deleteRange(request, caller),
    txn: (request, caller) => server.txn(request, caller),
    compact: (request, caller) => server.compact(request, caller),
  });
}

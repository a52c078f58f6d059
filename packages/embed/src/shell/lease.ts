import { Lease } from "@tenure/etcd/rpc";

import type { EtcdServer } from "../core/etcd-server.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the Lease service. */
export function addLease(router: GrpcRouter, server: EtcdServer): void {
  router.add(Lease, {
    leaseGrant: (request, caller) => server.leaseGrant(request, caller),
    leaseRevoke: (request, caller) => server.leaseRevoke(request, caller),
    leaseKeepAlive: (call, caller) => ({
      message: (request) => {
        call.send(server.leaseKeepAlive(request, caller));
      },
      drain: () => {
        // Answers wait for requests, and those stop while there is no room.
      },
      halfClose: () => call.end(),
      close: () => {
        // The lease outlives the stream: that is what it is for.
      },
    }),
    leaseTimeToLive: (request, caller) => server.leaseTimeToLive(request, caller),
    leaseLeases: (_request, caller) => server.leaseLeases(caller),
  });
}

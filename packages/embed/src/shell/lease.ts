import { Lease } from "@tenure/etcd/rpc";

import type { EtcdServer } from "../core/etcd-server.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the Lease service. */
export function addLease(router: GrpcRouter, server: EtcdServer): void {
  router.add(Lease, {
    leaseGrant: (request) => server.leaseGrant(request),
    leaseRevoke: (request) => server.leaseRevoke(request),
    leaseKeepAlive: (call) => ({
      message: (request) => {
        call.send(server.leaseKeepAlive(request));
      },
      drain: () => {
        // Answers wait for requests, and those stop while there is no room.
      },
      halfClose: () => call.end(),
      close: () => {
        // The lease outlives the stream: that is what it is for.
      },
    }),
    leaseTimeToLive: (request) => server.leaseTimeToLive(request),
    leaseLeases: () => server.leaseLeases(),
  });
}

import { Maintenance } from "@tenure/etcd/rpc";

import type { EtcdServer } from "../core/etcd-server.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the Maintenance service. */
export function addMaintenance(router: GrpcRouter, server: EtcdServer): void {
  router.add(Maintenance, {
    alarm: (request) => server.alarm(request),
    status: () => server.status(),
  });
}

import { Cluster } from "@tenure/etcd/rpc";

import type { EtcdServer } from "../core/etcd-server.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the Cluster service. */
export function addCluster(router: GrpcRouter, server: EtcdServer): void {
  router.add(Cluster, { memberList: () => server.memberList() });
}

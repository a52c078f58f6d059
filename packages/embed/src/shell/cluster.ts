import { Cluster } from "@tenure/etcd/rpc";

import type { ClusterService } from "../core/cluster.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the Cluster service. */
export function addCluster(router: GrpcRouter, cluster: ClusterService): void {
  router.add(Cluster, {
    memberList: (_request, caller) => cluster.memberList(caller),
    memberAdd: (request, caller) => cluster.memberAdd(request, caller),
    memberRemove: (request, caller) => cluster.memberRemove(request, caller),
    memberUpdate: (request, caller) => cluster.memberUpdate(request, caller),
    memberPromote: (request, caller) => cluster.memberPromote(request, caller),
  });
}

import { Watch } from "@tenure/etcd/rpc";

import type { EtcdServer } from "../core/etcd-server.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the Watch service. */
export function addWatch(router: GrpcRouter, server: EtcdServer): void {
  router.add(Watch, {
    watch: (call, caller) => {
      const stream = server.openWatch((response) => call.send(response), caller);
      return {
        message: (request) => stream.handle(request),
        drain: () => stream.drain(),
        halfClose: () => {
          // As etcd: the watches go on until the client ends the call.
        },
        close: () => server.closeWatch(stream),
      };
    },
  });
}

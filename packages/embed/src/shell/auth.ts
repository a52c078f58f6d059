import { Auth } from "@tenure/etcd/rpc";

import { refusal } from "../core/errors.ts";
import type { GrpcRouter } from "./grpc-service.ts";

/** Serves the Auth service: authentication is not enabled, which clients that have a password take well. */
export function addAuth(router: GrpcRouter): void {
  router.add(Auth, {
    authenticate: () => {
      throw refusal("authNotEnabled");
    },
  });
}

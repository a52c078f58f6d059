import { Election, Lock } from "@tenure/etcd/rpc";

import type { Caller } from "../core/auth-store.ts";
import type { Client } from "../core/concurrency.ts";
import { campaign, leader, observe, proclaim, resign } from "../core/election.ts";
import type { EtcdServer } from "../core/etcd-server.ts";
import { lock, unlock } from "../core/lock.ts";
import type { CallEnd, GrpcRouter } from "./grpc-service.ts";

/** Serves the v3election and v3lock services. */
export function addConcurrency(router: GrpcRouter, server: EtcdServer): void {
  const client = (caller: Caller, end: CallEnd): Client => ({ server, caller, signal: end() });
  router.add(Election, {
    campaign: (request, caller, end) => campaign(client(caller, end), request),
    proclaim: (request, caller, end) => proclaim(client(caller, end), request),
    leader: (request, caller, end) => leader(client(caller, end), request),
    observe: (request, caller, end) => observe(client(caller, end), request),
    resign: (request, caller, end) => resign(client(caller, end), request),
  });
  router.add(Lock, {
    lock: (request, caller, end) => lock(client(caller, end), request),
    unlock: (request, caller, end) => unlock(client(caller, end), request),
  });
}

import { type EtcdServer, EtcdServerError } from "@tenure/embed";
import { create } from "@bufbuild/protobuf";
import {
  type CompactionRequest,
  type DeleteRangeRequest,
  type LeaseGrantRequest,
  type LeaseRevokeRequest,
  LeaseRevokeRequestSchema,
  type PutRequest,
  type TxnRequest,
} from "@tenure/etcd/rpc";

/** A write, as it stands in the cluster's log. */
export type Operation =
  | { readonly t: "put"; readonly request: PutRequest }
  | { readonly t: "delete"; readonly request: DeleteRangeRequest }
  | { readonly t: "txn"; readonly request: TxnRequest }
  | { readonly t: "grant"; readonly request: LeaseGrantRequest }
  | { readonly t: "revoke"; readonly request: LeaseRevokeRequest }
  | { readonly t: "compact"; readonly request: CompactionRequest };

/** What a request comes to. */
export type Outcome =
  | { readonly t: "answer"; readonly answer: unknown }
  | { readonly t: "refused"; error: EtcdServerError };

/** Carries out a write on one replica. */
export function applyTo(server: EtcdServer, operation: Operation): Outcome {
  return outcomeOf(() => {
    switch (operation.t) {
      case "put":
        return server.put(operation.request);
      case "delete":
        return server.deleteRange(operation.request);
      case "txn":
        return server.txn(operation.request);
      case "grant":
        return server.leaseGrant(operation.request);
      case "revoke":
        return server.leaseRevoke(operation.request);
      case "compact":
        return server.compact(operation.request);
    }
  });
}

/** The outcome of something that answers, or is refused as etcd does. */
export function outcomeOf(request: () => unknown): Outcome {
  try {
    return { t: "answer", answer: request() };
  } catch (error) {
    if (error instanceof EtcdServerError) return { t: "refused", error };
    throw error;
  }
}

/** A refusal for want of a leader, a quorum or time; the texts are etcd's. */
export function unavailable(message: string): EtcdServerError {
  return new EtcdServerError(14, `etcdserver: ${message}`);
}

/** A refusal by a store that has too much to do; nothing was changed. */
export function tooManyRequests(): EtcdServerError {
  return new EtcdServerError(8, "etcdserver: too many requests");
}

/** The end of a lease. */
export function revokeOf(id: bigint): Operation {
  return { t: "revoke", request: create(LeaseRevokeRequestSchema, { ID: id }) };
}

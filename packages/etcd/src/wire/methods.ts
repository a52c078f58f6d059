// What this client asks of etcd.
import type { Message } from "@bufbuild/protobuf";
import type * as pb from "../gen/rpc_pb.ts";
import type { MessageType } from "./codec.ts";
import * as messages from "./messages.ts";

/** One method of one of etcd's services. */
export interface Method<I extends Message, O extends Message> {
  readonly name: string;
  readonly parent: { readonly typeName: string };
  readonly input: MessageType<I>;
  readonly output: MessageType<O>;
}

/** What is common to all methods. */
export type AnyMethod = Pick<Method<Message, Message>, "name" | "parent">;

const KV = { typeName: "etcdserverpb.KV" };

export const range: Method<pb.RangeRequest, pb.RangeResponse> = {
  name: "Range",
  parent: KV,
  input: messages.rangeRequest,
  output: messages.rangeResponse,
};

export const put: Method<pb.PutRequest, pb.PutResponse> = {
  name: "Put",
  parent: KV,
  input: messages.putRequest,
  output: messages.putResponse,
};

export const deleteRange: Method<pb.DeleteRangeRequest, pb.DeleteRangeResponse> = {
  name: "DeleteRange",
  parent: KV,
  input: messages.deleteRangeRequest,
  output: messages.deleteRangeResponse,
};

export const txn: Method<pb.TxnRequest, pb.TxnResponse> = {
  name: "Txn",
  parent: KV,
  input: messages.txnRequest,
  output: messages.txnResponse,
};

export const compact: Method<pb.CompactionRequest, pb.CompactionResponse> = {
  name: "Compact",
  parent: KV,
  input: messages.compactionRequest,
  output: messages.compactionResponse,
};

export const watch: Method<pb.WatchRequest, pb.WatchResponse> = {
  name: "Watch",
  parent: { typeName: "etcdserverpb.Watch" },
  input: messages.watchRequest,
  output: messages.watchResponse,
};

const LEASE = { typeName: "etcdserverpb.Lease" };

export const leaseGrant: Method<pb.LeaseGrantRequest, pb.LeaseGrantResponse> = {
  name: "LeaseGrant",
  parent: LEASE,
  input: messages.leaseGrantRequest,
  output: messages.leaseGrantResponse,
};

export const leaseRevoke: Method<pb.LeaseRevokeRequest, pb.LeaseRevokeResponse> = {
  name: "LeaseRevoke",
  parent: LEASE,
  input: messages.leaseRevokeRequest,
  output: messages.leaseRevokeResponse,
};

export const leaseKeepAlive: Method<pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse> = {
  name: "LeaseKeepAlive",
  parent: LEASE,
  input: messages.leaseKeepAliveRequest,
  output: messages.leaseKeepAliveResponse,
};

export const leaseTimeToLive: Method<pb.LeaseTimeToLiveRequest, pb.LeaseTimeToLiveResponse> = {
  name: "LeaseTimeToLive",
  parent: LEASE,
  input: messages.leaseTimeToLiveRequest,
  output: messages.leaseTimeToLiveResponse,
};

export const leaseLeases: Method<pb.LeaseLeasesRequest, pb.LeaseLeasesResponse> = {
  name: "LeaseLeases",
  parent: LEASE,
  input: messages.leaseLeasesRequest,
  output: messages.leaseLeasesResponse,
};

export const memberList: Method<pb.MemberListRequest, pb.MemberListResponse> = {
  name: "MemberList",
  parent: { typeName: "etcdserverpb.Cluster" },
  input: messages.memberListRequest,
  output: messages.memberListResponse,
};

export const status: Method<pb.StatusRequest, pb.StatusResponse> = {
  name: "Status",
  parent: { typeName: "etcdserverpb.Maintenance" },
  input: messages.statusRequest,
  output: messages.statusResponse,
};

export const authenticate: Method<pb.AuthenticateRequest, pb.AuthenticateResponse> = {
  name: "Authenticate",
  parent: { typeName: "etcdserverpb.Auth" },
  input: messages.authenticateRequest,
  output: messages.authenticateResponse,
};

// The messages this client exchanges with etcd: names and field numbers are etcd's wire format, as in `proto/`.
//
// The generated descriptors know them all, but take tens of milliseconds to load: programs that serve etcd's API use
// those, and the types of both are the same.
import type { Event, KeyValue } from "../gen/kv_pb.ts";
import type * as pb from "../gen/rpc_pb.ts";
import { message, type MessageType } from "./codec.ts";
import { bool, bytes, choice, int64, text, uint64 } from "./kinds.ts";

const responseHeader: MessageType<pb.ResponseHeader> = message("etcdserverpb.ResponseHeader", {
  clusterId: [1, uint64],
  memberId: [2, uint64],
  revision: [3, int64],
  raftTerm: [4, uint64],
});

const keyValue: MessageType<KeyValue> = message("mvccpb.KeyValue", {
  key: [1, bytes],
  createRevision: [2, int64],
  modRevision: [3, int64],
  version: [4, int64],
  value: [5, bytes],
  lease: [6, int64],
});

const event: MessageType<Event> = message("mvccpb.Event", {
  type: [1, choice()],
  kv: [2, keyValue],
  prevKv: [3, keyValue],
});

export const rangeRequest: MessageType<pb.RangeRequest> = message("etcdserverpb.RangeRequest", {
  key: [1, bytes],
  rangeEnd: [2, bytes],
  limit: [3, int64],
  revision: [4, int64],
  sortOrder: [5, choice()],
  sortTarget: [6, choice()],
  serializable: [7, bool],
  keysOnly: [8, bool],
  countOnly: [9, bool],
  minModRevision: [10, int64],
  maxModRevision: [11, int64],
  minCreateRevision: [12, int64],
  maxCreateRevision: [13, int64],
});

export const rangeResponse: MessageType<pb.RangeResponse> = message("etcdserverpb.RangeResponse", {
  header: [1, responseHeader],
  kvs: { many: [2, keyValue] },
  more: [3, bool],
  count: [4, int64],
});

export const putRequest: MessageType<pb.PutRequest> = message("etcdserverpb.PutRequest", {
  key: [1, bytes],
  value: [2, bytes],
  lease: [3, int64],
  prevKv: [4, bool],
  ignoreValue: [5, bool],
  ignoreLease: [6, bool],
});

export const putResponse: MessageType<pb.PutResponse> = message("etcdserverpb.PutResponse", {
  header: [1, responseHeader],
  prevKv: [2, keyValue],
});

export const deleteRangeRequest: MessageType<pb.DeleteRangeRequest> = message("etcdserverpb.DeleteRangeRequest", {
  key: [1, bytes],
  rangeEnd: [2, bytes],
  prevKv: [3, bool],
});

export const deleteRangeResponse: MessageType<pb.DeleteRangeResponse> = message("etcdserverpb.DeleteRangeResponse", {
  header: [1, responseHeader],
  deleted: [2, int64],
  prevKvs: { many: [3, keyValue] },
});

const compare: MessageType<pb.Compare> = message("etcdserverpb.Compare", {
  result: [1, choice()],
  target: [2, choice()],
  key: [3, bytes],
  targetUnion: {
    oneOf: {
      version: [4, int64],
      createRevision: [5, int64],
      modRevision: [6, int64],
      value: [7, bytes],
      lease: [8, int64],
    },
  },
  rangeEnd: [64, bytes],
});

const requestOp: MessageType<pb.RequestOp> = message("etcdserverpb.RequestOp", () => ({
  request: {
    oneOf: {
      requestRange: [1, rangeRequest],
      requestPut: [2, putRequest],
      requestDeleteRange: [3, deleteRangeRequest],
      requestTxn: [4, txnRequest],
    },
  },
}));

const responseOp: MessageType<pb.ResponseOp> = message("etcdserverpb.ResponseOp", () => ({
  response: {
    oneOf: {
      responseRange: [1, rangeResponse],
      responsePut: [2, putResponse],
      responseDeleteRange: [3, deleteRangeResponse],
      responseTxn: [4, txnResponse],
    },
  },
}));

export const txnRequest: MessageType<pb.TxnRequest> = message("etcdserverpb.TxnRequest", {
  compare: { many: [1, compare] },
  success: { many: [2, requestOp] },
  failure: { many: [3, requestOp] },
});

export const txnResponse: MessageType<pb.TxnResponse> = message("etcdserverpb.TxnResponse", {
  header: [1, responseHeader],
  succeeded: [2, bool],
  responses: { many: [3, responseOp] },
});

export const compactionRequest: MessageType<pb.CompactionRequest> = message("etcdserverpb.CompactionRequest", {
  revision: [1, int64],
  physical: [2, bool],
});

export const compactionResponse: MessageType<pb.CompactionResponse> = message("etcdserverpb.CompactionResponse", {
  header: [1, responseHeader],
});

const watchCreateRequest: MessageType<pb.WatchCreateRequest> = message("etcdserverpb.WatchCreateRequest", {
  key: [1, bytes],
  rangeEnd: [2, bytes],
  startRevision: [3, int64],
  progressNotify: [4, bool],
  filters: { many: [5, choice()] },
  prevKv: [6, bool],
  watchId: [7, int64],
  fragment: [8, bool],
});

const watchCancelRequest: MessageType<pb.WatchCancelRequest> = message("etcdserverpb.WatchCancelRequest", {
  watchId: [1, int64],
});

const watchProgressRequest: MessageType<pb.WatchProgressRequest> = message("etcdserverpb.WatchProgressRequest", {});

export const watchRequest: MessageType<pb.WatchRequest> = message("etcdserverpb.WatchRequest", {
  requestUnion: {
    oneOf: {
      createRequest: [1, watchCreateRequest],
      cancelRequest: [2, watchCancelRequest],
      progressRequest: [3, watchProgressRequest],
    },
  },
});

export const watchResponse: MessageType<pb.WatchResponse> = message("etcdserverpb.WatchResponse", {
  header: [1, responseHeader],
  watchId: [2, int64],
  created: [3, bool],
  canceled: [4, bool],
  compactRevision: [5, int64],
  cancelReason: [6, text],
  fragment: [7, bool],
  events: { many: [11, event] },
});

export const leaseGrantRequest: MessageType<pb.LeaseGrantRequest> = message("etcdserverpb.LeaseGrantRequest", {
  TTL: [1, int64],
  ID: [2, int64],
});

export const leaseGrantResponse: MessageType<pb.LeaseGrantResponse> = message("etcdserverpb.LeaseGrantResponse", {
  header: [1, responseHeader],
  ID: [2, int64],
  TTL: [3, int64],
  error: [4, text],
});

export const leaseRevokeRequest: MessageType<pb.LeaseRevokeRequest> = message("etcdserverpb.LeaseRevokeRequest", {
  ID: [1, int64],
});

export const leaseRevokeResponse: MessageType<pb.LeaseRevokeResponse> = message("etcdserverpb.LeaseRevokeResponse", {
  header: [1, responseHeader],
});

export const leaseKeepAliveRequest: MessageType<pb.LeaseKeepAliveRequest> = message(
  "etcdserverpb.LeaseKeepAliveRequest",
  { ID: [1, int64] },
);

export const leaseKeepAliveResponse: MessageType<pb.LeaseKeepAliveResponse> = message(
  "etcdserverpb.LeaseKeepAliveResponse",
  { header: [1, responseHeader], ID: [2, int64], TTL: [3, int64] },
);

export const leaseTimeToLiveRequest: MessageType<pb.LeaseTimeToLiveRequest> = message(
  "etcdserverpb.LeaseTimeToLiveRequest",
  { ID: [1, int64], keys: [2, bool] },
);

export const leaseTimeToLiveResponse: MessageType<pb.LeaseTimeToLiveResponse> = message(
  "etcdserverpb.LeaseTimeToLiveResponse",
  {
    header: [1, responseHeader],
    ID: [2, int64],
    TTL: [3, int64],
    grantedTTL: [4, int64],
    keys: { many: [5, bytes] },
  },
);

export const leaseLeasesRequest: MessageType<pb.LeaseLeasesRequest> = message("etcdserverpb.LeaseLeasesRequest", {});

const leaseStatus: MessageType<pb.LeaseStatus> = message("etcdserverpb.LeaseStatus", { ID: [1, int64] });

export const leaseLeasesResponse: MessageType<pb.LeaseLeasesResponse> = message("etcdserverpb.LeaseLeasesResponse", {
  header: [1, responseHeader],
  leases: { many: [2, leaseStatus] },
});

const member: MessageType<pb.Member> = message("etcdserverpb.Member", {
  ID: [1, uint64],
  name: [2, text],
  peerURLs: { many: [3, text] },
  clientURLs: { many: [4, text] },
  isLearner: [5, bool],
});

export const memberListRequest: MessageType<pb.MemberListRequest> = message("etcdserverpb.MemberListRequest", {
  linearizable: [1, bool],
});

export const memberListResponse: MessageType<pb.MemberListResponse> = message("etcdserverpb.MemberListResponse", {
  header: [1, responseHeader],
  members: { many: [2, member] },
});

export const statusRequest: MessageType<pb.StatusRequest> = message("etcdserverpb.StatusRequest", {});

export const statusResponse: MessageType<pb.StatusResponse> = message("etcdserverpb.StatusResponse", {
  header: [1, responseHeader],
  version: [2, text],
  dbSize: [3, int64],
  leader: [4, uint64],
  raftIndex: [5, uint64],
  raftTerm: [6, uint64],
  raftAppliedIndex: [7, uint64],
  errors: { many: [8, text] },
  dbSizeInUse: [9, int64],
  isLearner: [10, bool],
  dbSizeQuota: [12, int64],
});

export const authenticateRequest: MessageType<pb.AuthenticateRequest> = message("etcdserverpb.AuthenticateRequest", {
  name: [1, text],
  password: [2, text],
});

export const authenticateResponse: MessageType<pb.AuthenticateResponse> = message("etcdserverpb.AuthenticateResponse", {
  header: [1, responseHeader],
  token: [2, text],
});

/**
 * What a client and a server of etcd's gRPC API share: messages, framing and status.
 *
 * @module
 */
export * from "../gen/auth_pb.ts";
export * from "../gen/kv_pb.ts";
export * from "../gen/rpc_pb.ts";
export * from "../gen/v3election_pb.ts";
export * from "../gen/v3lock_pb.ts";
export { FrameReader, frame } from "./framing.ts";
export { decodeGrpcMessage, encodeGrpcMessage, GrpcError } from "./status.ts";
export { parseGrpcTimeout, formatGrpcTimeout } from "./timeout.ts";

/**
 * An etcd v3 client.
 *
 * Every call has a deadline (5 s unless told otherwise) and takes a signal. A write is never repeated by this package
 * once it may have reached a server: {@link EtcdError.mayHaveApplied} tells the caller what is not known.
 *
 * @module
 */
export { EtcdClient, type EtcdClientOptions } from "./client.ts";
export type { ClusterClient, MaintenanceClient } from "./client.ts";
export type { AuthOptions } from "./auth.ts";
export type { TlsOptions } from "./tls.ts";
export type { SrvOptions, SrvRecord, SrvResolver } from "./srv-discovery.ts";
export { EtcdError, type EtcdErrorCode, type EtcdErrorOptions } from "./errors.ts";
export type { Key, KeyRange } from "./key-range.ts";
export type { CallOptions } from "./call-options.ts";
export type { KvClient, Txn } from "./kv.ts";
export type { CallHeaders, Transport } from "./rpc-transport.ts";
export type { Method } from "./wire/methods.ts";
export type { MessageType } from "./wire/codec.ts";
export type { KeepAliveStream, LeaseClient } from "./lease.ts";
export {
  type Comparison,
  type Op,
  type PutOptions,
  type RangeOptions,
  type Relation,
  compare,
  nested,
  put,
  range,
  remove,
} from "./op.ts";
export type { WatchClient, WatchOptions } from "./watch.ts";
export type { WatchMessage, WatchStream } from "./watch-message.ts";
export type {
  ConnectionClosedEvent,
  ConnectionEnd,
  ConnectionFailedEvent,
  ConnectionOpenedEvent,
  DiscoveryFailedEvent,
  EndpointAddedEvent,
  EndpointRejectedEvent,
  EndpointRemoval,
  EndpointRemovedEvent,
  RpcEvent,
  RpcRetriedEvent,
} from "./events.ts";

// For libraries built on this one.
export { Lineage } from "./lineage.ts";
export { parseEndpoint, parseEndpoints, type Endpoint } from "./endpoint.ts";
export { assertSrvOptions, resolveSrvEndpoints } from "./srv-discovery.ts";
export { keyBytes, prefixEnd } from "./key-range.ts";

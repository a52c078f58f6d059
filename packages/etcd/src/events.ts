import { channel } from "node:diagnostics_channel";

/** Published on `tenure:rpc` for each request that leaves, a message on a stream not counted. */
export interface RpcEvent {
  /** `etcdserverpb.KV/Txn` */
  readonly method: string;
  /** URL of the endpoint it goes to. */
  readonly endpoint: string;
}

/** Published on `tenure:rpc:retried` when a request did not reach an endpoint and goes to another one. */
export interface RpcRetriedEvent {
  /** `etcdserverpb.KV/Txn` */
  readonly method: string;
  /** URL of the endpoint it goes to now. */
  readonly endpoint: string;
  /** URL of the endpoint that did not take it. */
  readonly failedEndpoint: string;
  /** What was wrong with that one, for people. */
  readonly reason: string;
}

/** Published on `tenure:connection:opened` when a connection stands. */
export interface ConnectionOpenedEvent {
  readonly endpoint: string;
}

/** Why a connection ended. */
export type ConnectionEnd =
  /** It broke, or the server closed it. */
  | "lost"
  /** The server announced its end. */
  | "goaway"
  /** Nothing arrived on it for too long. */
  | "silent"
  /** An answer was overdue: new calls go over a new one. */
  | "suspect"
  /** It was not shown that the right member is at the other end; nothing else was asked of it. */
  | "rejected"
  /** The client was closed, or does without this endpoint from now on. */
  | "closed";

/** Published on `tenure:connection:closed` when a connection that stood is over. */
export interface ConnectionClosedEvent {
  readonly endpoint: string;
  readonly why: ConnectionEnd;
}

/** Published on `tenure:connection:failed` when a connection could not be made. */
export interface ConnectionFailedEvent {
  readonly endpoint: string;
  /** What was wrong, for people. */
  readonly reason: string;
}

/** Published on `tenure:endpoint:added` when an endpoint that was found is used from now on. */
export interface EndpointAddedEvent {
  readonly endpoint: string;
  /** Who told of it: the cluster's list of members, or DNS. */
  readonly source: "members" | "srv";
}

/** Published on `tenure:endpoint:removed` when an endpoint that was found is not used any more. */
export interface EndpointRemovedEvent {
  readonly endpoint: string;
  readonly why: EndpointRemoval;
}

/** Why an endpoint that was found is not used any more. */
export type EndpointRemoval =
  /** The list of members, or DNS, does not have it any more. */
  | "unlisted"
  /** Another member answers there, or another cluster's. */
  | "mismatch"
  /** The endpoints that were given lead to another cluster than the one whose list had it. */
  | "cluster-changed";

/**
 * Published on `tenure:endpoint:rejected` when another member than the one that the list names answers at its URL; once
 * for each such answer of an endpoint. It is asked again now and then.
 */
export interface EndpointRejectedEvent {
  readonly endpoint: string;
  /** For people. */
  readonly reason: string;
}

/** Published on `tenure:discovery:failed` when no endpoints can be found; once for the same reason in a row. */
export interface DiscoveryFailedEvent {
  /** Who was asked: the cluster for its members, or DNS. */
  readonly source: "members" | "srv";
  /** For people. */
  readonly reason: string;
}

const rpc = channel("tenure:rpc");
const rpcRetried = channel("tenure:rpc:retried");
const connectionOpened = channel("tenure:connection:opened");
const connectionClosed = channel("tenure:connection:closed");
const connectionFailed = channel("tenure:connection:failed");
const endpointAdded = channel("tenure:endpoint:added");
const endpointRemoved = channel("tenure:endpoint:removed");
const endpointRejected = channel("tenure:endpoint:rejected");
const discoveryFailed = channel("tenure:discovery:failed");

/** What is published of a method. */
interface Method {
  readonly name: string;
  readonly parent: { readonly typeName: string };
}

export function publishRpc(method: Method, endpoint: string): void {
  if (!rpc.hasSubscribers) return;
  rpc.publish({ method: nameOf(method), endpoint } satisfies RpcEvent);
}

/** @param failed the endpoint tried before this one; undefined for the first */
export function publishRetry(
  method: Method,
  endpoint: string,
  failed: { readonly url: string; readonly error: Error } | undefined,
): void {
  if (failed === undefined || !rpcRetried.hasSubscribers) return;
  rpcRetried.publish({
    method: nameOf(method),
    endpoint,
    failedEndpoint: failed.url,
    reason: failed.error.message,
  } satisfies RpcRetriedEvent);
}

export function publishConnectionOpened(endpoint: string): void {
  if (!connectionOpened.hasSubscribers) return;
  connectionOpened.publish({ endpoint } satisfies ConnectionOpenedEvent);
}

export function publishConnectionClosed(endpoint: string, why: ConnectionEnd): void {
  if (!connectionClosed.hasSubscribers) return;
  connectionClosed.publish({ endpoint, why } satisfies ConnectionClosedEvent);
}

export function publishConnectionFailed(endpoint: string, { message }: Error): void {
  if (!connectionFailed.hasSubscribers) return;
  connectionFailed.publish({ endpoint, reason: message } satisfies ConnectionFailedEvent);
}

export function publishEndpointAdded(endpoint: string, source: EndpointAddedEvent["source"]): void {
  if (!endpointAdded.hasSubscribers) return;
  endpointAdded.publish({ endpoint, source } satisfies EndpointAddedEvent);
}

export function publishEndpointRemoved(endpoint: string, why: EndpointRemoval): void {
  if (!endpointRemoved.hasSubscribers) return;
  endpointRemoved.publish({ endpoint, why } satisfies EndpointRemovedEvent);
}

export function publishEndpointRejected(endpoint: string, reason: string): void {
  if (!endpointRejected.hasSubscribers) return;
  endpointRejected.publish({ endpoint, reason } satisfies EndpointRejectedEvent);
}

export function publishDiscoveryFailed(source: DiscoveryFailedEvent["source"], { message }: Error): void {
  if (!discoveryFailed.hasSubscribers) return;
  discoveryFailed.publish({ source, reason: message } satisfies DiscoveryFailedEvent);
}

function nameOf({ name, parent }: Method): string {
  return `${parent.typeName}/${name}`;
}

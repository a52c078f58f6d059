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
  /** The client was closed. */
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

const rpc = channel("tenure:rpc");
const rpcRetried = channel("tenure:rpc:retried");
const connectionOpened = channel("tenure:connection:opened");
const connectionClosed = channel("tenure:connection:closed");
const connectionFailed = channel("tenure:connection:failed");

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

function nameOf({ name, parent }: Method): string {
  return `${parent.typeName}/${name}`;
}

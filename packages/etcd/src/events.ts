import { channel } from "node:diagnostics_channel";

/** Published on `tenure:rpc` for each request that leaves, a message on a stream not counted. */
export interface RpcEvent {
  /** `etcdserverpb.KV/Txn` */
  readonly method: string;
  /** URL of the endpoint it goes to. */
  readonly endpoint: string;
}

const rpcChannel = channel("tenure:rpc");

export function publishRpc(event: RpcEvent): void {
  if (rpcChannel.hasSubscribers) rpcChannel.publish(event);
}

import { channel } from "node:diagnostics_channel";
import { EtcdError, type RpcEvent } from "@tenure/etcd";
import type { TxnRequest } from "@tenure/etcd/rpc";
import { type Client, connect } from "tenure";
import { startProxy } from "../support/proxy.ts";
import { faultyTransport } from "./faulty-store.ts";

/** A client that can be made not to hear the answer to its next campaign, which etcd carries out. */
export interface DeafClient extends AsyncDisposable {
  readonly client: Client;
  /** Has the next answer be lost; resolves when the request for it leaves. */
  deafen(): Promise<void>;
}

/**
 * Loses the answer on the way, behind a proxy: the connection breaks once `applied` has settled, or falls silent until
 * the client asks again.
 */
export async function deafLink(
  endpoint: string,
  how: "breaks" | "falls silent",
  applied: () => Promise<unknown>,
): Promise<DeafClient> {
  const proxy = await startProxy(endpoint);
  const client = connect({ endpoints: [proxy.endpoint] });
  let breaking: Promise<void> = Promise.resolve();
  let onRequest: (() => void) | undefined;
  const transactions = onTransaction(proxy.endpoint, () => {
    if (onRequest === undefined) return proxy.heal();
    // The request has yet to leave, so its answer cannot pass before this.
    proxy.blackhole("down");
    onRequest();
    onRequest = undefined;
    if (how === "falls silent") return;
    breaking = applied().then(() => {
      proxy.cut();
      proxy.heal();
    });
  });
  return {
    client,
    deafen: () => new Promise((resolve) => (onRequest = resolve)),
    [Symbol.asyncDispose]: async () => {
      await breaking;
      await client.close();
      transactions[Symbol.dispose]();
      await proxy.stop();
    },
  };
}

/** Calls back for each transaction that is about to leave for an endpoint, until it is disposed of. */
export function onTransaction(endpoint: string, callback: () => void): Disposable {
  const rpc = channel("tenure:rpc");
  const onRpc = (event: unknown): void => {
    const { method, endpoint: to } = event as RpcEvent;
    if (to === endpoint && method === "etcdserverpb.KV/Txn") callback();
  };
  rpc.subscribe(onRpc);
  return { [Symbol.dispose]: () => rpc.unsubscribe(onRpc) };
}

/** Loses so many answers in a row at the transport, with the error that a client would see. */
export function deafTransport(
  endpoint: string,
  code: "unavailable" | "deadline-exceeded",
  answersToLose: number,
): DeafClient {
  let left = 0;
  let onRequest = (): void => undefined;
  const inner = faultyTransport(endpoint, (method, request) => {
    if (isCampaign(method, request)) onRequest();
  });
  const client = connect({
    transport: {
      unary: async (...call) => {
        const answer = await inner.unary(...call);
        const [method, , , , request] = call;
        if (isCampaign(method.name, request) && left-- > 0) throw new EtcdError(code, "the answer was lost");
        return answer;
      },
      stream: (...call) => inner.stream(...call),
    },
  });
  return {
    client,
    deafen: () => {
      left = answersToLose;
      return new Promise((resolve) => (onRequest = resolve));
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** Whether a request is the transaction by which a candidate puts its key. */
function isCampaign(method: string, request: unknown): boolean {
  return method === "Txn" && (request as TxnRequest).success[0]?.request.case === "requestPut";
}

import { channel } from "node:diagnostics_channel";
import { type Client, connect, type ConnectOptions } from "tenure";
import type { EtcdClient, RpcEvent } from "@tenure/etcd";
import { RawGrpcClient } from "../../packages/embed/src/testing/raw-grpc-client.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

/** Something that speaks the etcd v3 API. */
export interface Store extends AsyncDisposable {
  readonly endpoint: string;
}

/** The store of a suite, and clients that are closed after each case. */
export interface Harness {
  readonly store: Store;
  /** A name, or a prefix of keys, that no other case uses and that is no prefix of another one. */
  name(): string;
  /** A client of its own: another process, as far as elections are concerned. */
  client(options?: ConnectOptions): Client;
  /** The same where only the store's own API is wanted. */
  etcd(): EtcdClient;
  /** A connection that shows messages and statuses as they come. */
  raw(): RawGrpcClient;
  /** A way to the store that can be broken; it outlasts the clients of its case. */
  proxy(): Promise<Proxy>;
  /** Waits until an election has so many candidates. */
  candidates(name: string, count: number): Promise<void>;
}

/** A harness and what its owner does with it. */
export interface StartedHarness {
  readonly harness: Harness & { use(store: Store): void };
  /** To be called after each case. */
  readonly closeClients: () => Promise<void>;
  /** To be called after the last case. */
  readonly stop: () => Promise<void>;
}

/** Makes a harness whose store comes later, with `use`. */
export function startHarness(): StartedHarness {
  let names = 0;
  let store: Store | undefined;
  const clients: Client[] = [];
  const connections: RawGrpcClient[] = [];
  const proxies: Proxy[] = [];
  const current = (): Store => {
    if (store === undefined) throw new Error("the store is not started yet");
    return store;
  };
  const client = (options: ConnectOptions = {}): Client => {
    const made = connect({ endpoints: [current().endpoint], ...options });
    clients.push(made);
    return made;
  };
  const harness: StartedHarness["harness"] = {
    use: (started) => {
      store = started;
    },
    get store() {
      return current();
    },
    name: () => `case-${String(++names).padStart(4, "0")}`,
    client,
    etcd: () => client().etcd,
    raw: () => {
      const made = new RawGrpcClient(current().endpoint);
      connections.push(made);
      return made;
    },
    proxy: async () => {
      const made = await startProxy(current().endpoint);
      proxies.push(made);
      return made;
    },
    candidates: async (name, count) => {
      const election = client().election(name);
      await until(async () => (await election.candidates()).length === count, { what: `${count} candidates` });
    },
  };
  return {
    harness,
    closeClients: async () => {
      for (const each of connections.splice(0)) each.close();
      for (const each of proxies) each.heal();
      await Promise.all(clients.splice(0).map((each) => each.close()));
      await Promise.all(proxies.splice(0).map((each) => each.stop()));
    },
    stop: async () => store?.[Symbol.asyncDispose](),
  };
}

/** Methods of the requests that leave while `action` runs. */
export async function rpcsDuring(action: () => Promise<unknown>): Promise<string[]> {
  const methods: string[] = [];
  const onRpc = (event: unknown): void => void methods.push((event as RpcEvent).method.replace("etcdserverpb.", ""));
  const rpc = channel("tenure:rpc");
  rpc.subscribe(onRpc);
  try {
    await action();
    return methods;
  } finally {
    rpc.unsubscribe(onRpc);
  }
}

/** The reason a signal fired with, waiting for it up to a limit. */
export async function fired(signal: AbortSignal, timeoutMs = 10_000): Promise<unknown> {
  await until(() => signal.aborted, { what: "the signal", timeoutMs });
  return signal.reason;
}

/** Bytes as text. */
export function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}

/** Waits until so much time has passed: for what must hold for longer than a TTL. */
export async function elapsed(durationMs: number): Promise<void> {
  const started = performance.now();
  await until(() => performance.now() - started >= durationMs, {
    what: "time",
    timeoutMs: durationMs * 2 + 1_000,
    intervalMs: 50,
  });
}

import { channel } from "node:diagnostics_channel";
import { afterAll, afterEach, beforeAll } from "vitest";
import { type Client, connect, type ConnectOptions } from "tenure";
import type { RpcEvent } from "@tenure/etcd";
import type { Store } from "./store.ts";
import { until } from "../support/until.ts";

/** A store for a group of cases, and clients that are closed after each case. */
export interface Harness {
  readonly store: Store;
  /** An election's name that no other case uses. */
  name(): string;
  /** A client of its own: another process, as far as elections are concerned. */
  client(options?: ConnectOptions): Client;
  /** Waits until an election has so many candidates. */
  candidates(name: string, count: number): Promise<void>;
}

let names = 0;

/** Starts a store before the group's cases and stops it after them. */
export function harness(start: () => Promise<Store>): Harness {
  let store: Store | undefined;
  const clients: Client[] = [];
  const current = (): Store => {
    if (store === undefined) throw new Error("the store is not started yet");
    return store;
  };
  const client = (options: ConnectOptions = {}): Client => {
    const made = connect({ endpoints: [current().endpoint], ...options });
    clients.push(made);
    return made;
  };
  beforeAll(async () => {
    store = await start();
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((each) => each.close()));
  });
  afterAll(async () => {
    await store?.[Symbol.asyncDispose]();
  });
  return {
    get store() {
      return current();
    },
    name: () => `case-${++names}`,
    client,
    candidates: async (name, count) => {
      const election = client().election(name);
      await until(async () => (await election.candidates()).length === count, { what: `${count} candidates` });
    },
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

import { afterAll, afterEach, beforeAll } from "vitest";
import { type Client, connect, type ConnectOptions, type Leader } from "tenure";
import { type RealEtcd, startEtcd } from "../../support/real-etcd.ts";
import { until } from "../../support/until.ts";
import type { Observer, Peer, PeerKind } from "./peer.ts";

/** A real etcd for a group of tests; what a test starts on it is ended after the test. */
export interface Stage {
  readonly etcd: RealEtcd;
  /** An election's name that no other test uses, `election/...` because etcd3 can do no other. */
  name(): string;
  client(options?: ConnectOptions): Client;
  start(kind: PeerKind, name: string): Promise<Peer>;
  /** Hands over something to be ended after the test. */
  use<T extends AsyncDisposable>(thing: T): T;
  /** Waits until these values stand in an election, in this order. */
  queue(name: string, ...values: string[]): Promise<readonly Leader[]>;
}

const prepareTimeoutMs = 1_500_000;
let names = 0;

/** Starts etcd before the group's tests and stops it after them. */
export function stage(kinds: readonly PeerKind[], version: "3.4" | "3.5" = "3.5"): Stage {
  let etcd: RealEtcd | undefined;
  const things: AsyncDisposable[] = [];
  const current = (): RealEtcd => {
    if (etcd === undefined) throw new Error("etcd is not started yet");
    return etcd;
  };
  const use = <T extends AsyncDisposable>(thing: T): T => {
    things.push(thing);
    return thing;
  };
  const client = (options: ConnectOptions = {}): Client =>
    use(connect({ endpoints: [current().endpoint], ...options }));

  beforeAll(async () => {
    for (const { skip, prepare } of kinds) if (skip !== true) await prepare?.();
    etcd = await startEtcd({ version });
  }, prepareTimeoutMs);
  afterEach(async () => {
    await Promise.all(things.splice(0).map((thing) => thing[Symbol.asyncDispose]()));
  });
  afterAll(async () => {
    await etcd?.stop();
  });
  return {
    get etcd() {
      return current();
    },
    name: () => `election/case-${++names}`,
    client,
    start: async (kind, name) => use(await kind.start(current(), name)),
    use,
    queue: async (name, ...values) => {
      const election = client().election(name);
      let seen: readonly Leader[] = [];
      await until(
        async () => {
          seen = await election.candidates();
          return seen.map(({ value }) => value).join("\n") === values.join("\n");
        },
        { what: `queue of ${values.join(", ")}` },
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}; it was ${seen.map(({ value }) => value).join(", ")}`, { cause: error });
      });
      return seen;
    },
  };
}

/** Waits until an observer has told these values, one after the other; it may have told others between them. */
export async function tells(observer: Observer, ...values: string[]): Promise<void> {
  await until(
    () => {
      let from = 0;
      return values.every((value) => (from = observer.seen.indexOf(value, from) + 1) > 0);
    },
    { what: `observer that told ${values.join(", ")}` },
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}; it told ${observer.seen.join(", ")}`, { cause: error });
  });
}

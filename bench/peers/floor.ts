import { RawEtcd } from "./raw-etcd.ts";
import { connectOwnHttp2 } from "./raw-http2.ts";
import type { Connect } from "./peer.ts";

/** One watch for all who observe the same election. */
interface Observed {
  readonly listeners: ((value: string) => void)[];
  value: string | undefined;
  begun: Promise<void>;
}

/**
 * The requests that an election cannot do without, and nothing else: no keep-alives, no retries, no deadlines, no proof
 * of anything. How near a client comes to this is what it can still gain.
 */
export const connectFloor: Connect = ({ endpoint, ttlSeconds }) => {
  const etcd = new RawEtcd(connectOwnHttp2(endpoint));
  const gone = new Set<string>();
  /** One string for each key, however many answers hold it. */
  const names = new Map<string, string>();
  const known = (key: string): string => {
    const name = names.get(key) ?? key;
    names.set(name, name);
    return name;
  };
  /** Each by the key that is right before its own. */
  const waiting = new Map<string, { readonly older: string[]; readonly elected: () => void }>();
  const observed = new Map<string, Observed>();
  let watching: Promise<void> | undefined;
  const watch = (): Promise<void> => {
    watching ??= etcd.watch("election/", ({ key, deleted }) => {
      if (!deleted) return;
      gone.add(key);
      const next = waiting.get(key);
      waiting.delete(key);
      if (next !== undefined) wait(next);
    });
    return watching;
  };
  const wait = (candidate: { readonly older: string[]; readonly elected: () => void }): void => {
    const { older, elected } = candidate;
    while (older.length > 0 && gone.has(older.at(-1) ?? "")) older.pop();
    const before = older.at(-1);
    if (before === undefined) elected();
    else waiting.set(before, candidate);
  };
  return {
    seat: (() => {
      const leases = new Map<number, Promise<bigint>>();
      const leaseOf = (index: number): Promise<bigint> => {
        const lease = leases.get(index) ?? etcd.grant(ttlSeconds);
        leases.set(index, lease);
        return lease;
      };
      return (index: number) => ({
        ready: async () => void (await Promise.all([leaseOf(index), watch()])),
        campaign: async (election: string, value: string) => {
          const [lease] = await Promise.all([leaseOf(index), watch()]);
          const key = `${election}/${lease.toString(16)}`;
          const keys = await etcd.putAndRange(key, value, lease, `${election}/`);
          const older = keys.slice(0, keys.indexOf(key)).map(known);
          await new Promise<void>((elected) => wait({ older, elected }));
          return {
            proclaim: (next: string) => etcd.put(key, next, lease),
            resign: () => etcd.remove(key),
          };
        },
      });
    })(),
    observe: async (election, onLeader) => {
      const own = observed.get(election) ?? observe(etcd, election);
      observed.set(election, own);
      await own.begun;
      own.listeners.push(onLeader);
      if (own.value !== undefined) onLeader(own.value);
    },
    close: () => Promise.resolve(etcd.close()),
  };
};

function observe(etcd: RawEtcd, election: string): Observed {
  const own: Observed = { listeners: [], value: undefined, begun: Promise.resolve() };
  const tell = (value: string): void => {
    own.value = value;
    for (const listener of own.listeners) listener(value);
  };
  const begin = async (): Promise<void> => {
    await etcd.watch(`${election}/`, ({ value, deleted }) => void (deleted || tell(value)));
    for (const value of await etcd.values(`${election}/`)) tell(value);
  };
  own.begun = begin();
  return own;
}

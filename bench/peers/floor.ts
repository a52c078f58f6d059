import { RawEtcd } from "./raw-etcd.ts";
import type { Connect } from "./peer.ts";

/**
 * The requests that an election cannot do without, and nothing else: no keep-alives, no retries, no deadlines, no proof
 * of anything. How near a client comes to this is what it can still gain.
 */
export const connectFloor: Connect = ({ endpoint, ttlSeconds }) => {
  const etcd = new RawEtcd(endpoint);
  const gone = new Set<string>();
  const waiting = new Map<string, { readonly older: Set<string>; readonly elected: () => void }>();
  let watching: Promise<void> | undefined;
  const watch = (): Promise<void> => {
    watching ??= etcd.watch("election/", ({ key, deleted }) => {
      if (!deleted) return;
      gone.add(key);
      for (const [own, { older, elected }] of waiting) {
        if (!older.delete(key) || older.size > 0) continue;
        waiting.delete(own);
        elected();
      }
    });
    return watching;
  };
  return {
    seat: (() => {
      const leases = new Map<number, Promise<bigint>>();
      const leaseOf = (index: number): Promise<bigint> => {
        const known = leases.get(index) ?? etcd.grant(ttlSeconds);
        leases.set(index, known);
        return known;
      };
      return (index: number) => ({
        ready: async () => void (await Promise.all([leaseOf(index), watch()])),
        campaign: async (election: string, value: string) => {
          const [lease] = await Promise.all([leaseOf(index), watch()]);
          const key = `${election}/${lease.toString(16)}`;
          const keys = await etcd.putAndRange(key, value, lease, `${election}/`);
          const older = new Set(keys.filter((each) => each !== key && !gone.has(each)));
          if (older.size > 0) {
            await new Promise<void>((elected) => waiting.set(key, { older, elected }));
          }
          return {
            proclaim: (next: string) => etcd.put(key, next, lease),
            resign: () => etcd.remove(key),
          };
        },
      });
    })(),
    observe: async (election, onLeader) => {
      await etcd.watch(`${election}/`, ({ value, deleted }) => {
        if (!deleted) onLeader(value);
      });
      for (const value of await etcd.values(`${election}/`)) onLeader(value);
    },
    close: () => Promise.resolve(etcd.close()),
  };
};

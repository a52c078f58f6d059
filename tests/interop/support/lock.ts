import type { RealEtcd } from "../../support/real-etcd.ts";
import { childLines } from "./child-lines.ts";
import { goKind, skipGo, startGo } from "./go.ts";
import { candidate, type Candidate } from "./peer.ts";
import { base64, call, grant } from "./services.ts";

/** A program that locks in etcd: to hold the lock is to be elected. */
export interface LockKind {
  readonly name: string;
  readonly skip?: boolean;
  readonly prepare?: () => Promise<unknown>;
  readonly lock: (etcd: RealEtcd, name: string) => Promise<Candidate & AsyncDisposable>;
}

/** `etcdctl lock`, Go's `concurrency.Mutex` and etcd's v3lock service. */
export const lockKinds: readonly LockKind[] = [
  {
    name: "etcdctl lock",
    lock: (etcd, name) => {
      const child = childLines(etcd.spawnEtcdctl("lock", name));
      const leave = async (): Promise<void> => {
        const code = await child.interrupt();
        if (code !== 0) throw new Error(`etcdctl lock ended with ${code}`);
      };
      return Promise.resolve(disposable(candidate("", child.count(1), { leave }), child.kill));
    },
  },
  {
    name: "Go's Mutex",
    skip: skipGo,
    ...(goKind.prepare === undefined ? {} : { prepare: goKind.prepare }),
    lock: async (etcd, prefix) => {
      const go = await startGo(etcd.endpoint);
      await go.do({ do: "session", session: "s", ttlSeconds: 30 });
      const { answer } = go.start({ do: "lock", session: "s", prefix });
      const leave = async (): Promise<void> => void (await go.do({ do: "unlock", session: "s", prefix }));
      return disposable(candidate("", answer, { leave }), go.kill);
    },
  },
  {
    name: "v3lock",
    lock: async (etcd, name) => {
      const lease = await grant(etcd, 60);
      const stopping = new AbortController();
      const request = { name: base64(name), lease };
      const answer = call<{ readonly key: string }>(etcd, "/v3/lock/lock", request, stopping.signal);
      const leave = async (): Promise<void> => void (await call(etcd, "/v3/lock/unlock", { key: (await answer).key }));
      const stop = (): Promise<void> => Promise.resolve(stopping.abort());
      return disposable(candidate("", answer, { leave }), stop);
    },
  },
];

function disposable(standing: Candidate, dispose: () => Promise<void>): Candidate & AsyncDisposable {
  return Object.assign(standing, { [Symbol.asyncDispose]: dispose });
}

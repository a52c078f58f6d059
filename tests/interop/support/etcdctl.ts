import type { RealEtcd } from "../../support/real-etcd.ts";
import { childLines } from "./child-lines.ts";
import { candidate, type Candidate, type Observer, type Peer, type PeerKind, SeenValues } from "./peer.ts";

/** `etcdctl elect` of the etcd that runs. */
export function etcdctlKind(version: "3.4" | "3.5"): PeerKind {
  return { name: `etcdctl elect (${version})`, version, start: (etcd, name) => Promise.resolve(peer(etcd, name)) };
}

function peer(etcd: RealEtcd, name: string): Peer {
  const running = new Set<() => Promise<void>>();

  function stand(value: string): Promise<Candidate> {
    const child = childLines(etcd.spawnEtcdctl("elect", name, value));
    running.add(child.kill);
    // It prints the key and the value when it is elected.
    const standing = candidate(value, child.count(2), {
      leave: async () => {
        const leads = child.lines.length >= 2;
        const code = await child.interrupt();
        // A waiting one says "context canceled" and 1.
        if (code !== (leads ? 0 : 1)) throw new Error(`etcdctl elect ended with ${code}`);
      },
      kill: child.kill,
    });
    return Promise.resolve(standing);
  }

  function observe(): Promise<Observer> {
    const values = new SeenValues();
    let odd = false;
    const child = childLines(etcd.spawnEtcdctl("elect", "--listen", name), (line) => {
      if (odd) values.seen.push(line); // after the line with its key
      odd = !odd;
    });
    running.add(child.kill);
    return Promise.resolve(values);
  }

  return {
    stand,
    observe,
    leader: () => firstCreated(etcd, name),
    [Symbol.asyncDispose]: async () => void (await Promise.all([...running].map((kill) => kill()))),
  };
}

/** The leader as `etcdctl get` shows it: the value of the key that was created first. */
export async function firstCreated(etcd: RealEtcd, name: string): Promise<string | null> {
  const sorted = ["--prefix", "--sort-by=CREATE", "--order=ASCEND", "--limit=1", "--write-out=json"];
  const { stdout, stderr, code } = await etcd.etcdctl("get", `${name}/`, ...sorted);
  if (code !== 0) throw new Error(`etcdctl get: ${stderr}`);
  const { kvs } = JSON.parse(stdout) as { readonly kvs?: readonly { readonly value?: string }[] };
  const [first] = kvs ?? [];
  return first === undefined ? null : Buffer.from(first.value ?? "", "base64").toString();
}

import type { Command } from "./candidate.ts";
import type { Contestant, NodeConfig } from "./world.ts";

/** Where the programs under test and their tools are. */
export interface Programs {
  /** The folder of the nodes' programs, with a slash at its end. */
  readonly dir: string;
  readonly etcdctl: string;
}

/** What can stand for election here, by name. */
export const contestantNames = ["tenure", "etcdctl-lock", "etcd3"] as const;

export type ContestantName = (typeof contestantNames)[number];

/** Kinds of faults that say something about another client too; it has no hand-over and no guarded writes. */
export const peerFaults: readonly string[] = ["client-cut-from-all", "answers-lost", "node-stopped", "key-deleted"];

/** How a contestant is started. */
export function contestant(name: ContestantName, { dir, etcdctl }: Programs): Contestant {
  const node = (program: string, config: NodeConfig, ...flags: string[]): Command => [
    process.execPath,
    ...flags,
    `${dir}${program}`,
    JSON.stringify(config),
  ];
  switch (name) {
    case "tenure":
      return { prefixOf: (election) => election, commandOf: (config) => node("tenure-node.js", config, "--expose-gc") };
    case "etcd3":
      return { prefixOf: (election) => `election/${election}`, commandOf: (config) => node("etcd3-node.js", config) };
    case "etcdctl-lock":
      return {
        prefixOf: (election) => election,
        commandOf: ({ endpoints, election, ttlMs }) => [
          etcdctl,
          `--endpoints=${endpoints.join(",")}`,
          "lock",
          `--ttl=${ttlMs / 1000}`,
          election,
          "--",
          process.execPath,
          `${dir}lock-holder.js`,
        ],
      };
  }
}

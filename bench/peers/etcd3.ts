import { Etcd3 } from "etcd3";
import type { Connect } from "./peer.ts";

/** npm `etcd3` puts this before the name of each election. */
const prefix = "election/";

/** npm `etcd3`. It has no session apart from the campaign: each one is granted a lease and opens a stream for it. */
export const connectEtcd3: Connect = ({ endpoint, ttlSeconds }) => {
  const client = new Etcd3({ hosts: endpoint });
  const electionOf = (name: string) => client.election(name.slice(prefix.length), ttlSeconds);
  return {
    seat: () => ({
      ready: () => Promise.resolve(),
      campaign: async (name, value) => {
        const campaign = electionOf(name).campaign(value);
        await new Promise<void>((resolve, reject) => {
          campaign.on("elected", resolve);
          campaign.on("error", reject);
        });
        return {
          proclaim: (next) => campaign.proclaim(next),
          resign: () => campaign.resign(),
        };
      },
    }),
    observe: async (name, onLeader) => {
      const observer = await electionOf(name).observe();
      const first = observer.leader();
      if (first !== undefined) onLeader(first);
      observer.on("change", (value) => value !== undefined && onLeader(value));
    },
    close: () => Promise.resolve(client.close()),
  };
};

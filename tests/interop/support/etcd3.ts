import { type Campaign, Etcd3 } from "etcd3";
import type { RealEtcd } from "../../support/real-etcd.ts";
import { candidate, type Candidate, type Observer, type Peer, type PeerKind, SeenValues } from "./peer.ts";

/** etcd3 puts this before each election's name, and nothing can take it away. */
export const etcd3Prefix = "election/";

/** npm `etcd3`. */
export const etcd3Kind: PeerKind = {
  name: "etcd3",
  start: (etcd, name) => Promise.resolve(peer(etcd, name)),
};

function peer(etcd: RealEtcd, name: string): Peer {
  if (!name.startsWith(etcd3Prefix)) throw new Error(`etcd3 cannot elect for ${name}`);
  const client = new Etcd3({ hosts: etcd.endpoint });
  const election = client.election(name.slice(etcd3Prefix.length), 30);
  const campaigns = new Set<Campaign>();

  function stand(value: string): Promise<Candidate> {
    const campaign = election.campaign(value);
    campaigns.add(campaign);
    let left = false;
    const elected = new Promise<void>((resolve, reject) => {
      // A resigned campaign may still say that it is elected, when its predecessor goes.
      campaign.on("elected", () => left || resolve());
      campaign.on("error", reject);
    });
    const leave = async (): Promise<void> => {
      left = true;
      campaigns.delete(campaign);
      await campaign.resign();
    };
    return Promise.resolve(candidate(value, elected, { leave }));
  }

  async function observe(): Promise<Observer> {
    const values = new SeenValues();
    const observer = await election.observe();
    const current = observer.leader();
    if (current !== undefined) values.seen.push(current);
    observer.on("change", (value) => value !== undefined && values.seen.push(value));
    observer.on("error", () => undefined); // it shows by what it does not tell
    return values;
  }

  return {
    stand,
    observe,
    leader: async () => (await election.leader()) ?? null,
    [Symbol.asyncDispose]: async () => {
      await Promise.allSettled([...campaigns].map((campaign) => campaign.resign()));
      client.close();
    },
  };
}

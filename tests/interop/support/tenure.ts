import { connect, type Election, type Term } from "tenure";
import { candidate, type Candidate, type Observer, type Peer, type PeerKind, SeenValues } from "./peer.ts";

/** Tenure itself, as the other kinds are. */
export const tenureKind: PeerKind = {
  name: "tenure",
  start: (etcd, name) => {
    const client = connect({ endpoints: [etcd.endpoint] });
    const election = client.election(name);
    return Promise.resolve({
      stand: (value) => Promise.resolve(stand(election, value)),
      observe: () => Promise.resolve(observe(election)),
      leader: async () => (await election.leader())?.value ?? null,
      [Symbol.asyncDispose]: () => client.close(),
    } satisfies Peer);
  },
};

/** A candidate of Tenure's that also shows its term. */
export interface TenureCandidate extends Candidate {
  readonly term: Promise<Term>;
}

/** Starts a campaign in an election. */
export function stand(election: Election, value: string): TenureCandidate {
  const stopping = new AbortController();
  const term = election.campaign(value, { signal: stopping.signal });
  const standing = candidate(value, term, {
    leave: async () => {
      if (standing.isElected) return (await term).resign();
      stopping.abort();
      await term.catch(() => undefined); // aborted: the key is deleted
    },
  });
  return Object.assign(standing, { term });
}

/** Observes an election; null is told as "null". */
export function observe(election: Election): Observer {
  const values = new SeenValues();
  void (async () => {
    for await (const leader of election.observe()) values.seen.push(leader === null ? "null" : leader.value);
  })().catch(() => undefined); // the client was closed
  return values;
}

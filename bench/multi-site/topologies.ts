/** Where everything is. Sites are numbered from 0; etcd is led from site 0. */
export interface Topology {
  readonly name: string;
  readonly says: string;
  /** The site of each member; the first one leads etcd. */
  readonly memberSites: readonly number[];
  /** The sites at which nodes stand: that of etcd's leader, another one, perhaps a third. */
  readonly nodeSites: readonly [Place, Place, Place?];
  /** How etcd's timing is set whatever the distance: then only the loss of etcd's leader is measured. */
  readonly timing?: EtcdTiming;
}

/** A site as a place for nodes. */
export interface Place {
  readonly site: number;
  readonly name: string;
}

/** etcd's `--heartbeat-interval` and `--election-timeout`. */
export interface EtcdTiming {
  readonly heartbeatMs: number;
  readonly electionMs: number;
}

/** What they are when nobody sets them. */
export const etcdDefaults: EtcdTiming = { heartbeatMs: 100, electionMs: 1_000 };

/** etcd's advice: half to one and a half round trips, and ten times that; never less than its defaults. */
export function timingFor(rttMs: number): EtcdTiming {
  const heartbeatMs = Math.max(etcdDefaults.heartbeatMs, Math.ceil(1.5 * rttMs));
  return { heartbeatMs, electionMs: 10 * heartbeatMs };
}

const threeSites: Pick<Topology, "memberSites" | "nodeSites"> = {
  memberSites: [0, 1, 2],
  nodeSites: [
    { site: 0, name: "site of etcd's leader" },
    { site: 1, name: "site of a follower" },
    { site: 2, name: "site of the other follower" },
  ],
};

/** All that is measured. */
export const topologies: readonly Topology[] = [
  { name: "three-sites", says: "a member in each of three sites", ...threeSites },
  {
    name: "two-sites",
    says: "two members in one site, the third in another",
    memberSites: [0, 0, 1],
    nodeSites: [
      { site: 0, name: "site of two members" },
      { site: 1, name: "site of one member" },
    ],
  },
  {
    name: "etcd-elsewhere",
    says: "all members in one site",
    memberSites: [0, 0, 0],
    nodeSites: [
      { site: 0, name: "site of etcd" },
      { site: 1, name: "remote site" },
    ],
  },
  { name: "etcd-defaults", says: "three-sites, with etcd's default timing", ...threeSites, timing: etcdDefaults },
];

/**
 * The round trips between sites that things take by the formula: a request goes to the nearest member, from there to
 * etcd's leader, which waits for the nearest other member that makes a majority; then all learn of the commit.
 */
export class RoundTrips {
  readonly #memberSites: readonly number[];

  constructor({ memberSites }: Topology) {
    this.#memberSites = memberSites;
  }

  /** From a node to etcd's leader by way of the nearest member and back: a keep-alive. */
  toLeader(site: number): number {
    const nearest = this.#memberSites.includes(site) ? site : 0;
    return (nearest === site ? 0 : 1) + (nearest === 0 ? 0 : 1);
  }

  /** From etcd's leader to the nearest other member and back: a commit. */
  get commit(): number {
    return this.#memberSites.slice(1).includes(0) ? 0 : 1;
  }

  /** A write, and so a campaign with a session. */
  write(site: number): number {
    return this.toLeader(site) + this.commit;
  }

  /** A connection to the nearest member, a session, a campaign. */
  fromNothing(site: number): number {
    return (this.#memberSites.includes(site) ? 0 : 1) + 2 * this.write(site);
  }

  /** A resignation at one site until it is known at another. */
  handOver(from: number, to: number): number {
    return this.toLeader(from) / 2 + this.commit + this.toLeader(to) / 2;
  }
}

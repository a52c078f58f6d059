import { Etcd } from "./etcd.ts";
import { NodeProcess } from "./node-process.ts";
import type { RowHead } from "./rows.ts";
import { Sites } from "./sites.ts";
import { type EtcdTiming, type Place, RoundTrips, type Topology } from "./topologies.ts";

/** What a world is made of. */
export interface WorldSettings {
  readonly etcd: string;
  readonly topology: Topology;
  /** Added round trip between sites. */
  readonly rttMs: number;
  readonly timing: EtcdTiming;
}

/** A cluster of three members in its sites, and the nodes that are started there. */
export class World {
  readonly topology: Topology;
  readonly rttMs: number;
  readonly timing: EtcdTiming;
  readonly roundTrips: RoundTrips;
  readonly sites: Sites;
  readonly etcd: Etcd;
  readonly #nodes = new Set<NodeProcess>();
  #stopped = false;

  private constructor({ topology, rttMs, timing }: WorldSettings, sites: Sites, etcd: Etcd) {
    this.topology = topology;
    this.rttMs = rttMs;
    this.timing = timing;
    this.roundTrips = new RoundTrips(topology);
    this.sites = sites;
    this.etcd = etcd;
  }

  static async start(settings: WorldSettings): Promise<World> {
    const { etcd: binary, topology, rttMs, timing } = settings;
    const sites = new Sites(rttMs, topology.memberSites);
    try {
      const etcd = await Etcd.start(binary, sites, topology.memberSites.length, timing);
      await etcd.lead(0);
      return new World(settings, sites, etcd);
    } catch (error) {
      await sites.stop();
      throw error;
    }
  }

  /** The head of a row about this world. */
  head(question: string, where: string, more: Pick<RowHead, "part" | "expectedRoundTrips" | "kept"> = {}): RowHead {
    return { rttMs: this.rttMs, topology: this.topology.name, question, where, ...more };
  }

  /** The name of where something happens, for a row. */
  place(site: number): Place {
    const place = this.topology.nodeSites.find((each) => each?.site === site);
    if (place === undefined) throw new Error(`${this.topology.name} has no nodes at site ${site}`);
    return place;
  }

  /** All members as a site reaches them, and those that are near: its own, or all when it has none. */
  async endpoints(site: number): Promise<{ readonly all: string[]; readonly near: string[] }> {
    const all = await this.sites.endpoints(site, this.etcd.clientPorts);
    const own = all.filter((_, member) => this.topology.memberSites[member] === site);
    return { all, near: own.length > 0 ? own : all.slice(0, 1) };
  }

  /** Starts a node at a site, and waits until it knows the way to each member. */
  async node(site: number, seats: number = 1): Promise<NodeProcess> {
    const { all } = await this.endpoints(site);
    if (this.#stopped) throw new Error("the world has ended");
    const node = NodeProcess.start(`node at site ${site}`, { endpoints: all, seats });
    this.#nodes.add(node);
    await node.ready();
    return node;
  }

  /** Kills nodes that are not needed any more. */
  async dismiss(nodes: readonly NodeProcess[]): Promise<void> {
    for (const node of nodes) this.#nodes.delete(node);
    await Promise.all(nodes.map((node) => node.kill()));
  }

  /** Ends all that was started. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.dismiss([...this.#nodes]);
    await this.etcd.stop();
    await this.sites.stop();
  }
}

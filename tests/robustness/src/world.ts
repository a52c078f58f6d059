import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { settled } from "../../support/until.ts";
import { Candidate, type Command } from "./candidate.ts";
import { now } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import { History, type Term, type Trace } from "./history.ts";
import { Network } from "./network.ts";
import { Pulse } from "./pulse.ts";
import { Security } from "./security.ts";
import { Witness } from "./witness.ts";

/** What a node needs to know. */
export interface NodeConfig {
  readonly name: string;
  readonly endpoints: readonly string[];
  readonly election: string;
  readonly register: string;
  readonly ttlMs: number;
  readonly auth: { readonly user: string; readonly password: string } | undefined;
  readonly tls: { readonly caFile: string; readonly certFile: string; readonly keyFile: string } | undefined;
}

/** What stands for election. */
export interface Contestant {
  /** Where its candidates' keys are, by the name of the election. */
  readonly prefixOf: (election: string) => string;
  readonly commandOf: (config: NodeConfig) => Command;
}

/** What a world is made of. */
export interface WorldSettings {
  readonly etcd: string;
  readonly ttlMs: number;
  readonly secure: boolean;
  readonly contestant: Contestant;
  readonly trace: Trace;
  /** Whether no fault may end the process of the first node. */
  readonly sparesFirst: boolean;
}

const election = "robustness/service";
const register = "robustness/register";
const nodeNumbers = [0, 1, 2];

type End = () => void | Promise<void>;

type Parts = Pick<
  World,
  "ttlMs" | "cluster" | "network" | "candidates" | "witness" | "history" | "pulse" | "security" | "trace" | "spared"
> & {
  readonly ends: readonly End[];
};

/** A cluster, three nodes that compete for it, all links between them, and a witness. */
export class World {
  readonly ttlMs: number;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly candidates: readonly Candidate[];
  readonly witness: Witness;
  readonly history: History;
  readonly pulse: Pulse;
  readonly security: Security | undefined;
  readonly trace: Trace;
  /** The node whose process no fault may end, so that it lives as long as the run. */
  readonly spared: Candidate | undefined;
  readonly #ends: readonly End[];

  private constructor(parts: Parts) {
    this.ttlMs = parts.ttlMs;
    this.cluster = parts.cluster;
    this.network = parts.network;
    this.candidates = parts.candidates;
    this.witness = parts.witness;
    this.history = parts.history;
    this.pulse = parts.pulse;
    this.security = parts.security;
    this.trace = parts.trace;
    this.spared = parts.spared;
    this.#ends = parts.ends;
  }

  /** Starts everything. When that fails, all that was started has ended before the error is thrown. */
  static async start(settings: WorldSettings): Promise<World> {
    const ends: End[] = [];
    try {
      return await World.#start(settings, ends);
    } catch (error) {
      await endAll(ends);
      throw error;
    }
  }

  static async #start(settings: WorldSettings, ends: End[]): Promise<World> {
    const { etcd, ttlMs, secure, contestant, trace, sparesFirst } = settings;
    const dir = await mkdtemp(join(tmpdir(), "tenure-robustness-"));
    ends.push(() => rm(dir, { recursive: true, force: true }));
    const security = secure ? await Security.create(join(dir, "security")) : undefined;
    const network = new Network();
    ends.push(() => network.stop());
    const history = new History(trace);
    const cluster = await Cluster.start(etcd, network, security, {
      trace,
      onThaw: () => history.thaws.push(now()),
    });
    ends.push(() => cluster.stop());
    const candidates: Candidate[] = [];
    for (const index of nodeNumbers) {
      const links = await network.connectNode(cluster.clientPorts);
      const scheme = security === undefined ? "http" : "https";
      const config: NodeConfig = {
        name: `n${index}`,
        endpoints: links.map(({ address }) => `${scheme}://${address}`),
        election,
        register,
        ttlMs,
        auth: security && { user: security.node.name, password: security.node.password },
        tls: security?.nodeFiles,
      };
      candidates.push(new Candidate(index, contestant.commandOf(config), history));
    }
    const gateways = cluster.members.map(({ gateway }) => gateway);
    const witness = new Witness(gateways, `${contestant.prefixOf(election)}/`, register, trace);
    ends.push(() => witness.stop());
    const pulse = await Pulse.start(cluster);
    ends.push(() => pulse.stop());
    for (const candidate of candidates) {
      candidate.start();
      ends.push(() => candidate.kill());
    }
    const spared = sparesFirst ? candidates[0] : undefined;
    const parts = { ttlMs, cluster, network, candidates, witness, history, pulse, security, trace, spared, ends };
    return new World(parts);
  }

  candidate(index: number): Candidate {
    const candidate = this.candidates[index];
    if (candidate === undefined) throw new Error(`there is no node ${index}`);
    return candidate;
  }

  /** Who leads at this moment, as it says itself. */
  leading(): { readonly candidate: Candidate; readonly term: Term } | undefined {
    const term = this.history.current();
    const candidate = this.candidates.find(({ process, running }) => running && process === term?.process);
    return term === undefined || candidate === undefined ? undefined : { candidate, term };
  }

  /** Waits until all is well: every member serves, every node stands, and the first in the queue leads. */
  async steady(timeoutMs: number): Promise<{ readonly candidate: Candidate; readonly term: Term }> {
    let why = "";
    const ready = async () => {
      for (const candidate of this.candidates) if (!candidate.running) candidate.start();
      // First, since it takes a while: who leads must be true at the end.
      const whole = await this.cluster.whole();
      const leading = this.leading();
      const { queue } = this.witness;
      const leader = leading === undefined ? "nobody leads" : `${leading.term.process} leads`;
      why = `${queue.length} candidates, ${leader}${whole ? "" : ", the cluster is not whole"}`;
      if (!whole || leading === undefined || queue.length !== this.candidates.length) return false;
      // A process that was killed leaves a key behind that nobody stands for.
      if (!this.candidates.every((candidate) => queue.some((key) => candidate.stands(key)))) return false;
      const { key } = leading.term;
      return (key === undefined || key === queue[0]?.key) && leading;
    };
    try {
      return await this.pulse.awaited(ready, { what: "peace", timeoutMs });
    } catch (error) {
      const troubles = this.cluster.members.flatMap(({ trouble }) => trouble ?? []).map((text) => `\n${text}`);
      const what = error instanceof Error ? error.message : String(error);
      throw new Error(`${what} (${why})${troubles.join("")}`, { cause: error });
    }
  }

  /** Ends everything and removes all data. */
  async stop(): Promise<void> {
    await endAll(this.#ends);
  }
}

// The last one first; one that fails does not spare the others.
async function endAll(ends: readonly End[]): Promise<void> {
  for (const end of ends.toReversed()) {
    try {
      await settled(Promise.resolve(end()), { what: "end of a part of a world" });
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}

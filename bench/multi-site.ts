// What elections cost when etcd and its clients are in several sites. Runs real etcd processes and real nodes, with
// links between the sites that delay everything by half a round trip in each direction.
import { pause } from "../tests/support/until.ts";
import { measureEtcdLeaderKilled } from "./multi-site/etcd-leader.ts";
import { measureCrash, measureSiteCut } from "./multi-site/faults.ts";
import { measureLatency } from "./multi-site/latency.ts";
import { now } from "./multi-site/protocol.ts";
import type { Row } from "./multi-site/rows.ts";
import { etcdDefaults, type EtcdTiming, timingFor, type Topology, topologies } from "./multi-site/topologies.ts";
import { World } from "./multi-site/world.ts";

export { tablesOf } from "./multi-site/rows.ts";
export type { Row } from "./multi-site/rows.ts";
export { topologies } from "./multi-site/topologies.ts";

/** What to measure. */
export interface MultiSiteSettings {
  readonly etcd: string;
  /** etcd's version, for the report. */
  readonly version: string;
  /** How often what is quick is measured; faults come a tenth as often, five elections each. */
  readonly rounds: number;
  /** Added round trips between sites. */
  readonly rttsMs: readonly number[];
  /** Names of topologies; all by default. */
  readonly only?: readonly string[];
  /** Leaves out the faults, which take most of the time. */
  readonly quick?: boolean;
  /** Ends everything early. */
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
}

/** A cluster that was measured. */
export interface Measured {
  readonly topology: string;
  readonly rttMs: number;
  readonly timing: EtcdTiming;
  /** How often etcd elected another leader while nothing was broken, and in what time. */
  readonly quiet: { readonly elections: number; readonly durationMs: number };
}

/** All that came out. */
export interface MultiSiteReport {
  readonly etcd: string;
  readonly node: string;
  readonly rounds: number;
  readonly durationMs: number;
  readonly clusters: readonly Measured[];
  readonly rows: readonly Row[];
  /** Questions that have no answer, and why. */
  readonly failures: readonly string[];
}

interface Plan {
  readonly topology: Topology;
  readonly rttMs: number;
  readonly timing: EtcdTiming;
}

const quietMs = 5_000;

/** Measures everything, one round trip after the other. Whatever ends it, nothing that it started is left. */
export async function runMultiSite(settings: MultiSiteSettings): Promise<MultiSiteReport> {
  const startedAt = now();
  const rows: Row[] = [];
  const clusters: Measured[] = [];
  const failures: string[] = [];
  for (const rttMs of settings.rttsMs) {
    const batch = new Batch(settings, plansFor(rttMs, settings.only), startedAt);
    const done = await batch.run();
    rows.push(...done.rows);
    clusters.push(...done.clusters);
    failures.push(...batch.failures);
  }
  const { version: etcd, rounds } = settings;
  const durationMs = Math.round(now() - startedAt);
  return { etcd, node: process.version, rounds, durationMs, clusters, rows, failures };
}

function plansFor(rttMs: number, only: readonly string[] | undefined): Plan[] {
  const advised = timingFor(rttMs);
  const isOther = advised.electionMs !== etcdDefaults.electionMs;
  const chosen = topologies.filter(({ name, timing }, index) => {
    if (only !== undefined) return only.includes(name);
    // With no distance all topologies are the same.
    return timing === undefined ? index === 0 || rttMs > 0 : isOther;
  });
  return chosen.map((topology) => ({ topology, rttMs, timing: topology.timing ?? advised }));
}

/** The clusters of one round trip. */
class Batch {
  readonly failures: string[] = [];
  readonly #settings: MultiSiteSettings;
  readonly #plans: readonly Plan[];
  readonly #startedAt: number;
  readonly #worlds: Promise<World>[] = [];

  constructor(settings: MultiSiteSettings, plans: readonly Plan[], startedAt: number) {
    this.#settings = settings;
    this.#plans = plans;
    this.#startedAt = startedAt;
  }

  async run(): Promise<{ readonly rows: readonly Row[]; readonly clusters: readonly Measured[] }> {
    const work = this.#measure();
    try {
      return await Promise.race([work, aborted(this.#settings.signal)]);
    } finally {
      work.catch(() => undefined); // when it was not waited for, it fails because all has ended
      const worlds = await Promise.allSettled(this.#worlds);
      const started = worlds.filter((world) => world.status === "fulfilled");
      await Promise.all(started.map(({ value: world }) => world.stop()));
    }
  }

  async #measure(): Promise<{ readonly rows: Row[]; readonly clusters: Measured[] }> {
    const { rounds } = this.#settings;
    this.#worlds.push(...this.#plans.map((plan) => this.#start(plan)));
    const worlds = await Promise.all(this.#worlds);
    const rows: Row[] = [];
    const clusters: Measured[] = [];
    const startedAt = now();
    const terms = await Promise.all(worlds.map((world) => world.etcd.raftTerm()));
    // One cluster after the other, for these are short times.
    for (const world of worlds) {
      if (world.topology.timing !== undefined) await pause(quietMs);
      else rows.push(...(await this.#ask(world, "nothing is broken", () => measureLatency(world, rounds))));
    }
    for (const [index, { topology, rttMs, timing, etcd }] of worlds.entries()) {
      const elections = (await etcd.raftTerm()) - (terms[index] ?? 0);
      const quiet = { elections, durationMs: Math.round(now() - startedAt) };
      clusters.push({ topology: topology.name, rttMs, timing, quiet });
    }
    if (this.#settings.quick === true) return { rows, clusters };
    // All at the same time, for these are seconds of waiting.
    const faults = await Promise.all(worlds.map((world) => this.#faults(world)));
    return { rows: [...rows, ...faults.flat()], clusters };
  }

  async #start({ topology, rttMs, timing }: Plan): Promise<World> {
    const { etcd } = this.#settings;
    const world = await World.start({ etcd, topology, rttMs, timing });
    this.#tell(world, `runs, heartbeat ${timing.heartbeatMs} ms, election timeout ${timing.electionMs} ms`);
    return world;
  }

  async #faults(world: World): Promise<Row[]> {
    const rounds = Math.ceil(this.#settings.rounds / 10);
    const rows = await this.#ask(world, "etcd's leader is killed", () => measureEtcdLeaderKilled(world, rounds + 1));
    if (world.topology.timing !== undefined) return rows;
    const [{ site: leading }, { site: other }, third] = world.topology.nodeSites;
    const next = third?.site ?? leading;
    const crash = await this.#ask(world, "a node is killed", () =>
      measureCrash(world, [other, next], Math.ceil(rounds / 2)),
    );
    const cut = await this.#ask(world, "a site is cut off", () => measureSiteCut(world, [other, next], rounds));
    rows.push(...crash, ...cut);
    // With fewer sites this would take the majority along.
    if (third === undefined) return rows;
    const both = await this.#ask(world, "etcd's leader is cut off, too", () =>
      measureSiteCut(world, [leading, other], rounds),
    );
    return [...rows, ...both];
  }

  /** One question that fails does not cost the others their answers. */
  async #ask(world: World, what: string, measure: () => Promise<Row[]>): Promise<Row[]> {
    try {
      const rows = await measure();
      this.#tell(world, what);
      return rows;
    } catch (error) {
      if (!this.#settings.signal.aborted) {
        this.failures.push(`+${world.rttMs} ms, ${world.topology.name}: ${what}: ${String(error)}`);
      }
      return [];
    }
  }

  #tell({ rttMs, topology }: World, what: string): void {
    const at = ((now() - this.#startedAt) / 1_000).toFixed(1);
    this.#settings.tell(`${at} s: +${rttMs} ms, ${topology.name}: ${what}`);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = (): void => reject(new Error("ended early"));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

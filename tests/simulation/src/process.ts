import { type Client, connect, TenureError } from "tenure";
import { EtcdError } from "@tenure/etcd";
import type { TxnRequest } from "@tenure/etcd/rpc";
import { EndpointRanking } from "../../../packages/etcd/dist/endpoint-ranking.js";
import { Http2Transport } from "../../../packages/etcd/dist/transport.js";
import type { Chance } from "./chance.ts";
import { SimConnection } from "./connection.ts";
import { electionOf } from "./history.ts";
import { Host } from "./host.ts";
import { newPath, type Path } from "./link.ts";
import type { World } from "./world.ts";

/** What a process does. */
export interface ProcessPlan {
  readonly role: "node" | "campaigner" | "observer";
  readonly elections: readonly string[];
  readonly ttlMs: number;
  readonly rate: number;
  readonly latenciesMs: readonly number[];
  /** How long this process takes for what it is shown, at most. */
  readonly slownessMs: number;
  /** Whether a candidate looks at its elections, too, through the view that both uses share. */
  readonly looksOn: boolean;
}

/** The election in which a request puts a new candidate. */
function campaignIn(request: unknown): string | undefined {
  const { $typeName, compare, success } = request as TxnRequest;
  if ($typeName !== "etcdserverpb.TxnRequest") return undefined;
  const put = success[0]?.request;
  const isNew = compare[0]?.targetUnion.case === "createRevision" && compare[0].targetUnion.value === 0n;
  return put?.case === "requestPut" && isNew ? electionOf(Buffer.from(put.value.key).toString()) : undefined;
}

/** Work of a process that goes on until its signal aborts. */
export type Work = (process: Process, election: string) => Promise<void>;

/** A process that uses the product: a client on its own clock, behind its own network. */
export class Process {
  readonly name: string;
  readonly plan: ProcessPlan;
  readonly world: World;
  readonly host: Host;
  readonly chance: Chance;
  readonly client: Client;
  readonly paths: readonly Path[];
  readonly #connections: readonly SimConnection[];
  readonly #stopping = new AbortController();
  #ended = false;
  #works: Promise<unknown> = Promise.resolve();

  constructor(name: string, plan: ProcessPlan, world: World) {
    this.name = name;
    this.plan = plan;
    this.world = world;
    this.chance = world.chance.fork(name);
    const { scheduler } = world;
    this.host = new Host(name, plan.rate, scheduler, this.chance.fork("timers"));
    this.paths = plan.latenciesMs.map(newPath);
    this.#connections = world.services.map((service, index) => {
      const path = this.paths[index];
      if (path === undefined) throw new Error(`${name} has no way to ${service.member.name}`);
      const chance = this.chance.fork(`network ${index}`);
      const { host } = this;
      return new SimConnection({ host, service, path, scheduler, chance, onRequest: (sent) => this.#onRequest(sent) });
    });
    const first = this.chance.whole(0, this.#connections.length - 1);
    const ordered = [...this.#connections.slice(first), ...this.#connections.slice(0, first)];
    const ranking = new EndpointRanking(ordered.map(({ asConnection }) => asConnection));
    const transport = new Http2Transport(ranking, this.host);
    world.checker.joins(this.host);
    const random = this.chance.fork("client");
    this.client = connect({ transport, clock: this.host, random, namespace: "/elections/" });
    // Where the product closes its connections.
    this.client.etcd.closed.addEventListener("abort", () => queueMicrotask(() => ranking.close()));
  }

  /** Aborts when the process is told to stop. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Whether it has stopped by itself, with all its work done. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What it still has open, in words; empty when nothing. */
  get leaks(): string {
    if (this.host.state === "dead") return "";
    const { timers } = this.host;
    const calls = this.#connections.reduce((sum, connection) => sum + connection.calls, 0);
    return timers + calls === 0 ? "" : `${timers} timers and ${calls} calls`;
  }

  /** Does all of this work in each of its elections. */
  start(works: readonly Work[]): void {
    this.host.deliver(() => {
      this.world.trace.add(this.name, () => `starts as ${this.plan.role}, TTL ${this.plan.ttlMs} ms`);
      const all = this.plan.elections.flatMap((election) => works.map((work) => work(this, election)));
      this.#works = Promise.all(all.map((work) => this.#guarded(work)));
    });
  }

  /** Stops cleanly, as a program does that was told to end. */
  stop(): void {
    this.host.deliver(() => {
      this.world.trace.add(this.name, () => "is told to stop");
      const closeFirst = this.chance.happens(0.5);
      if (closeFirst) void this.#guarded(this.client.close());
      this.#stopping.abort();
      void this.#guarded(this.#end());
    });
  }

  /** Nothing of it runs any more; etcd sees its connections go, unless its whole machine went. */
  crash(wholeMachine: boolean): void {
    this.world.trace.add(this.name, () => (wholeMachine ? "goes down with its machine" : "crashes"));
    this.host.crash();
    for (const path of this.paths) {
      for (const link of path.links) {
        if (wholeMachine) link.fallSilent({ toServer: true, toClient: true });
        link.crash();
      }
    }
  }

  /** Lets time pass by this process's clock, less when it is told to stop. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.stopping.aborted) return resolve();
      const finish = (): void => {
        cancelTimer();
        this.stopping.removeEventListener("abort", finish);
        resolve();
      };
      const cancelTimer = this.host.after(delayMs, finish);
      this.stopping.addEventListener("abort", finish);
    });
  }

  /** What the product throws must be one of its own errors. */
  checkThrown(what: string, error: unknown): void {
    if (error instanceof TenureError && error.code !== "internal") return;
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.world.checker.fail(`${this.name}: ${what} threw ${message}`);
  }

  /** A transaction of the client underneath throws that client's errors. */
  checkTxnThrown(error: unknown): void {
    if (error instanceof EtcdError) return;
    this.checkThrown("a transaction", error);
  }

  #onRequest(request: unknown): void {
    const election = campaignIn(request);
    if (election !== undefined) this.world.checker.campaigns(this.host, election);
  }

  async #end(): Promise<void> {
    await this.#works;
    await this.client.close();
    this.#ended = true;
    this.world.trace.add(this.name, () => "has ended");
  }

  async #guarded(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.checkThrown("its work", error);
      this.world.checker.fail(`${this.name} failed: ${String(error)}`);
    }
  }
}

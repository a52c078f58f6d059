import { readFileSync } from "node:fs";
import { systemClock } from "@tenure/etcd/runtime";
import { type Election, TenureError } from "tenure";
import { hostAndPort } from "../listening.ts";
import type { Log } from "../run/log.ts";
import { Actions } from "./actions.ts";
import { AgentCheck } from "./agent-check.ts";
import { EventLog } from "./event-log.ts";
import { EventStreams } from "./event-streams.ts";
import { type EndpointsPlan, exposure } from "./flags.ts";
import { Gate } from "./gate.ts";
import { LeaderPort } from "./leader-port.ts";
import { LoopLag } from "./loop-lag.ts";
import { metricsText } from "./metrics.ts";
import { HttpServer } from "./server.ts";
import { Service, type ServiceEvent } from "./service.ts";
import { StoreFacts } from "./store-facts.ts";
import { TokenFile } from "./token-file.ts";

/** What endpoints are made from. */
export interface EndpointsOptions {
  readonly plan: EndpointsPlan;
  readonly log: Log;
  /** Whether this node has been told to end. */
  readonly closing: () => boolean;
}

/** Something that listens, to be closed at the end. */
interface Closing {
  close(): Promise<void>;
}

/**
 * All that answers questions about the services of this node: HTTP, and for one service HAProxy's agent check and a
 * port that is open while it leads.
 */
export class Endpoints {
  readonly #plan: EndpointsPlan;
  readonly #log: Log;
  readonly #closing: () => boolean;
  readonly #store = new StoreFacts();
  readonly #lag = new LoopLag();
  readonly #events = new EventLog();
  readonly #services: Service[] = [];
  readonly #elections = new Map<Service, Election>();
  readonly #removals = new Map<Service, AbortController>();
  readonly #open: Closing[] = [];
  readonly #following = new AbortController();
  readonly #startedAt = systemClock.date();
  readonly #actions: Actions;
  #leaderPort: LeaderPort | undefined;

  constructor({ plan, log, closing }: EndpointsOptions) {
    this.#plan = plan;
    this.#log = log;
    this.#closing = closing;
    this.#actions = new Actions({ election: (service) => this.#elections.get(service), log });
  }

  /** Adds a service; whoever runs it tells what becomes of it. */
  add(election: Election): Service {
    const service = new Service({
      name: election.name,
      prefix: election.prefix,
      store: this.#store,
      closing: this.#closing,
      onEvent: (event) => this.#onEvent(event),
    });
    this.#services.push(service);
    this.#elections.set(service, election);
    const removed = new AbortController();
    this.#removals.set(service, removed);
    void this.#follow(election, service, AbortSignal.any([this.#following.signal, removed.signal]));
    return service;
  }

  /** Takes a service out: nobody can ask for it any more. */
  remove(name: string): void {
    const index = this.#services.findIndex((service) => service.name === name);
    for (const service of index < 0 ? [] : this.#services.splice(index, 1)) {
      this.#removals.get(service)?.abort();
      this.#removals.delete(service);
      this.#elections.delete(service);
    }
  }

  /** Listens on all addresses, and says where. Throws CommandError 73 or 78 with nothing left open. */
  async open(): Promise<void> {
    try {
      await this.#openHttp();
      await this.#openChecks();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#following.abort();
    this.#actions.close();
    this.#lag[Symbol.dispose]();
    this.#store[Symbol.dispose]();
    await Promise.all(this.#open.map((each) => each.close()));
  }

  async #openHttp(): Promise<void> {
    const { http, hosts, tokenFile } = this.#plan;
    if (http === undefined) return;
    const tokens = tokenFile === undefined ? undefined : new TokenFile(tokenFile);
    await tokens?.check();
    const version = ownVersion();
    const streams = new EventStreams(this.#events, (service) => ({ services: service ? [service] : this.#services }));
    const board = {
      services: this.#services,
      status: () => ({ version, startedAt: this.#startedAt, services: this.#services }),
      metrics: () =>
        metricsText({
          services: this.#services,
          store: this.#store,
          lag: this.#lag,
          listeners: () => streams.size,
          version,
        }),
    };
    const gate = new Gate({ tokens, log: this.#log });
    const server = new HttpServer({ board, streams, gate, actions: this.#actions, hosts });
    this.#open.push(server);
    const address = await server.listen(http, "--http");
    this.#log.note(`HTTP on http://${hostAndPort(address)}${exposure(address)}`);
  }

  async #openChecks(): Promise<void> {
    const { agentCheck, leaderPort } = this.#plan;
    const [service] = this.#services;
    if (service === undefined) return;
    if (agentCheck !== undefined) {
      const check = new AgentCheck(service);
      this.#open.push(check);
      const address = await check.listen(agentCheck, "--agent-check");
      this.#log.note(`agent check on ${hostAndPort(address)}`);
    }
    if (leaderPort !== undefined) {
      this.#leaderPort = new LeaderPort(service, leaderPort, "--leader-port", this.#log);
      this.#open.push(this.#leaderPort);
      await this.#leaderPort.start();
      this.#log.note(`${hostAndPort(leaderPort)} is open while this node leads`);
    }
  }

  #onEvent(event: ServiceEvent): void {
    this.#events.add(event);
    this.#leaderPort?.look();
  }

  async #follow(election: Election, service: Service, signal: AbortSignal): Promise<void> {
    try {
      for await (const change of election.changes({ signal })) service.sawLeader(change);
    } catch (error) {
      this.#log.note(`HTTP shows no leader changes any more: ${TenureError.from(error).message}`);
    }
  }
}

function ownVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

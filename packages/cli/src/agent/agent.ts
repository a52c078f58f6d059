import type { Endpoints } from "../http/endpoints.ts";
import type { AgentConfig, ServiceConfig } from "./config.ts";
import { RunningService, type Shared } from "./running-service.ts";

/** What a reload found. */
export interface Changes {
  readonly started: readonly string[];
  readonly stopped: readonly string[];
  /** Stopped, and started with other settings once nothing of it runs. */
  readonly restarted: readonly string[];
  /** Whether something changed that counts from the next start of the agent on. */
  readonly needsRestart: boolean;
}

/** The services of one host, as the newest configuration wants them. */
export class Agent {
  readonly #shared: Shared;
  readonly #endpoints: Endpoints | undefined;
  readonly #running = new Map<string, RunningService>();
  #config: AgentConfig;
  #ending = false;

  constructor(config: AgentConfig, shared: Shared, endpoints: Endpoints | undefined) {
    this.#config = config;
    this.#shared = shared;
    this.#endpoints = endpoints;
    for (const service of config.services) this.#start(service);
  }

  /** Does what another configuration says, as far as that is possible while running. */
  reload(config: AgentConfig): Changes {
    if (this.#ending) return { started: [], stopped: [], restarted: [], needsRestart: false };
    const needsRestart = config.fixed !== this.#config.fixed;
    this.#config = config;
    const running = [...this.#running.values()].filter(({ ending }) => !ending);
    const stopped = running.filter(({ config: { name } }) => this.#wanted(name) === undefined);
    const restarted = running.filter(({ config: { name, text } }) => (this.#wanted(name)?.text ?? text) !== text);
    for (const service of [...stopped, ...restarted]) service.end();
    // One that is still ending is started when it has ended.
    const started = config.services.filter(({ name }) => running.every((service) => service.config.name !== name));
    for (const service of started) if (!this.#running.has(service.name)) this.#start(service);
    return {
      started: started.map(({ name }) => name),
      stopped: stopped.map((service) => service.config.name),
      restarted: restarted.map((service) => service.config.name),
      needsRestart,
    };
  }

  /** Ends all services. Resolves when nothing runs any more. */
  async end(): Promise<void> {
    this.#ending = true;
    const running = [...this.#running.values()];
    for (const service of running) service.end();
    await Promise.all(running.map(({ ended }) => ended));
  }

  /** Waits for no program any more. */
  hurry(): void {
    for (const service of this.#running.values()) service.hurry();
  }

  #wanted(name: string): ServiceConfig | undefined {
    return this.#config.services.find((service) => service.name === name);
  }

  #start(config: ServiceConfig): void {
    // Nobody would wait for it.
    if (this.#ending) return;
    const election = this.#shared.client.election(config.name, { ttlMs: config.plan.timings.ttlMs });
    const service = new RunningService(config, this.#shared, this.#endpoints?.add(election));
    this.#running.set(config.name, service);
    void service.ended.then(() => this.#ended(config.name));
  }

  /** Its place is free: for another one of its name, if that is wanted by now. */
  #ended(name: string): void {
    this.#running.delete(name);
    this.#endpoints?.remove(name);
    const next = this.#wanted(name);
    if (next !== undefined) this.#start(next);
  }
}

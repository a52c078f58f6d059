import { backoffMs, systemRandom } from "@tenure/etcd/runtime";
import { type Client, TenureError } from "tenure";
import type { Service } from "../http/service.ts";
import type { GuardLink } from "../run/guard-link.ts";
import type { Notes } from "../run/log.ts";
import { pause } from "../run/pause.ts";
import { Supervisor } from "../run/supervisor.ts";
import type { ServiceConfig } from "./config.ts";
import { ServiceOrders } from "./service-orders.ts";

/** What all services of an agent share. */
export interface Shared {
  readonly client: Client;
  readonly guard: GuardLink;
  readonly log: Notes;
}

/** A service that fails, as by keys of others under its name, is tried again: somebody may mend that. */
const RETRY_BOUNDS = { firstMs: 1000, maxMs: 60_000 };

/** One service of an agent, from its start to its end. */
export class RunningService {
  readonly config: ServiceConfig;
  /** Resolves when nothing of it runs and its key is deleted. */
  readonly ended: Promise<void>;
  readonly #shared: Shared;
  readonly #service: Service | undefined;
  readonly #orders = new ServiceOrders();
  #supervisor: Supervisor | undefined;

  /** @param service what is known of it for those who ask, where anybody can */
  constructor(config: ServiceConfig, shared: Shared, service: Service | undefined) {
    this.config = config;
    this.#shared = shared;
    this.#service = service;
    this.ended = this.#run();
  }

  /** Whether it was told to end. */
  get ending(): boolean {
    return this.#orders.stop.aborted;
  }

  /** Stops the program and leaves the election. */
  end(): void {
    this.#orders.end();
  }

  /** The same, without waiting for the program. */
  hurry(): void {
    this.#orders.endNow();
  }

  async #run(): Promise<void> {
    const { client, guard } = this.#shared;
    const { name, plan } = this.config;
    const log: Notes = { note: (text) => this.#shared.log.note(`${name}: ${text}`) };
    const scope = guard.service(name, () => this.#supervisor?.guardFired());
    for (let attempt = 0; !this.#orders.stop.aborted; attempt++) {
      try {
        const options = { plan, client, signals: this.#orders, guard: scope, log, service: this.#service };
        this.#supervisor = new Supervisor(options);
        await this.#supervisor.run();
        return;
      } catch (error) {
        const pauseMs = backoffMs(attempt, RETRY_BOUNDS, systemRandom);
        log.note(`${TenureError.from(error).message}; trying again in ${Math.round(pauseMs / 100) / 10} s`);
        await pause(pauseMs, this.#orders.stop);
      }
    }
  }
}

import type { Chance } from "./chance.ts";
import type { Checker } from "./checker.ts";
import type { Cluster } from "./cluster.ts";
import type { History } from "./history.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Service } from "./service.ts";
import type { Trace } from "./trace.ts";

/** What every part of a simulated world can reach. */
export interface World {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly trace: Trace;
  readonly cluster: Cluster;
  readonly services: readonly Service[];
  readonly history: History;
  readonly checker: Checker;
  /** Compares what each observer was shown last with the truth. */
  readonly observers: Observers;
  /** Whether all faults are over. */
  healed: boolean;
}

/** Those who look. */
export class Observers {
  readonly #checks = new Set<() => void>();

  /** Returns a function that takes the check off again. */
  add(check: () => void): () => void {
    this.#checks.add(check);
    return () => this.#checks.delete(check);
  }

  check(): void {
    for (const check of this.#checks) check();
  }
}

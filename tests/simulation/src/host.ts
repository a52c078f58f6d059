import type { Clock } from "@tenure/etcd/runtime";
import type { Chance } from "./chance.ts";
import { cancel, type Scheduled, type Scheduler } from "./scheduler.ts";

/** What a process can do at the moment. */
export type HostState =
  | "running"
  /** No code of it runs, its clocks go on: a stop signal, a long pause of the event loop. */
  | "frozen"
  /** The whole machine stands, and its monotonic clock with it. */
  | "suspended"
  | "dead";

interface HostTimer {
  readonly dueAt: number;
  readonly callback: () => void;
  scheduled: Scheduled | undefined;
}

const FIRST_DATE_MS = Date.UTC(2026, 0, 1);

/**
 * A process of the simulation: when it runs, and the clock it reads.
 *
 * The clock has a rate of its own. As on a real machine `monotonic` stands still in a suspend and `now` does not, and a
 * timer is due by the monotonic clock, after whole milliseconds, and comes late when the process cannot run.
 */
export class Host implements Clock {
  readonly name: string;
  /** Milliseconds of this clock for each real one. */
  readonly rate: number;
  readonly #scheduler: Scheduler;
  readonly #chance: Chance;
  readonly #timers = new Set<HostTimer>();
  /** What arrived, and which timers fell due, while the process could not run. */
  readonly #arrived: (() => void)[] = [];
  readonly #late: HostTimer[] = [];
  #state: HostState = "running";
  #suspendedMs = 0;
  #suspendedAt = 0;

  constructor(name: string, rate: number, scheduler: Scheduler, chance: Chance) {
    this.name = name;
    this.rate = rate;
    this.#scheduler = scheduler;
    this.#chance = chance;
  }

  get state(): HostState {
    return this.#state;
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#scheduler.now * this.rate;
  }

  monotonic(): number {
    const running = this.#state === "suspended" ? this.#suspendedAt : this.#scheduler.now;
    return (running - this.#suspendedMs) * this.rate;
  }

  date(): Date {
    return new Date(FIRST_DATE_MS + this.now());
  }

  after(delayMs: number, callback: () => void): () => void {
    // As Node does: whole milliseconds, one at least, and a little late.
    const waitMs = Math.max(1, Math.trunc(delayMs)) + this.#chance.fraction();
    const timer: HostTimer = { dueAt: this.monotonic() + waitMs, callback, scheduled: undefined };
    this.#timers.add(timer);
    this.#schedule(timer);
    return () => {
      this.#timers.delete(timer);
      cancel(timer.scheduled);
    };
  }

  /** Runs code of this process now, or when it runs again; never once it is dead. */
  deliver(run: () => void): void {
    if (this.#state === "running") this.#run(run);
    else if (this.#state !== "dead") this.#arrived.push(run);
  }

  freeze(): void {
    if (this.#state === "running") this.#state = "frozen";
  }

  suspend(): void {
    if (this.#state !== "running") return;
    this.#suspendedAt = this.#scheduler.now;
    this.#state = "suspended";
    for (const timer of this.#timers) cancel(timer.scheduled);
  }

  /** Runs again: timers that are late come in order, before what arrived or after it. */
  resume(): void {
    if (this.#state === "suspended") {
      this.#suspendedMs += this.#scheduler.now - this.#suspendedAt;
      this.#state = "running";
      for (const timer of this.#timers) this.#schedule(timer);
    }
    if (this.#state !== "frozen") return this.#catchUp([]);
    this.#state = "running";
    const late = this.#late.splice(0).toSorted((a, b) => a.dueAt - b.dueAt);
    this.#catchUp(late.map((timer) => () => this.#fire(timer)));
  }

  /** Nothing of this process ever runs again. */
  crash(): void {
    this.#state = "dead";
    for (const timer of this.#timers) cancel(timer.scheduled);
    this.#timers.clear();
    this.#arrived.length = 0;
  }

  #catchUp(timers: readonly (() => void)[]): void {
    const arrived = this.#arrived.splice(0);
    const all = this.#chance.happens(0.5) ? [...timers, ...arrived] : [...arrived, ...timers];
    for (const run of all) this.#scheduler.after(0, () => this.deliver(run));
  }

  #schedule(timer: HostTimer): void {
    const leftMs = Math.max(0, timer.dueAt - this.monotonic()) / this.rate;
    timer.scheduled = this.#scheduler.after(leftMs, () => {
      if (this.#state === "running") this.#fire(timer);
      else this.#late.push(timer);
    });
  }

  #fire(timer: HostTimer): void {
    if (this.#timers.delete(timer)) this.#run(timer.callback);
  }

  #run(run: () => void): void {
    this.#scheduler.promisesMove();
    run();
  }
}

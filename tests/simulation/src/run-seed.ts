import { Chance } from "./chance.ts";
import { Checker } from "./checker.ts";
import { Cluster } from "./cluster.ts";
import type { FaultKind } from "./fault-kinds.ts";
import { History } from "./history.ts";
import { Nemesis } from "./nemesis.ts";
import { type Plan, planOf } from "./plan.ts";
import { Process, type ProcessPlan } from "./process.ts";
import { Scheduler } from "./scheduler.ts";
import { Service } from "./service.ts";
import { Trace, type TraceMode } from "./trace.ts";
import { campaign, observe, runNode } from "./work.ts";
import { Observers, type World } from "./world.ts";

/** What a seed came to. */
export interface SeedResult {
  readonly seed: number;
  /** What must never be, and was. */
  readonly violation: string | undefined;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly terms: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly longestVacancyMs: number;
  /** The hash of the history; empty when none was kept. */
  readonly digest: string;
  readonly lines: readonly string[];
}

const WORK = { node: runNode, campaigner: campaign, observer: observe };
/** Milliseconds all processes have to stop cleanly in. */
const STOP_MS = 20_000;
/** Milliseconds after which a server has given up every silent connection. */
const SERVER_PATIENCE_MS = 25_000;
const STEP_MS = 100;

/** The world of one seed, from its first event to the last check. */
export class SeedRun {
  readonly #seed: number;
  readonly #plan: Plan;
  readonly #world: World;
  readonly #nemesis: Nemesis;
  readonly #processes: Process[] = [];
  /** When somebody must have led since; undefined while nobody has to. */
  #vacancyBoundMs: number | undefined;

  constructor(seed: number, mode: TraceMode) {
    this.#seed = seed;
    const chance = new Chance(seed);
    const scheduler = new Scheduler();
    const trace = new Trace(mode, () => scheduler.now);
    this.#plan = planOf(chance.fork("plan"));
    const { elections, memberRates: rates, ratesWithinMargin } = this.#plan;
    const onCommit = ({ byHand }: { byHand: boolean }): void => {
      history.byHand = byHand;
    };
    const cluster = new Cluster({ scheduler, chance: chance.fork("cluster"), trace, rates, onCommit });
    const now = (): number => scheduler.now;
    const history: History = new History(cluster.reference, elections, now, {
      created: (election, key) =>
        trace.add("etcd", () => `${key.value} stands in ${election}: ${key.key}, ${key.createRevision}`),
      registered: (election, token) => checker.registered(election, token),
    });
    const checker: Checker = new Checker(history, { ratesWithinMargin }, now);
    const services = cluster.members.map((member) => new Service(member));
    const observers = new Observers();
    this.#world = { scheduler, chance, trace, cluster, services, history, checker, observers, healed: false };
    this.#nemesis = new Nemesis(this.#world, this.#plan, {
      alive: () => this.#alive,
      replace: (process) => this.#begin(process.name.replace(/\.\d+$/, ""), process.plan),
    });
  }

  /** Something went wrong outside of any call. */
  fail(message: string): void {
    this.#world.checker.fail(message);
  }

  async run(): Promise<SeedResult> {
    const { checker, scheduler, trace } = this.#world;
    try {
      await this.#phases();
    } catch (error) {
      checker.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    const { violation } = checker;
    if (violation !== undefined) trace.add("checker", () => violation.message);
    return {
      seed: this.#seed,
      violation: violation?.message,
      faults: Object.fromEntries(this.#nemesis.counts),
      terms: checker.terms,
      events: scheduler.ran,
      virtualMs: scheduler.now,
      longestVacancyMs: checker.longestVacancyMs,
      digest: trace.mode === "off" ? "" : trace.digest(),
      lines: trace.lines,
    };
  }

  async #phases(): Promise<void> {
    const { checker, observers, trace } = this.#world;
    this.#plan.processes.forEach((plan, index) => this.#begin(`p${index}`, plan));
    this.#nemesis.start();
    if (await this.#pass(this.#plan.faultsMs)) return;

    trace.add("nemesis", () => "heals everything");
    this.#nemesis.heal();
    this.#world.healed = true;
    checker.healed();
    this.#vacancyBoundMs = vacancyBoundMs(this.#plan);
    if (await this.#pass(this.#vacancyBoundMs + 10_000)) return;

    this.#vacancyBoundMs = undefined;
    observers.check();
    for (const process of this.#alive) if (process.plan.role !== "observer") process.stop();
    if (await this.#ended(({ plan }) => plan.role !== "observer")) return;
    if (await this.#pass(this.#plan.maxTtlMs + 5000)) return;
    observers.check();
    for (const process of this.#alive) process.stop();
    if (await this.#ended(() => true)) return;
    if (await this.#pass(SERVER_PATIENCE_MS)) return;
    this.#checkLeaks();
  }

  get #alive(): readonly Process[] {
    return this.#processes.filter((process) => !process.ended && process.host.state !== "dead");
  }

  #begin(name: string, plan: ProcessPlan): void {
    const before = this.#processes.filter((process) => process.name.startsWith(name)).length;
    const process = new Process(before === 0 ? name : `${name}.${before}`, plan, this.#world);
    this.#processes.push(process);
    process.start(plan.looksOn ? [WORK[plan.role], observe] : [WORK[plan.role]]);
  }

  /** Lets time pass; true when something went wrong meanwhile. */
  async #pass(durationMs: number): Promise<boolean> {
    const { scheduler, checker } = this.#world;
    await scheduler.pass(scheduler.now + durationMs, () => {
      checker.afterEvent(this.#vacancyBoundMs);
      return checker.violation !== undefined;
    });
    return checker.violation !== undefined;
  }

  /** Waits until these processes have ended, which they must in time. */
  async #ended(which: (process: Process) => boolean): Promise<boolean> {
    const { scheduler, checker } = this.#world;
    const deadline = scheduler.now + STOP_MS;
    while (this.#alive.some(which)) {
      if (await this.#pass(STEP_MS)) return true;
      if (scheduler.now > deadline) {
        const late = this.#alive.filter(which).map(({ name }) => name);
        checker.fail(`not ended ${STOP_MS} ms after being told to: ${late.join(", ")}`);
        return true;
      }
    }
    return false;
  }

  #checkLeaks(): void {
    const { checker, cluster, history, services } = this.#world;
    for (const election of history.elections) {
      const keys = history.keys(election);
      if (keys.length > 0) checker.fail(`${keys.length} keys are left in ${election}: ${keys[0]?.value}`);
    }
    if (cluster.leases.size > 0) checker.fail(`${cluster.leases.size} leases are left`);
    for (const { member, streams } of services) {
      if (streams > 0) checker.fail(`${streams} streams are left at ${member.name}`);
    }
    for (const { name, leaks } of this.#processes) if (leaks !== "") checker.fail(`${name} has left ${leaks}`);
  }
}

/**
 * How long an election with willing candidates may be without a leader once there are no faults: a dead node's key
 * lives for its TTL, and 1 s more where etcd's leader changed last; etcd looks every 500 ms; electing etcd's own leader
 * takes up to 4 s; a call that was under way ends at its deadline of 5 s; work takes 2 s to stop, and a candidate whose
 * work returned at once, again and again, up to 5 s to come back.
 */
function vacancyBoundMs({ maxTtlMs }: Plan): number {
  return maxTtlMs + 1000 + 500 + 4000 + 5000 + 2000 + 5000;
}

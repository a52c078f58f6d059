import { backoffMs, systemClock, systemRandom } from "@tenure/etcd/runtime";
import { type Client, type Election, TenureError, type Term } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { endKind, endReason } from "../http/end-reason.ts";
import type { Service } from "../http/service.ts";
import type { Control } from "./control.ts";
import { Eligibility } from "./eligibility.ts";
import { cleanEnvironment, termEnvironment } from "./environment.ts";
import type { ServiceGuard } from "./guard-link.ts";
import { healthCheck } from "./health-check.ts";
import { Health } from "./health.ts";
import { type HookCall, Hooks } from "./hooks.ts";
import type { Notes } from "./log.ts";
import { pause } from "./pause.ts";
import type { Plan } from "./plan.ts";
import { type Exit, ProcessTree, settledWithin } from "./process-tree.ts";
import type { Orders } from "./signals.ts";
import { Standby } from "./standby.ts";
import { type Ending, TermWatch } from "./term-watch.ts";

/** What a supervisor works with. */
export interface SupervisorOptions {
  readonly plan: Plan;
  readonly client: Client;
  readonly signals: Orders;
  readonly guard: ServiceGuard | undefined;
  readonly log: Notes;
  /** Told what becomes of the terms; undefined when nobody asks. */
  readonly service?: Service | undefined;
}

/** What a term came to. */
interface Outcome {
  /** Why it ended; undefined when the program ended by itself. */
  readonly ending: Ending | undefined;
  /** How the program ended; undefined when it did not run. */
  readonly exit: Exit | undefined;
}

/** Milliseconds to step down in; the key ends with its lease if the store does not answer. */
const RESIGN_TIMEOUT_MS = 3000;
/** The same when the lease is lost, usually because the store does not answer. */
const LOST_RESIGN_TIMEOUT_MS = 300;
/** Between two terms: others come first. It grows while terms are short. */
const STAND_BOUNDS = { firstMs: 100, maxMs: 5000 };
const RESTART_BOUNDS = { firstMs: 200, maxMs: 10_000 };
/** A program that ran for longer is not failing at its start. */
const AT_WORK_MS = 10_000;
/** A lease that is in doubt after a stall is proven again within about one round trip. */
const DOUBT_CHECK_MS = 20;
/** A leader that is not fit looks so often whether somebody else could lead. */
const UNFIT_LOOK_MS = 1000;

/** Runs a program while this node leads. */
export class Supervisor {
  readonly #plan: Plan;
  readonly #client: Client;
  readonly #election: Election;
  readonly #signals: Orders;
  readonly #guard: ServiceGuard | undefined;
  readonly #log: Notes;
  readonly #service: Service | undefined;
  readonly #env: Readonly<Record<string, string | undefined>> = cleanEnvironment(process.env);
  readonly #hooks: Hooks;
  readonly #standby: Standby | undefined;
  readonly #health: Health | undefined;
  readonly #control: Control | undefined;
  readonly #eligibility: Eligibility;
  readonly #following = new AbortController();
  #watch: TermWatch | undefined;
  #electedBefore = false;

  constructor({ plan, client, signals, guard, log, service }: SupervisorOptions) {
    this.#plan = plan;
    this.#client = client;
    this.#signals = signals;
    this.#guard = guard;
    this.#log = log;
    this.#service = service;
    this.#election = client.election(plan.election, { ttlMs: plan.timings.ttlMs });
    const { hooks: commands, hookTimeoutMs: timeoutMs, election } = plan;
    const onRun = service?.hookRan;
    this.#hooks = new Hooks({ commands, timeoutMs, election, env: this.#env, log, guard, onRun });
    this.#standby = this.#newStandby();
    this.#health = this.#newHealth();
    this.#control = service?.control;
    this.#eligibility = new Eligibility(this.#health, this.#control);
    this.#control?.runUntil(signals.stop);
    service?.runBy(this.#hooks.names, this.#health);
  }

  /** The guard had to kill the program. */
  guardFired(): void {
    this.#watch?.overdue();
  }

  /** Takes part until told to stop, or the program's end is the end. Returns the exit code. */
  async run(): Promise<number> {
    const followed = this.#hooks.has("on-leader-change") ? this.#follow() : Promise.resolve();
    this.#health?.start();
    try {
      return await this.#takeTurns();
    } finally {
      this.#following.abort();
      await Promise.all([this.#standby?.stop(), this.#health?.stop()]);
      this.#service?.left();
      await followed;
      await this.#hooks.idle();
      await this.#control?.settled();
    }
  }

  async #takeTurns(): Promise<number> {
    for (let attempt = 0; ; attempt++) {
      this.#standby?.start();
      const term = await this.#electedInTime();
      if (term === undefined) return this.#signals.exitCode;
      const electedAt = systemClock.now();
      const { ending, exit } = await this.#lead(term);
      if (this.#signals.stop.aborted) return exit?.code ?? this.#signals.exitCode;
      // Who made way stands again, once it is fit and not paused.
      if (this.#plan.onExit === "exit" && ending?.t !== "unhealthy" && ending?.t !== "resigned") {
        if (ending?.t === "lost") return ExitCode.leadershipLost;
        if (exit !== undefined) return exit.code;
      }
      if (systemClock.now() - electedAt > AT_WORK_MS) attempt = 0;
      await pause(backoffMs(attempt, STAND_BOUNDS, systemRandom), this.#signals.stop);
      if (this.#signals.stop.aborted) return this.#signals.exitCode;
    }
  }

  /** The next term, or undefined when the wait for it was stopped. A node that may not stand is not in the queue. */
  async #electedInTime(): Promise<Term | undefined> {
    const { stop } = this.#signals;
    const limitMs = this.#electedBefore ? undefined : this.#plan.electedWithinMs;
    const timeout = new AbortController();
    const cancelTimeout = limitMs === undefined ? undefined : systemClock.after(limitMs, () => timeout.abort());
    const over = AbortSignal.any([stop, timeout.signal]);
    try {
      for (;;) {
        await this.#eligibility.begins(over);
        if (stop.aborted) return undefined;
        if (over.aborted) throw new CommandError(ExitCode.notElected, `not elected within ${(limitMs ?? 0) / 1000} s`);
        const term = await this.#elected(over, limitMs);
        if (term !== undefined) return term;
        this.#service?.left();
      }
    } finally {
      cancelTimeout?.();
    }
  }

  /** The next term, or undefined when the wait is over or this node may not stand any more. */
  async #elected(over: AbortSignal, limitMs: number | undefined): Promise<Term | undefined> {
    const { stop } = this.#signals;
    const done = new AbortController();
    const leave = new AbortController();
    void this.#eligibility.ends(done.signal).then(() => leave.abort());
    try {
      if (!this.#electedBefore) {
        await this.#client.ready({ signal: stop, ...(limitMs !== undefined && { timeoutMs: limitMs }) });
      }
      const signal = AbortSignal.any([over, leave.signal]);
      const term = await this.#election.campaign(this.#plan.value, { signal });
      this.#electedBefore = true;
      return term;
    } catch (error) {
      if (stop.aborted) return undefined;
      // A store that does not answer within the limit says more than that the limit is over.
      if (TenureError.from(error).code === "aborted" && (over.aborted || leave.signal.aborted)) return undefined;
      throw error;
    } finally {
      done.abort();
    }
  }

  /** Leads one term to its end. The key is deleted when nothing of the program lives any more. */
  async #lead(term: Term): Promise<Outcome> {
    const { timings, election } = this.#plan;
    this.#log.note(`leading ${election} with token ${term.token}`);
    if (term.ttlMs > timings.ttlMs) {
      this.#log.note(`etcd raised the TTL from ${timings.ttlMs / 1000} s to its minimum of ${term.ttlMs / 1000} s`);
    }
    const watch = new TermWatch(term, timings, this.#signals, this.#guard);
    this.#watch = watch;
    this.#service?.elected(term);
    this.#control?.leads((why) => watch.resigned(why));
    const over = new AbortController();
    void this.#makeWayWhenUnfit(watch, over.signal);
    let outcome: Outcome;
    try {
      await this.#standby?.stop();
      outcome = await this.#promote(term, watch);
    } catch (error) {
      // Nothing runs: what was started has been seen dead, or could not be started at all.
      await this.#resign(term, undefined);
      this.#service?.over("exited");
      throw error;
    } finally {
      this.#watch = undefined;
      this.#control?.leads(undefined);
      over.abort();
      watch[Symbol.dispose]();
    }
    const { ending, exit } = outcome;
    const reason = endReason(ending, exit !== undefined, term.signal);
    await this.#resign(term, ending);
    this.#service?.over(reason);
    return outcome;
  }

  /** Steps down once this node is unfit and another one stands by: those in the queue are fit, as far as they look. */
  async #makeWayWhenUnfit(watch: TermWatch, over: AbortSignal): Promise<void> {
    const health = this.#health;
    if (health === undefined) return;
    while (!over.aborted && watch.ending === undefined) {
      await health.becomes(false, over);
      const others = over.aborted ? 0 : await this.#standbys();
      // It may have recovered meanwhile.
      if (others > 0 && !health.healthy) watch.unhealthy(`unhealthy: ${health.why}; another node stands by`);
      // For as long as the term lasts, maybe: `ended` would remember each wait for it.
      await pause(UNFIT_LOOK_MS, over);
    }
  }

  /** How many others are in the queue; none, if that cannot be known. */
  async #standbys(): Promise<number> {
    try {
      return (await this.#election.candidates()).filter(({ self }) => !self).length;
    } catch {
      return 0;
    }
  }

  async #promote(term: Term, watch: TermWatch): Promise<Outcome> {
    const env = termEnvironment(this.#plan.election, term);
    const self = { key: term.key, value: term.value, revision: term.token, leaseId: term.leaseId, self: true };
    const call: HookCall = { role: "leader", env, leader: { ...self, valueBytes: term.valueBytes } };
    const ended = new AbortController();
    void watch.ended.then(() => ended.abort());
    const allowed = await this.#hooks.run("pre-promote", { ...call, signal: ended.signal });
    if (!allowed || watch.ending !== undefined) {
      if (watch.ending === undefined) this.#log.note("the hook pre-promote refused; stepping down");
      return { ending: watch.ending, exit: undefined };
    }
    const outcome = await this.#work(env, { ...call, signal: ended.signal }, watch);
    // A hook that tells of the start must not go on when another node has started.
    ended.abort();
    const { ending, exit } = outcome;
    this.#log.note(ending === undefined ? `${this.#plan.command} ${exit?.text}; stepping down` : `${ending.reason}`);
    // The program is dead, so a deadline that passes now harms nobody.
    watch[Symbol.dispose]();
    this.#service?.stopped();
    const reason = ending?.reason ?? `the program ${exit?.text}`;
    await this.#hooks.run("on-demote", { ...call, role: "standby", reason, signal: this.#signals.hurry });
    return outcome;
  }

  /** Runs the program until it or the term ends; nothing of it lives afterwards. */
  async #work(env: Readonly<Record<string, string>>, call: HookCall, watch: TermWatch): Promise<Outcome> {
    const { command, onExit, maxRestarts } = this.#plan;
    let exit: Exit | undefined;
    for (let restarts = 0; ; restarts++) {
      await this.#undoubted(watch);
      if (watch.ending !== undefined) return { ending: watch.ending, exit };
      const startedAt = systemClock.now();
      const program = this.#start(env);
      this.#service?.promoted(() => program.running && watch.mayRun);
      if (exit === undefined) void this.#hooks.run("on-promote", call);
      await Promise.race([program.exited, watch.ended]);
      const ending = watch.ending;
      this.#service?.stopping(endKind(ending));
      exit = await program.stop(this.#stopSignal, ending === undefined ? () => 0 : watch.graceMs);
      this.#signals.passOn = () => undefined;
      if (ending !== undefined) return { ending, exit };
      if (systemClock.now() - startedAt > AT_WORK_MS) restarts = 0;
      if (onExit !== "restart" || restarts >= maxRestarts) return { ending: undefined, exit };
      this.#service?.restarting();
      const pauseMs = backoffMs(restarts, RESTART_BOUNDS, systemRandom);
      this.#log.note(`${command} ${exit.text}; restarting it in ${Math.round(pauseMs)} ms`);
      await settledWithin(watch.ended, pauseMs);
    }
  }

  #start(env: Readonly<Record<string, string>>): ProcessTree {
    const { command: what, file, args, stdin, containment } = this.#plan;
    const program = new ProcessTree({
      what,
      file,
      args,
      env: { ...this.#env, ...env },
      stdin,
      containment,
      log: this.#log,
      guard: this.#guard,
    });
    this.#signals.passOn = (name) => program.signal(name);
    return program;
  }

  /** What the program is told to stop with: the signal we were sent, where it is another than the usual one. */
  get #stopSignal(): NodeJS.Signals {
    const { name } = this.#signals;
    return name === undefined || name === "SIGTERM" ? this.#plan.stopSignal : name;
  }

  /** Waits while the lease is in doubt, as it is after a stall. */
  async #undoubted(watch: TermWatch): Promise<void> {
    while (!watch.held && watch.ending === undefined) await settledWithin(watch.ended, DOUBT_CHECK_MS);
  }

  async #resign(term: Term, ending: Ending | undefined): Promise<void> {
    const lost = ending?.t === "lost";
    try {
      await term.resign({ timeoutMs: lost ? LOST_RESIGN_TIMEOUT_MS : RESIGN_TIMEOUT_MS });
    } catch (error) {
      // The store does not answer: the key goes with its lease.
      if (!lost) this.#log.note(TenureError.from(error).message);
    }
  }

  /** Tells of every change of leader. */
  async #follow(): Promise<void> {
    try {
      for await (const leader of this.#election.observe({ signal: this.#following.signal })) {
        const role = leader?.self === true ? "leader" : "standby";
        this.#hooks.leaderChanged({ role, leader, signal: this.#signals.hurry });
      }
    } catch (error) {
      this.#log.note(`leader changes are not seen any more: ${TenureError.from(error).message}`);
    }
  }

  #newHealth(): Health | undefined {
    const { health } = this.#plan;
    if (health === undefined) return undefined;
    const context = { env: this.#env, log: this.#log, guard: this.#guard };
    return new Health({ check: healthCheck(health.question, context), times: health.times, log: this.#log });
  }

  #newStandby(): Standby | undefined {
    const { standbyCommand, stopSignal, timings, election, stdin, containment } = this.#plan;
    if (standbyCommand === undefined) return undefined;
    const tree = {
      what: "the standby program",
      file: "/bin/sh",
      args: ["-c", standbyCommand],
      env: { ...this.#env, TENURE_ELECTION: election },
      stdin,
      containment,
      log: this.#log,
      guard: this.#guard,
    };
    return new Standby(tree, stopSignal, timings.stopTimeoutMs);
  }
}

import { type Clock, systemClock } from "@tenure/etcd/runtime";
import type { Leader, LeaderChange, Term } from "tenure";
import { leaderJson } from "../output.ts";
import { Control } from "../run/control.ts";
import type { Health } from "../run/health.ts";
import type { HookName, HookResult } from "../run/hooks.ts";
import { type FailoverKind, FailoverTimes } from "./failover-times.ts";
import { HookFacts } from "./hook-facts.ts";
import type { StoreFacts } from "./store-facts.ts";

/** What a node is for a service, at one instant. */
export type Role =
  /** It leads, and its program runs: traffic belongs here. */
  | "leader"
  /** It is in the queue. */
  | "standby"
  /** Neither: on its way from one to the other, or out of the queue. */
  | "none";

/** What a node does for a service. */
export type Phase =
  /** It is not in the queue: it has just started, lost its lease, is not fit, or stands again in a moment. */
  | "starting"
  /** It is not in the queue, because an operator wants that. */
  | "paused"
  | "standby"
  /** Elected; what comes before the program's start is under way. */
  | "promoting"
  | "leading"
  /** It leads, but its program ended and is started again in a moment. */
  | "restarting"
  /** The program is being stopped, or its end is being tidied up. */
  | "stopping";

/** Why a term ended here, for those who count. */
export const END_REASONS = [
  "stopped",
  "transferred",
  "resigned",
  "unhealthy",
  "exited",
  "refused",
  "late",
  "deleted",
  "expired",
  "revoked",
  "closed",
  "cluster-changed",
  "auth",
] as const;
export type EndReason = (typeof END_REASONS)[number];

/** What is needed of a term. */
export type ServedTerm = Pick<Term, "key" | "value" | "token" | "leaseId" | "ttlMs" | "held" | "provenForMs">;

/** Something happened that listeners to a service may want to hear of. */
export interface ServiceEvent {
  readonly type: "role" | "leader";
  readonly election: string;
  readonly data: object;
}

/** What a service is made from. */
export interface ServiceOptions {
  /** The name of its election. */
  readonly name: string;
  /** Where the election's keys are. */
  readonly prefix: string;
  readonly store: Pick<StoreFacts, "standsWith" | "newestToken" | "leaderSeen" | "candidates">;
  /** Whether this node has been told to end. */
  readonly closing: () => boolean;
  readonly onEvent?: (event: ServiceEvent) => void;
  readonly clock?: Clock;
}

/** A term, and how far it has come. */
interface Leading {
  readonly term: ServedTerm;
  readonly electedAt: number;
  readonly phase: "promoting" | "leading" | "restarting" | "stopping";
  /** Whether the program may be sent traffic, besides the term being held. */
  readonly serves: () => boolean;
}

/** What the checks of a service's health say; failing until enough of them have succeeded. */
type HealthState = "ok" | "failing" | "unchecked";

/** Of a value that is longer, only so much is shown. */
const SHOWN_VALUE_LENGTH = 4096;

/**
 * What a node knows of one service, in memory, fed by whoever runs the service.
 *
 * Nothing here is a verdict that could grow old: {@link role} asks the term and the clock anew each time.
 */
export class Service {
  readonly name: string;
  /** What operators want of it. */
  readonly control: Control = new Control();
  readonly hooks: HookFacts;
  /** How long its changes of leader took. */
  readonly failovers: FailoverTimes;
  /** Terms that this node was elected to. */
  terms = 0;
  restarts = 0;
  readonly ends: Map<EndReason, number> = new Map(END_REASONS.map((reason) => [reason, 0]));
  readonly #prefix: string;
  readonly #store: ServiceOptions["store"];
  readonly #closing: () => boolean;
  readonly #onEvent: (event: ServiceEvent) => void;
  readonly #clock: Clock;
  #health: Pick<Health, "healthy"> | undefined;
  #leading: Leading | undefined;
  /** The token of our candidate that has left the queue; its lease may live on for others. */
  #formerToken: bigint | undefined;
  #endingSince: { readonly kind: FailoverKind; readonly at: number } | undefined;
  #leader: Leader | null = null;
  #revision = 0n;
  #vacantSince: number | undefined;
  #vacantMs = 0;

  constructor({ name, prefix, store, closing, onEvent, clock }: ServiceOptions) {
    this.name = name;
    this.hooks = new HookFacts(name);
    this.failovers = new FailoverTimes(name);
    this.#prefix = prefix;
    this.#store = store;
    this.#closing = closing;
    this.#onEvent = onEvent ?? (() => undefined);
    this.#clock = clock ?? systemClock;
    // One that stood here before may be known still.
    this.left();
  }

  /** What this node is at this instant. */
  get role(): Role {
    const leading = this.#leading;
    if (leading !== undefined) return leads(leading) && !this.#closing() ? "leader" : "none";
    const token = this.#closing() ? undefined : this.#store.standsWith(this.#prefix);
    return token === undefined || token === this.#formerToken ? "none" : "standby";
  }

  get phase(): Phase {
    const { role } = this;
    if (role === "standby") return "standby";
    if (role === "leader") return "leading";
    if (this.#closing()) return "stopping";
    if (this.#leading === undefined) return this.paused ? "paused" : "starting";
    const { phase } = this.#leading;
    return phase === "leading" ? "stopping" : phase;
  }

  /** Whether an operator wants this node not to stand. */
  get paused(): boolean {
    return this.control.paused.holds;
  }

  /** What the checks of its health say. */
  get health(): HealthState {
    if (this.#health === undefined) return "unchecked";
    return this.#health.healthy ? "ok" : "failing";
  }

  /** Whether it may stand for election, or lead, as far as this node's own state goes. */
  get eligible(): boolean {
    return !this.#closing() && !this.paused && this.health !== "failing";
  }

  /** Whether it takes part: it leads with a lease that is proven, or is in the queue with one. */
  get ready(): boolean {
    return !this.#closing() && (this.#leading?.term.held ?? this.role === "standby");
  }

  /** The term of this node, its end included; undefined while it has none. */
  get term(): ServedTerm | undefined {
    return this.#leading?.term;
  }

  /** Who leads as far as this node knows, its own term first of all. */
  get leader(): Pick<Leader, "key" | "value" | "revision" | "leaseId"> | null {
    const term = this.#leading?.term;
    if (term?.held !== true) return this.#leader;
    const { key, value, token: revision, leaseId } = term;
    return { key, value: shown(value), revision, leaseId };
  }

  /** How many stand, the leader included, as far as this node sees. */
  get candidates(): number {
    return this.#store.candidates(this.#prefix);
  }

  /** Milliseconds for which nobody led as far as this node saw. */
  get vacantMs(): number {
    return this.#vacantMs + (this.#vacantSince === undefined ? 0 : this.#clock.now() - this.#vacantSince);
  }

  /** Somebody runs it, with these hooks and checks. */
  runBy(hooks: readonly HookName[], health: Pick<Health, "healthy"> | undefined): void {
    this.hooks.are(hooks);
    this.#health = health;
  }

  /** A hook was run. */
  readonly hookRan = (hook: HookName, result: HookResult, durationMs: number): void => {
    this.hooks.ran(hook, result, durationMs);
  };

  /** The election's view shows another leader, or another value of the same one. */
  sawLeader({ leader, revision }: LeaderChange): void {
    const now = this.#clock.now();
    if (this.#vacantSince !== undefined) this.#vacantMs += now - this.#vacantSince;
    this.#vacantSince = leader === null ? now : undefined;
    this.#leader = leader && { ...leader, value: shown(leader.value) };
    this.#revision = revision;
    this.#emit("leader", { leader: this.#leader && leaderJson(this.#leader), revision: String(revision) });
  }

  elected(term: ServedTerm): void {
    const now = this.#clock.now();
    this.terms++;
    this.#leading = { term, electedAt: now, phase: "promoting", serves: () => false };
    const seen = this.#store.leaderSeen(this.#prefix);
    if (seen?.key === term.key) this.failovers.took(this.#electedKind(), "elect", now - seen.at);
    this.#emitRole();
  }

  /**
   * The program has been started.
   *
   * @param serves whether it may be sent traffic, asked at every answer: false from the moment that it is to stop
   */
  promoted(serves: () => boolean): void {
    if (this.#leading === undefined) return;
    const { electedAt, phase } = this.#leading;
    this.#leading = { ...this.#leading, phase: "leading", serves };
    if (phase === "promoting") {
      const now = this.#clock.now();
      const seen = this.#store.leaderSeen(this.#prefix);
      const since = seen?.key === this.#leading.term.key ? seen.at : electedAt;
      this.failovers.took(this.#electedKind(), "promote", now - electedAt);
      this.failovers.took(this.#electedKind(), "total", now - since);
    }
    this.#emitRole();
  }

  /** The program ended, and is started again in this term. */
  restarting(): void {
    this.restarts++;
    // That end was not the term's.
    this.#endingSince = undefined;
    this.#enter("restarting");
  }

  /** The program is told to stop, or has ended. */
  stopping(kind: FailoverKind): void {
    this.#endingSince = { kind, at: this.#clock.now() };
    this.#enter("stopping");
  }

  /** Nothing of the program lives any more. */
  stopped(): void {
    if (this.#endingSince === undefined) return;
    const { kind, at } = this.#endingSince;
    const now = this.#clock.now();
    this.failovers.took(kind, "stop", now - at);
    this.#endingSince = { kind, at: now };
  }

  /** The term is over here, its key deleted or left to its lease. */
  over(reason: EndReason): void {
    const now = this.#clock.now();
    // The key of a lost term is not ours to delete.
    if (this.#endingSince !== undefined && this.#endingSince.kind !== "lost") {
      this.failovers.took(this.#endingSince.kind, "release", now - this.#endingSince.at);
    }
    this.ends.set(reason, (this.ends.get(reason) ?? 0) + 1);
    this.#endingSince = undefined;
    this.left();
    this.#leading = undefined;
    this.#emitRole(reason);
  }

  /** Our candidate has left the queue. */
  left(): void {
    this.#formerToken = this.#store.newestToken(this.#prefix);
  }

  /** All of it for programs: numbers too large for JavaScript's are text, as wherever this command prints JSON. */
  toJSON(): object {
    const { name, role, phase, leader, ready } = this;
    return {
      election: name,
      role,
      phase,
      ready,
      eligible: this.eligible,
      paused: this.paused,
      health: this.health,
      leader: leader && leaderJson(leader),
      revision: String(this.#revision),
      candidates: this.candidates,
      term: this.#termJson(),
      terms: this.terms,
      restarts: this.restarts,
    };
  }

  #termJson(): object | null {
    const term = this.term;
    if (term === undefined) return null;
    const { key, token, leaseId, ttlMs, held, provenForMs } = term;
    return {
      key,
      token: String(token),
      lease: leaseId.toString(16),
      ttlSeconds: ttlMs / 1000,
      held,
      provenForSeconds: Math.round(provenForMs) / 1000,
    };
  }

  #enter(phase: Leading["phase"]): void {
    if (this.#leading === undefined) return;
    this.#leading = { ...this.#leading, phase };
    this.#emitRole();
  }

  /** Whether another node led just before, as this one saw it. */
  #electedKind(): FailoverKind {
    const seen = this.#store.leaderSeen(this.#prefix);
    const before = seen?.before ?? null;
    return before !== null && before !== seen?.key ? "takeover" : "vacant";
  }

  #emitRole(reason?: EndReason): void {
    const { role, phase } = this;
    this.#emit("role", { role, phase, token: this.term?.token.toString() ?? null, reason: reason ?? null });
  }

  #emit(type: ServiceEvent["type"], data: object): void {
    this.#onEvent({ type, election: this.name, data: { election: this.name, ...data } });
  }
}

function leads({ term, phase, serves }: Leading): boolean {
  return phase === "leading" && term.held && serves();
}

function shown(value: string): string {
  return value.length <= SHOWN_VALUE_LENGTH ? value : `${value.slice(0, SHOWN_VALUE_LENGTH)}…`;
}

import type { Leader, LeaderChange, Term } from "tenure";
import type { CommittedKey, History } from "./history.ts";
import type { Host } from "./host.ts";

/** Something that must never be. */
export class Violation extends Error {}

/** A term that some process was given. */
interface KnownTerm {
  readonly election: string;
  readonly host: Host;
  readonly term: Term;
  /** Whether its end has been told: it must never be held again. */
  over: boolean;
  /** Since when it is not held though its end was not told, while its process runs. */
  unheldSince: number | undefined;
}

/** What a seed assumes. */
export interface Assumptions {
  /** Whether the clocks' rates differ by less than the margin. */
  readonly ratesWithinMargin: boolean;
}

/** Milliseconds after the end of all faults within which a term must fall whose key was deleted by hand. */
const BY_HAND_BOUND_MS = 8000;
/** Milliseconds after the end of all faults when nothing of them is left, and how long a leader may be absent then. */
const SETTLED_MS = 12_000;
const ABSENT_BOUND_MS = 6000;
/** Milliseconds from one look at what may last for seconds to the next. */
const LOOK_MS = 50;
/** After a longer stall than this nothing is proven; the product's margin is half of it for the TTLs used here. */
const DOUBT_MS = 1000;
/** Milliseconds an observer may lag behind when there are no faults. */
const OBSERVER_LAG_MS = 3000;

/** Looks at every term and at the committed state after each event. */
export class Checker {
  readonly #history: History;
  readonly #assumptions: Assumptions;
  readonly #now: () => number;
  readonly #known = new Set<KnownTerm>();
  /** By election: every token that was given out, and the highest. */
  readonly #tokens = new Map<string, Set<bigint>>();
  readonly #highest = new Map<string, bigint>();
  /** By process and election. */
  readonly #highestOf = new Map<string, bigint>();
  readonly #registered = new Map<string, bigint>();
  /** Processes that lead an election in `run`, by name and election. */
  readonly #working = new Map<string, Term>();
  /** By election: those who want to lead, and when each was last seen to stand. */
  readonly #standing = new Map<string, Map<Host, number>>();
  /** Every process by its name. */
  readonly #hosts = new Map<string, Host>();
  /** Since when a process has a key that it does not know of, or one too many, by process and election. */
  readonly #stray = new Map<string, number>();
  /** By election: the first key, and when somebody last knew of it. */
  readonly #attended = new Map<string, { token: bigint; at: number }>();
  readonly #ledAt = new Map<string, number>();
  readonly #goLeaders = new Map<string, Set<string>>();
  #healedAt: number | undefined;
  #lookedAt = 0;
  #longestVacancyMs = 0;
  #terms = 0;
  #violation: Violation | undefined;

  constructor(history: History, assumptions: Assumptions, now: () => number) {
    this.#history = history;
    this.#assumptions = assumptions;
    this.#now = now;
  }

  /** The first violation. */
  get violation(): Violation | undefined {
    return this.#violation;
  }

  /** Terms that were begun. */
  get terms(): number {
    return this.#terms;
  }

  /** The longest time without a leader since the faults ended. */
  get longestVacancyMs(): number {
    return this.#longestVacancyMs;
  }

  /** A process begins. */
  joins(host: Host): void {
    this.#hosts.set(host.name, host);
  }

  fail(message: string): void {
    this.#violation ??= new Violation(message);
  }

  /** A process was told that it leads. */
  elected(host: Host, election: string, term: Term): void {
    this.#terms++;
    const { token } = term;
    const what = `${host.name} in ${election}, token ${token}`;
    const tokens = this.#tokens.get(election) ?? new Set();
    this.#tokens.set(election, tokens);
    if (tokens.has(token)) this.fail(`two terms with one token: ${what}`);
    tokens.add(token);
    const own = `${host.name} ${election}`;
    if (token <= (this.#highestOf.get(own) ?? 0n)) this.fail(`a process won an older token than before: ${what}`);
    this.#highestOf.set(own, token);
    const excused =
      !this.#assumptions.ratesWithinMargin || this.#history.deletedByHandAt(term.key, token) !== undefined;
    const highest = this.#highest.get(election) ?? 0n;
    if (token < highest && !excused) this.fail(`elected after a higher token, ${highest}: ${what}`);
    this.#highest.set(election, token > highest ? token : highest);
    this.#known.add({ election, host, term, over: false, unheldSince: undefined });
  }

  /** A process runs again, and has not yet done anything. */
  resumed(host: Host, pausedMs: number): void {
    if (pausedMs * host.rate < DOUBT_MS) return;
    for (const known of this.#known) {
      if (known.host !== host || !known.term.held) continue;
      this.fail(`held right after a stall of ${pausedMs.toFixed(0)} ms: ${host.name}, token ${known.term.token}`);
    }
  }

  /** `run` calls lead. */
  leadBegins(host: Host, election: string, term: Term): void {
    const own = `${host.name} ${election}`;
    if (this.#working.has(own)) this.fail(`two leads at once: ${host.name} in ${election}`);
    this.#working.set(own, term);
  }

  /** A process takes part from now on, until it says otherwise. */
  stands(host: Host, election: string, stands: boolean): void {
    const hosts = this.#standing.get(election) ?? new Map<Host, number>();
    this.#standing.set(election, hosts);
    if (stands) hosts.set(host, this.#now());
    else hosts.delete(host);
  }

  leadSettles(host: Host, election: string): void {
    this.#working.delete(`${host.name} ${election}`);
  }

  /** A process asks to be a candidate. */
  campaigns(host: Host, election: string): void {
    const term = this.#working.get(`${host.name} ${election}`);
    if (term === undefined) return;
    this.fail(`${host.name} campaigns in ${election} while lead of its term with token ${term.token} still runs`);
  }

  /** A guarded write was committed. */
  registered(election: string, token: bigint): void {
    const last = this.#registered.get(election) ?? 0n;
    if (token < last) this.fail(`a guarded write by an old term: token ${token} after ${last} in ${election}`);
    this.#registered.set(election, token);
  }

  /** A candidate of another kind believes that it leads, or stops to. */
  goLeads(election: string, key: string, leads: boolean): void {
    const keys = this.#goLeaders.get(election) ?? new Set();
    this.#goLeaders.set(election, keys);
    if (leads) keys.add(key);
    else keys.delete(key);
  }

  /** An observer was shown a state. */
  observed(host: Host, election: string, before: bigint, { leader, revision }: LeaderChange): void {
    if (revision < before)
      this.fail(`${host.name} observed ${election} going backwards, from ${before} to ${revision}`);
    const committed = this.#history.leaderAt(election, revision);
    if (!same(leader, committed)) {
      this.fail(
        `${host.name} observed ${nameOf(leader)} leading ${election} at revision ${revision}, but it was ` +
          (committed?.value ?? "nobody"),
      );
    }
  }

  /** What an observer was shown last must be true after a while without faults. */
  observedLast(host: Host, election: string, last: Leader | null | undefined): void {
    if (host.state === "dead") return;
    const recent = this.#history.leadersSince(election, this.#now() - OBSERVER_LAG_MS);
    if (last !== undefined && recent.some((leader) => same(last, leader))) return;
    const shown = last === undefined ? "nothing" : nameOf(last);
    const truth = this.#history.leader(election)?.value ?? "nobody";
    this.fail(`${host.name} was last shown ${shown} leading ${election}, but it is ${truth}`);
  }

  /** A linearizable read was answered. */
  read(host: Host, election: string, askedAt: bigint, leader: Leader | undefined, revision: bigint): void {
    if (revision < askedAt) this.fail(`${host.name} read revision ${revision} of ${election} after ${askedAt}`);
    if (!same(leader ?? null, this.#history.leaderAt(election, revision))) {
      this.fail(`${host.name} read ${nameOf(leader ?? null)} as leader of ${election} at revision ${revision}`);
    }
  }

  /** From now on there are no faults. */
  healed(): void {
    this.#healedAt = this.#now();
    for (const election of this.#history.elections) this.#ledAt.set(election, this.#now());
  }

  /** To be called after each event; `vacancyBoundMs` once somebody must lead within it. */
  afterEvent(vacancyBoundMs: number | undefined): void {
    for (const known of this.#known) this.#checkTerm(known);
    if (this.#healedAt === undefined || this.#now() - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = this.#now();
    for (const election of this.#history.elections) this.#checkVacancy(election, vacancyBoundMs);
  }

  /** The first key is one that its process leads by, or is about to. */
  #checkAttended(election: string): void {
    const leader = this.#history.leader(election);
    const host = this.#hosts.get(leader?.value.split("#")[0] ?? "");
    const last = this.#attended.get(election);
    const settledAt = (this.#healedAt ?? 0) + SETTLED_MS;
    if (leader === undefined || host?.state !== "running" || last?.token !== leader.createRevision) {
      this.#attended.set(election, { token: leader?.createRevision ?? 0n, at: this.#now() });
    } else if (this.#working.get(`${host.name} ${election}`)?.token === leader.createRevision) last.at = this.#now();
    else if (this.#now() - Math.max(last.at, settledAt) > ABSENT_BOUND_MS) {
      this.fail(`${leader.value} leads ${election} by the key ${leader.key}, but does not know`);
    }
  }

  /** Nobody waits for ever without a key that could lead. */
  #checkStanding(election: string, boundMs: number): void {
    const since = this.#now() - (this.#healedAt ?? 0);
    const present = new Set<string>();
    const strays = new Set<string>();
    const standing = new Set([...(this.#standing.get(election)?.keys() ?? [])].map(({ name }) => name));
    for (const { value } of this.#history.keys(election)) {
      const name = value.split("#")[0] ?? "";
      if (present.has(name) || !standing.has(name)) strays.add(name);
      present.add(name);
    }
    this.#checkStrays(election, strays);
    for (const [host, seenAt] of this.#standing.get(election) ?? []) {
      if (present.has(host.name) || host.state === "dead") this.#standing.get(election)?.set(host, this.#now());
      else if (Math.min(this.#now() - seenAt, since) > boundMs) {
        this.fail(`${host.name} takes part in ${election} but has no key there for ${boundMs} ms`);
      }
    }
  }

  /** A process has one key in an election at most, and none when it does not take part. */
  #checkStrays(election: string, names: ReadonlySet<string>): void {
    const settledAt = (this.#healedAt ?? 0) + SETTLED_MS;
    for (const [name, host] of this.#hosts) {
      const id = `${name} ${election}`;
      if (!names.has(name) || host.state !== "running") this.#stray.delete(id);
      else if (!this.#stray.has(id)) this.#stray.set(id, this.#now());
      else if (this.#now() - Math.max(this.#stray.get(id) ?? 0, settledAt) > ABSENT_BOUND_MS) {
        this.fail(`${name} has a key in ${election} that it does not know of`);
      }
    }
  }

  #checkTerm(known: KnownTerm): void {
    const { election, host, term } = known;
    if (host.state === "dead") {
      this.#known.delete(known);
      return;
    }
    const { held } = term;
    const what = `${host.name} in ${election}, token ${term.token}`;
    if (known.over && held) this.fail(`held after its signal fired: ${what}`);
    if (term.signal.aborted) {
      if (held) this.fail(`held though its signal fired: ${what}`);
      if (known.over && known.unheldSince === undefined) known.unheldSince = this.#now();
      known.over = true;
      // It stays under watch for a while: a term that is over must not come back.
      if (this.#now() - (known.unheldSince ?? this.#now()) > 2 * term.ttlMs) this.#known.delete(known);
      return;
    }
    if (held) {
      known.unheldSince = undefined;
      this.#ledAt.set(election, this.#now());
      const attended = this.#attended.get(election);
      if (attended?.token === term.token) attended.at = this.#now();
      this.#checkHeld(known, what);
    } else if (host.state === "running") {
      known.unheldSince ??= this.#now();
      if (this.#now() - known.unheldSince > 2 * term.ttlMs) this.fail(`neither held nor over for long: ${what}`);
    } else known.unheldSince = undefined;
  }

  #checkHeld({ election, term }: KnownTerm, what: string): void {
    const deletedAt = this.#history.deletedByHandAt(term.key, term.token);
    if (deletedAt !== undefined) {
      const since = Math.max(deletedAt, this.#healedAt ?? Infinity);
      if (this.#now() - since > BY_HAND_BOUND_MS) this.fail(`held long after its key was deleted by hand: ${what}`);
      return;
    }
    if (!this.#assumptions.ratesWithinMargin) return;
    const leader = this.#history.leader(election);
    if (leader?.createRevision === term.token && leader.key === term.key) return;
    this.fail(`held while etcd has ${leader === undefined ? "no leader" : `${leader.value} leading`}: ${what}`);
  }

  #checkVacancy(election: string, boundMs: number | undefined): void {
    const leader = this.#history.leader(election);
    if (leader !== undefined && this.#goLeaders.get(election)?.has(leader.key) === true) {
      this.#ledAt.set(election, this.#now());
    }
    const vacancyMs = this.#now() - (this.#ledAt.get(election) ?? 0);
    if (boundMs === undefined) return;
    this.#checkStanding(election, boundMs);
    this.#checkAttended(election);
    this.#longestVacancyMs = Math.max(this.#longestVacancyMs, vacancyMs);
    if (vacancyMs <= boundMs) return;
    this.fail(`nobody leads ${election} for ${vacancyMs.toFixed(0)} ms; etcd has ${leader?.value ?? "no candidate"}`);
  }
}

function same(leader: Leader | null, committed: CommittedKey | undefined): boolean {
  if (leader === null || committed === undefined) return leader === null && committed === undefined;
  const { key, revision, value } = leader;
  return key === committed.key && revision === committed.createRevision && value === committed.value;
}

function nameOf(leader: Leader | null): string {
  return leader === null ? "nobody" : `${leader.value} (${leader.revision})`;
}

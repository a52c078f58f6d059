import type { Line } from "./candidate.ts";
import { now } from "./clock.ts";

/** One term as one process told it. All instants are of the monotonic clock. */
export interface Term {
  readonly process: string;
  readonly token: bigint;
  /** The candidate key; a peer that holds a lock does not tell it. */
  key: string | undefined;
  readonly electedAt: number;
  /** The first instant before which the term was surely held already. */
  firstHeldAt: number | undefined;
  /** The last instant at which it surely still was. */
  lastHeldAt: number | undefined;
  /** When its signal fired. */
  overAt: number | undefined;
  why: string | undefined;
}

/** A time in which a process could not run. */
export interface StandStill {
  readonly process: string;
  readonly from: number;
  readonly to: number;
}

/** Something that must not be. */
export interface Violation {
  /** Which promise: "overlap", "token", "signal" and so on. */
  readonly rule: string;
  readonly text: string;
}

/** Hears of what happened in a world, when it happened. */
export type Trace = (at: number, what: string) => void;

/** So many of each process, enough for some faults. */
const eventsMax = 300;

/** What the nodes told, in the order in which it came. */
export class History {
  readonly terms: Term[] = [];
  readonly standStills: StandStill[] = [];
  /** Instants at which processes ended. */
  readonly deaths: Map<string, number> = new Map();
  /** Keys that the harness took away by hand. */
  readonly takenKeys: Set<string> = new Set();
  /** Instants at which a member went on that had been stopped. */
  readonly thaws: number[] = [];
  /** What processes did that they should not, as it was told. */
  readonly mishaps: Violation[] = [];
  /** Writes with a token, and those of them that came after a newer one's: a fence refuses these. */
  readonly fence: { writes: number; stale: number; highest: bigint } = { writes: 0, stale: 0, highest: 0n };
  /** Guarded writes that etcd took, and those that it refused. */
  readonly guarded: { accepted: number; refused: number; unanswered: number } = {
    accepted: 0,
    refused: 0,
    unanswered: 0,
  };
  /** Codes with which a node may end at this time. */
  readonly allowedEnds: Set<string> = new Set();
  readonly #trace: Trace;
  readonly #events = new Map<string, { readonly at: number; readonly text: string }[]>();
  readonly #failures = new Map<string, { readonly code: string; readonly message: string }>();

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  told(process: string, line: Line): void {
    if (line.t === "elected") this.#trace(line.at, `${process} is elected with token ${line.token}`);
    if (line.t === "over") this.#trace(line.at, `${process} is told that token ${line.token} is over: ${line.why}`);
    if (line.t === "gap") this.#trace(line.to, `${process} stood still for ${(line.to - line.from).toFixed(0)} ms`);
    switch (line.t) {
      case "elected":
        this.#term(process, BigInt(line.token), line.at).key = line.key;
        return;
      case "held": {
        const term = this.#term(process, BigInt(line.token), line.from);
        term.firstHeldAt ??= line.to;
        term.lastHeldAt = Math.max(term.lastHeldAt ?? 0, line.from);
        return;
      }
      case "over": {
        const term = this.#term(process, BigInt(line.token), line.at);
        term.overAt = line.at;
        term.why = line.why;
        return;
      }
      case "gap":
        this.stoodStill(process, line.from, line.to);
        return;
      case "fence":
        this.#fence(BigInt(line.token));
        return;
      case "wrote":
        this.guarded[line.accepted ? "accepted" : "refused"]++;
        return;
      case "unwritten":
        this.guarded.unanswered++;
        return;
      case "failed":
        this.#failures.set(process, line);
        return;
      case "event":
        this.#event(process, line.at, `${line.name} ${line.text}`);
        return;
      case "usage":
      case "rest":
      case "done":
    }
  }

  stoodStill(process: string, from: number, to: number): void {
    this.standStills.push({ process, from, to });
  }

  /** The last that a process's client said of itself since an instant. */
  eventsOf(process: string, since: number): string[] {
    const events = this.#events.get(process) ?? [];
    return events.filter(({ at }) => at >= since).map(({ at, text }) => `${at.toFixed(0)} ${process} ${text}`);
  }

  /** The code with which a process said that it failed. */
  failureOf(process: string): string | undefined {
    return this.#failures.get(process)?.code;
  }

  /** The longest time since an instant in which a process could not run. */
  longestStandStillMs(process: string, since: number): number {
    const own = this.standStills.filter((each) => each.process === process && each.to > since);
    return Math.max(0, ...own.map(({ from, to }) => to - from));
  }

  died(process: string, at: number): void {
    this.#trace(at, `${process} ended`);
    this.deaths.set(process, at);
  }

  /** A process ended that nobody had asked to. */
  endedByItself(process: string, how: string): void {
    const failure = this.#failures.get(process);
    if (failure !== undefined && this.allowedEnds.has(failure.code)) return;
    const why = failure === undefined ? "" : `: ${failure.code}: ${failure.message}`;
    this.mishaps.push({ rule: "process", text: `${process} ended by itself with ${how}${why}` });
  }

  /** A process wrote on stderr. */
  complained(process: string, text: string): void {
    if (text.trim() === "") return;
    this.mishaps.push({ rule: "stderr", text: `${process} wrote on stderr: ${text}` });
  }

  /** The newest term that was held a moment ago. */
  current(withinMs = 200): Term | undefined {
    const since = now() - withinMs;
    return this.terms.findLast(
      (term) => (term.lastHeldAt ?? 0) >= since && term.overAt === undefined && !this.deaths.has(term.process),
    );
  }

  /** The first term held that is newer than this token. */
  successor(token: bigint): Term | undefined {
    return this.terms.find((term) => term.token > token && term.firstHeldAt !== undefined);
  }

  #term(process: string, token: bigint, at: number): Term {
    const known = this.terms.findLast((term) => term.process === process && term.token === token);
    if (known !== undefined) return known;
    const none = { key: undefined, firstHeldAt: undefined, lastHeldAt: undefined, overAt: undefined, why: undefined };
    const term: Term = { process, token, electedAt: at, ...none };
    this.terms.push(term);
    return term;
  }

  #event(process: string, at: number, text: string): void {
    this.#trace(at, `${process}: ${text}`);
    const events = this.#events.get(process) ?? [];
    this.#events.set(process, events);
    events.push({ at, text });
    if (events.length > eventsMax) events.shift();
  }

  #fence(token: bigint): void {
    this.fence.writes++;
    if (token < this.fence.highest) this.fence.stale++;
    else this.fence.highest = token;
  }
}

import { systemClock } from "@tenure/etcd/runtime";
import { TenureError, type Term } from "tenure";
import { processBeat } from "./beat.ts";
import type { ServiceGuard } from "./guard-link.ts";
import type { Orders } from "./signals.ts";
import type { Timings } from "./timings.ts";

/** Why the program has to end. */
export interface Ending {
  readonly t:
    /** The supervisor was told to end. */
    | "stopped"
    /** The term is over, or may be soon. */
    | "lost"
    /** Somebody asked for a transfer, which is done when the program has ended. */
    | "transferred"
    /** This node is not fit to lead, and another one stands by. */
    | "unhealthy"
    /** An operator has this node make way. */
    | "resigned";
  /** The same for people. */
  readonly reason: string;
}

/**
 * So many times in a TTL the lease is looked at, and once a second: the guard has to hear of every keep-alive, and
 * nothing tells us of them. All watches of a process look together, which for each of them is as often or more often.
 */
const BEATS = 12;
const LONGEST_BEAT_MS = 1000;

/** Watches a term for what ends it, and knows how long the program may take to stop. */
export class TermWatch implements Disposable {
  /** Resolves when the program has to end. */
  readonly ended: Promise<Ending>;
  readonly #term: Term;
  readonly #timings: Timings;
  readonly #signals: Orders;
  readonly #guard: ServiceGuard | undefined;
  readonly #settle: (ending: Ending) => void;
  #ending: Ending | undefined;
  #stopBy: number | undefined;
  /** When whatever runs must be killed, as far as the lease says. */
  #killAt: number;
  #disposed = false;

  constructor(term: Term, timings: Timings, signals: Orders, guard: ServiceGuard | undefined) {
    this.#term = term;
    this.#timings = timings;
    this.#signals = signals;
    this.#guard = guard;
    let settle: (ending: Ending) => void = () => undefined;
    this.ended = new Promise((resolve) => (settle = resolve));
    this.#settle = settle;
    this.#killAt = systemClock.now() + term.provenForMs - timings.killMarginMs;
    signals.stop.addEventListener("abort", this.#look);
    term.signal.addEventListener("abort", this.#look);
    this.#look();
  }

  /** Why the program has to end; undefined while it may run. Looks at the clock, not at what a timer found. */
  get ending(): Ending | undefined {
    this.#look();
    return this.#ending;
  }

  /** Whether the term is held at this instant; it may be in doubt for the moment. */
  get held(): boolean {
    return this.#term.held;
  }

  /** Whether the program need not stop yet, by the clock at this instant; merely looks. */
  get mayRun(): boolean {
    const { held, provenForMs } = this.#term;
    const told = this.#ending !== undefined || this.#signals.stop.aborted;
    return !told && !this.#disposed && held && provenForMs > this.#timings.stopAtMs;
  }

  /** Milliseconds until whatever still runs has to be killed. */
  readonly graceMs = (): number => {
    this.#look();
    const now = systemClock.now();
    if (this.#signals.hurry.aborted) return 0;
    return Math.max(0, Math.min(this.#killAt, this.#stopBy ?? Infinity) - now);
  };

  /** This node is not fit to lead, and another one is. */
  unhealthy(why: string): void {
    this.#end("unhealthy", why);
  }

  /** This node is to make way for another one. */
  resigned(why: string): void {
    this.#end("resigned", why);
  }

  /** The guard has killed everything: the deadline had passed. */
  overdue(): void {
    this.#end("lost", "this process stood still for too long; its guard stopped the program");
  }

  /** Nothing runs any more that has to be killed in time. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    processBeat.cancel(this.#look);
    this.#signals.stop.removeEventListener("abort", this.#look);
    this.#term.signal.removeEventListener("abort", this.#look);
    this.#guard?.deadline(undefined);
  }

  readonly #look = (): void => {
    if (this.#disposed) return;
    const { ttlMs, stopAtMs, killMarginMs } = this.#timings;
    const beatMs = Math.min(LONGEST_BEAT_MS, ttlMs / BEATS);
    const { provenForMs } = this.#term;
    const now = systemClock.now();
    if (provenForMs > 0) {
      this.#killAt = now + provenForMs - killMarginMs;
      this.#guard?.deadline(this.#killAt);
    }
    this.#noticeEnd();
    if (this.#ending === undefined && this.#killAt - now <= stopAtMs - killMarginMs) {
      this.#end("lost", "no keep-alive was answered in time");
    }
    const untilStopMs = this.#ending === undefined ? this.#killAt - now - (stopAtMs - killMarginMs) : beatMs;
    processBeat.within(Math.min(beatMs, untilStopMs), this.#look);
  };

  /** Derives why the program has to end from the term and the signals. */
  #noticeEnd(): void {
    const { signal } = this.#term;
    if (signal.aborted) {
      const error = TenureError.from(signal.reason);
      if (error.code === "not-leader") return this.#end("transferred", error.message);
      // Gone in etcd already: another may lead. A lease that we only cannot keep any more lasts until its deadline.
      if (error.sessionEnd === undefined || error.sessionEnd === "revoked") this.#killAt = -Infinity;
      this.#end("lost", error.message);
    }
    const { stop, why } = this.#signals;
    if (stop.aborted) this.#end("stopped", why);
  }

  #end(t: Ending["t"], reason: string): void {
    if (this.#ending !== undefined) return;
    this.#ending = { t, reason };
    this.#stopBy = systemClock.now() + this.#timings.stopTimeoutMs;
    this.#settle(this.#ending);
  }
}

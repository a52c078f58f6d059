import { pause, until } from "../../support/until.ts";
import type { Candidate } from "./candidate.ts";
import type { Chance } from "./chance.ts";
import { now } from "./clock.ts";
import { type Bounds, boundsOf } from "./bounds.ts";
import type { Violation } from "./history.ts";
import type { World } from "./world.ts";

/** What becomes of the leadership: the term goes on, another one follows, or neither is certain. */
export type Expectation = "kept" | "lost" | "either";

/** What a fault hits; two faults at once hit different things. */
export type Target = "members" | "links" | "nodes" | "store" | "security";

/** One way in which things go wrong. */
export interface FaultKind {
  readonly name: string;
  /** What is done, for the list of kinds. */
  readonly says: string;
  readonly target: Target;
  /** Injects the fault, waits, heals it; returns what is expected of the leadership. */
  readonly run: (scene: Scene) => Promise<Expectation>;
  /** Only in a cluster with TLS and users. */
  readonly secureOnly?: boolean;
  /** A long scenario that runs only when it is named. */
  readonly onlyByName?: boolean;
  /** Whether it ends the process of the leader, which therefore must not be one that is spared. */
  readonly endsLeader?: boolean;
  /** Whether it may happen together with another one. */
  readonly alone?: boolean;
  /** Where more is known than the bound of all kinds: how soon somebody leads after it has healed. */
  readonly leadsWithinMs?: number;
}

/** One fault under way. */
export class Scene {
  readonly world: World;
  readonly chance: Chance;
  readonly bounds: Bounds;
  /** Who led when it began. */
  readonly leader: Candidate;
  readonly token: bigint;
  /** Another fault happens at the same time: what this one would lead to alone is no longer certain. */
  readonly overlapped: boolean;
  readonly violations: Violation[] = [];
  readonly notes: string[] = [];
  /** When the leader was hit, for the time until the next one leads. */
  hitAt: number | undefined;
  failoverMs: number | undefined;
  /** How long a fault lasts on once another one leads, to see what the old leader does. */
  readonly #lingerMs: number;

  constructor(world: World, chance: Chance, leader: Candidate, token: bigint, overlapped: boolean, lingerMs = 0) {
    this.world = world;
    this.chance = chance;
    this.bounds = boundsOf(world.ttlMs);
    this.leader = leader;
    this.token = token;
    this.overlapped = overlapped;
    this.#lingerMs = lingerMs;
  }

  get standbys(): Candidate[] {
    return this.world.candidates.filter((candidate) => candidate !== this.leader);
  }

  /** A standby whose process may end. */
  get mortal(): Candidate {
    return this.chance.pick(this.standbys.filter((candidate) => candidate !== this.world.spared));
  }

  /** From now on it counts how long it takes until another one leads. */
  hit(): void {
    this.hitAt = now();
    this.world.trace(this.hitAt, "the leader is hit");
  }

  /** Waits until another one leads, in time. */
  async successor(withinMs: number = this.bounds.failoverMs): Promise<void> {
    const { pulse } = this.world;
    const { history } = this.world;
    const from = this.hitAt ?? now();
    try {
      const successor = () => history.successor(this.token);
      const term = await pulse
        .awaited(successor, { what: "successor", timeoutMs: withinMs })
        .catch((error: unknown) => {
          // Another leader of etcd gives each lease its whole TTL again.
          if (!this.overlapped && pulse.longestSilenceMs(from) < this.bounds.etcdElectionMs) throw error;
          const timeoutMs = Math.max(0, this.bounds.recoveryMs - withinMs);
          return pulse.awaited(successor, { what: "successor", timeoutMs });
        });
      this.failoverMs = Math.max(0, (term.firstHeldAt ?? 0) - from);
      await pause(this.#lingerMs);
    } catch {
      const ms = (now() - from).toFixed(0);
      if (!this.overlapped) this.violation("failover", `nobody else led ${ms} ms after the leader was hit`);
    }
  }

  /** Waits until the leader's signal has fired, or its process ended. */
  async lost(withinMs: number): Promise<void> {
    const { history } = this.world;
    const term = history.terms.findLast(({ token }) => token === this.token);
    const over = () => term !== undefined && (term.overAt !== undefined || history.deaths.has(term.process));
    await until(over, { what: "end of the term", timeoutMs: withinMs }).catch(() => {
      if (!this.overlapped) this.violation("signal", `the leader was not told within ${withinMs} ms`);
    });
  }

  readonly violation = (rule: string, text: string): void => {
    this.violations.push({ rule, text });
  };

  /** Lets the fault last. */
  readonly lasts = async (fromMs: number, toMs: number = fromMs): Promise<void> => {
    await pause(this.chance.whole(fromMs, toMs));
  };

  /** Tells what was measured. */
  note(text: string): void {
    this.notes.push(text);
  }
}

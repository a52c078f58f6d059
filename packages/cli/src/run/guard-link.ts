import { type GuardedStore, GuardLink as LeaseGuardLink, type LeaseGuard, type OtherMessage } from "tenure/guard";
import type { TreeMark } from "./census.ts";
import { type GuardReport, type Moment, momentIn, type RunMessage } from "./guard-protocol.ts";
import type { Notes } from "./log.ts";

/** A deadline that moved by less is the same: a clock that is read twice. */
const SAME_DEADLINE_MS = 20;

/** The guard, as one of the services sees it that this process runs. */
export interface ServiceGuard {
  /** A tree that must not outlive this process; told again when its group is known. */
  tree(tree: TreeMark): void;
  /** Nothing of a tree lives any more. */
  gone(id: string): void;
  /** The service's trees are to be killed in so many milliseconds, unless told otherwise by then; undefined: never. */
  deadline(durationMs: number | undefined): void;
}

/** A supervisor's side of its guard: tells it what runs, and for how long it may. */
export class GuardLink implements LeaseGuard {
  readonly #link: LeaseGuardLink;
  /** What each service does when the guard had to kill what it ran. */
  readonly #onFired = new Map<string, () => void>();

  constructor(store: GuardedStore, log: Notes) {
    this.#link = new LeaseGuardLink({
      program: new URL("./guard.js", import.meta.url),
      store,
      onLost: (why) => log.note(`the guard ended (${why}); starting another`),
      onReport: (report) => this.#reported(report),
      speaks: true,
    });
  }

  /** The lease to revoke when this process dies. */
  lease(leaseId: bigint, ttlMs: number): void {
    this.#link.lease(leaseId, ttlMs);
  }

  /** A lease that needs no revocation any more. */
  released(leaseId: bigint): void {
    this.#link.released(leaseId);
  }

  /**
   * The guard for one of several services.
   *
   * @param onFired told when the guard kills what the service runs, because its deadline has passed
   */
  service(owner: string, onFired: () => void): ServiceGuard {
    this.#onFired.set(owner, onFired);
    let known: Moment | null = null;
    return {
      tree: (tree) => this.#link.keep(`tree ${tree.id}`, { t: "tree", owner, tree } satisfies RunMessage),
      gone: (id) => this.#link.drop(`tree ${id}`, { t: "gone", id } satisfies RunMessage),
      deadline: (durationMs) => {
        const at = durationMs === undefined ? null : momentIn(durationMs);
        if (isSame(at, known)) return;
        known = at;
        this.#link.keep(`deadline ${owner}`, { t: "deadline", owner, at } satisfies RunMessage);
      },
    };
  }

  /** Ends the guard: there is nothing left to guard. */
  close(): void {
    this.#link.close();
  }

  #reported(message: OtherMessage): void {
    const { owner } = message as GuardReport;
    this.#onFired.get(owner)?.();
  }
}

function isSame(one: Moment | null, other: Moment | null): boolean {
  if (one === null || other === null) return one === other;
  return Math.abs(one.monotonicMs - other.monotonicMs) < SAME_DEADLINE_MS;
}

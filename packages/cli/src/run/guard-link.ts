import { type GuardedStore, GuardLink as LeaseGuardLink, type LeaseGuard, type OtherMessage } from "tenure/guard";
import type { TreeMark } from "./census.ts";
import { type GuardReport, type Moment, momentAt, type RunMessage } from "./guard-protocol.ts";
import type { Notes } from "./log.ts";

/** A deadline that moved by less is the same: a clock that is read twice. */
const SAME_DEADLINE_MS = 20;

/** The guard, as one of the services sees it that this process runs. */
export interface ServiceGuard {
  /** A tree that must not outlive this process; told again when its group is known. */
  tree(tree: TreeMark): void;
  /** Nothing of a tree lives any more. */
  gone(id: string): void;
  /** The service's trees are to be killed when our clock shows that, unless told otherwise; undefined: never. */
  deadline(at: number | undefined): void;
}

/** A supervisor's side of its guard: tells it what runs, and for how long it may. */
export class GuardLink implements LeaseGuard {
  readonly #link: LeaseGuardLink;
  /** What each service does when the guard had to kill what it ran. */
  readonly #onFired = new Map<string, () => void>();
  /** Deadlines that the guard has not been told of yet, by service. */
  readonly #moved = new Map<string, number | undefined>();

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
    let known: number | undefined;
    return {
      tree: (tree) => {
        this.#tellDeadlines();
        this.#link.keep(`tree ${tree.id}`, { t: "tree", owner, tree } satisfies RunMessage);
      },
      gone: (id) => {
        this.#tellDeadlines();
        this.#link.drop(`tree ${id}`, { t: "gone", id } satisfies RunMessage);
      },
      deadline: (at) => {
        if (isSame(at, known)) return;
        known = at;
        if (this.#moved.size === 0) queueMicrotask(() => this.#tellDeadlines());
        this.#moved.set(owner, at);
      },
    };
  }

  /** Ends the guard: there is nothing left to guard. */
  close(): void {
    this.#link.close();
  }

  /**
   * A keep-alive moves the deadlines of all services at once, so the guard is told of all that moved in one turn of
   * the event loop by one message for each deadline. Whatever stops this process until then leaves the earlier one to
   * count, and what is told of trees comes after the deadlines that were set before it.
   */
  #tellDeadlines(): void {
    const alike = new Map<number | undefined, string[]>();
    for (const [owner, at] of this.#moved) {
      const owners = alike.get(at);
      if (owners === undefined) alike.set(at, [owner]);
      else owners.push(owner);
    }
    this.#moved.clear();
    for (const [at, owners] of alike) this.#tellDeadline(owners, at === undefined ? null : momentAt(at));
  }

  #tellDeadline(owners: readonly string[], at: Moment | null): void {
    const message = (some: readonly string[]) => ({ t: "deadline", owners: some, at }) satisfies RunMessage;
    this.#link.keepEach(
      owners.map((owner) => [`deadline ${owner}`, message([owner])]),
      message(owners),
    );
  }

  #reported(message: OtherMessage): void {
    const { owner } = message as GuardReport;
    this.#onFired.get(owner)?.();
  }
}

function isSame(one: number | undefined, other: number | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return Math.abs(one - other) < SAME_DEADLINE_MS;
}

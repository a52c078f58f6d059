import { EtcdServer } from "@tenure/embed";
import type { LeaseGrantResponse } from "@tenure/etcd/rpc";
import { ManualClock, seededRandom } from "@tenure/etcd/runtime";
import type { Chance } from "./chance.ts";
import { LeaseTable } from "./lease-table.ts";
import { Member } from "./member.ts";
import { applyTo, type Operation, type Outcome, revokeOf } from "./operation.ts";
import { cancel, type Scheduled, type Scheduler } from "./scheduler.ts";
import type { Trace } from "./trace.ts";

/** A write that has its place in the history for good. */
export interface Entry {
  readonly operation: Operation;
  /** Done by hand, past every candidate. */
  readonly byHand: boolean;
}

/** A write on its way into the log. */
interface Proposal extends Entry {
  /** The member that took it; undefined for the leader's own. */
  readonly from: Member | undefined;
  /** Valid only while this leader leads, as the end of a lease is that it counted. */
  readonly term: number | undefined;
  readonly committed: (index: number) => void;
  readonly dropped: () => void;
}

/** What a cluster is made of. */
export interface ClusterOptions {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly trace: Trace;
  /** The clock rate of each member. */
  readonly rates: readonly number[];
  /** Told of each entry just before it is committed. */
  readonly onCommit: (entry: Entry) => void;
}

const SCAN_MS = 500;
const ELECTION_TIMEOUT_MS = 1000;
const HOLD_WITHIN_MS = 2000;

/**
 * An etcd cluster: one log, replicas that carry it out in order and at their own pace, and a leader that counts leases.
 *
 * What Raft does is taken for granted: an entry is committed once, in one order, while a leader reaches a majority.
 */
export class Cluster {
  readonly members: readonly Member[];
  readonly leases: LeaseTable = new LeaseTable();
  /** Carries out each entry the moment it is committed: the truth. */
  readonly reference: EtcdServer;
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly trace: Trace;
  readonly #onCommit: ClusterOptions["onCommit"];
  readonly #log: Entry[] = [];
  #parked: Proposal[] = [];
  #leader: Member | undefined;
  #term = 0;
  #election: Scheduled | undefined;
  /** Proposals that are still to be held back, and for how long. */
  #holdNext = { count: 0, ms: 0, until: 0 };

  constructor({ scheduler, chance, trace, rates, onCommit }: ClusterOptions) {
    this.scheduler = scheduler;
    this.chance = chance;
    this.trace = trace;
    this.#onCommit = onCommit;
    // Replicas made of the same chance choose the same ids.
    const seed = chance.whole(1, 1_000_000);
    const replica = (): EtcdServer =>
      new EtcdServer({ clock: new ManualClock(), random: seededRandom(seed), firstRevision: 1n });
    this.reference = replica();
    this.members = rates.map((rate, index) => new Member(`etcd${index}`, rate, replica(), this));
    this.#promote(chance.pick(this.members));
    this.#scan();
  }

  get leader(): Member | undefined {
    return this.#leader;
  }

  /** How many entries are committed. */
  get committed(): number {
    return this.#log.length;
  }

  entry(index: number): Entry | undefined {
    return this.#log[index];
  }

  /** Whether anything can be committed now. */
  get working(): boolean {
    return this.#leader?.connected === true && this.#hasMajority;
  }

  /** Whether this member can reach a working leader. */
  reachesLeader(member: Member): boolean {
    return this.working && member.connected;
  }

  /** Milliseconds for a message among members. */
  hopMs(): number {
    return this.chance.between(0.2, 2);
  }

  /** Proposes a write through a member; `committed` hears its index, if ever. */
  propose(from: Member, operation: Operation, committed: (index: number) => void, byHand = false): void {
    const proposal = { from, operation, byHand, term: undefined, committed, dropped: () => undefined };
    let waitMs = this.hopMs() * (from === this.#leader ? 1 : 2);
    if (this.#holdNext.count > 0 && this.scheduler.now < this.#holdNext.until && !byHand) {
      this.#holdNext.count--;
      waitMs += this.#holdNext.ms;
      this.trace.add(from.name, () => `holds a ${operation.t} back for ${this.#holdNext.ms.toFixed(0)} ms`);
    }
    this.scheduler.after(waitMs, () => this.#commitOrPark(proposal));
  }

  /** The next proposals of these seconds are committed late, whether or not anybody still waits. */
  holdNext(count: number, ms: number): void {
    this.#holdNext = { count, ms, until: this.scheduler.now + HOLD_WITHIN_MS };
  }

  /** The leader steps aside without a failure of any member. */
  changeLeader(): void {
    this.#lead(undefined);
    this.#electSoon(this.chance.between(300, 2000));
  }

  /** To be called when a member's connections changed. */
  reconsider(): void {
    if (this.working) {
      cancel(this.#election);
      this.#election = undefined;
      this.#flush(0);
    } else if (this.#election?.run === undefined) {
      this.#electSoon(ELECTION_TIMEOUT_MS * this.chance.between(1, 2));
    }
    for (const member of this.members) member.noteLeader();
  }

  get #hasMajority(): boolean {
    return this.members.filter(({ connected }) => connected).length * 2 > this.members.length;
  }

  #electSoon(delayMs: number): void {
    cancel(this.#election);
    this.#election = this.scheduler.after(delayMs, () => {
      if (this.working) return;
      const connected = this.members.filter((member) => member.connected);
      if (this.#hasMajority) this.#promote(this.chance.pick(connected));
      else this.#lead(undefined);
    });
  }

  #promote(member: Member): void {
    const isFirst = this.#term === 0;
    this.#term++;
    this.#lead(member);
    this.trace.add(member.name, () => `leads etcd in term ${this.#term}`);
    member.applyNow();
    this.leases.promoted(member.rate, this.scheduler.now);
    // What was under way under the former leader is lost, or carried out after all.
    if (!isFirst) this.#flush(0.5);
  }

  #lead(member: Member | undefined): void {
    this.#leader = member;
    for (const each of this.members) each.noteLeader();
  }

  #flush(lost: number): void {
    const parked = this.#parked;
    this.#parked = [];
    for (const proposal of parked) {
      if (this.chance.happens(lost)) proposal.dropped();
      else this.scheduler.after(this.chance.between(0, 1000), () => this.#commitOrPark(proposal));
    }
  }

  #commitOrPark(proposal: Proposal): void {
    if (proposal.term !== undefined && (proposal.term !== this.#term || !this.working)) return proposal.dropped();
    if (!this.working || proposal.from?.connected === false) {
      this.#parked.push(proposal);
      return;
    }
    const index = this.#log.length;
    const { operation, byHand } = proposal;
    this.#log.push({ operation, byHand });
    this.#onCommit({ operation, byHand });
    const outcome = applyTo(this.reference, operation);
    this.#count(operation, outcome);
    proposal.committed(index);
    for (const member of this.members) {
      if (member === this.#leader) member.applyNow();
      else member.applySoon();
    }
  }

  #count(operation: Operation, outcome: Outcome): void {
    if (outcome.t === "refused") return;
    if (operation.t === "grant") {
      const { ID, TTL } = outcome.answer as LeaseGrantResponse;
      this.leases.granted(ID, Number(TTL), this.scheduler.now);
    } else if (operation.t === "revoke") this.leases.revoked(operation.request.ID);
  }

  #scan(): void {
    this.scheduler.after(SCAN_MS, () => this.#scan());
    if (!this.working) return;
    for (const id of this.leases.takeExpired(this.scheduler.now)) {
      this.trace.add("etcd", () => `lease ${id.toString(16)} has run out`);
      const operation = revokeOf(id);
      const dropped = (): void => this.leases.notEnded(id);
      const proposal = { from: undefined, operation, byHand: false, term: this.#term, committed: noop, dropped };
      this.scheduler.after(this.hopMs(), () => this.#commitOrPark(proposal));
    }
  }
}

function noop(): void {
  // The leader's own proposals have nobody who waits for them.
}

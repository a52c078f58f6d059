import type { EtcdServer } from "@tenure/embed";
import type { Cluster } from "./cluster.ts";
import { applyTo, type Operation, type Outcome } from "./operation.ts";
import { cancel, type Scheduled } from "./scheduler.ts";

/** Milliseconds after which a member that hears of no leader says so. */
const NO_LEADER_MS = 1000;
/** And after which it ends the streams of clients that want a leader. */
const STREAMS_END_MS = 3000;

/** A member of the cluster: its replica, how far that is, and what it can reach. */
export class Member {
  readonly name: string;
  /** Milliseconds of its clock for each real one. */
  readonly rate: number;
  readonly server: EtcdServer;
  readonly cluster: Cluster;
  /** What happens to each connection when the process ends, and to each stream when there is no leader. */
  readonly onDown: Set<() => void> = new Set();
  readonly onNoLeader: Set<() => void> = new Set();
  /** Milliseconds from a commit until this member has carried it out. */
  lagMs: number;
  readonly usualLagMs: number;
  #applied = 0;
  #down = false;
  #frozen = false;
  #isolated = false;
  #applying: Scheduled | undefined;
  #leaderless: { readonly since: number; readonly end: Scheduled } | undefined;
  readonly #arrived: (() => void)[] = [];
  readonly #answers = new Map<number, (outcome: Outcome) => void>();
  #reads: { readonly index: number; readonly run: () => void }[] = [];

  constructor(name: string, rate: number, server: EtcdServer, cluster: Cluster) {
    this.name = name;
    this.rate = rate;
    this.server = server;
    this.cluster = cluster;
    this.usualLagMs = cluster.chance.between(0.2, 3);
    this.lagMs = this.usualLagMs;
  }

  get down(): boolean {
    return this.#down;
  }

  /** Whether it runs and reaches the other members. */
  get connected(): boolean {
    return !this.#down && !this.#frozen && !this.#isolated;
  }

  /** Whether it has known for a while that there is no leader. */
  get knowsNoLeader(): boolean {
    return this.#leaderless !== undefined && this.cluster.scheduler.now - this.#leaderless.since > NO_LEADER_MS;
  }

  /** Handles what arrived, now or when it is no longer frozen. */
  deliver(run: () => void): void {
    if (this.#frozen) this.#arrived.push(run);
    else if (!this.#down) run();
  }

  freeze(frozen: boolean): void {
    this.#frozen = frozen;
    this.#changed();
    if (!frozen) for (const run of this.#arrived.splice(0)) this.deliver(run);
  }

  /** Cuts it off from the other members; clients still reach it. */
  isolate(isolated: boolean): void {
    this.#isolated = isolated;
    this.#changed();
  }

  stop(): void {
    this.#down = true;
    this.#arrived.length = 0;
    this.#answers.clear();
    this.#reads = [];
    for (const end of Array.from(this.onDown)) end();
    this.#changed();
  }

  start(): void {
    this.#down = false;
    this.#changed();
  }

  /** Proposes a write and answers when this member has carried it out. */
  propose(operation: Operation, answer: (outcome: Outcome) => void, byHand = false): void {
    this.cluster.propose(
      this,
      operation,
      (index) => {
        if (!this.#down) this.#answers.set(index, answer);
      },
      byHand,
    );
  }

  /** Runs a linearizable read: when this member has carried out whatever was committed when it was asked. */
  read(run: () => void): void {
    this.cluster.scheduler.after(this.cluster.hopMs() * 2, () => {
      // Without a leader nobody can say how far one must be; the caller has a limit.
      if (!this.cluster.reachesLeader(this)) return this.#later(() => this.read(run));
      const index = this.cluster.committed;
      if (this.#applied >= index) run();
      else this.#reads.push({ index, run });
    });
  }

  /** Renews a lease at the leader; answers its TTL in seconds. */
  keepAlive(id: bigint, answer: (ttlSeconds: number) => void): void {
    const { cluster } = this;
    const toLeaderMs = cluster.leader === this ? 0 : cluster.hopMs();
    cluster.scheduler.after(toLeaderMs, () => {
      if (!cluster.reachesLeader(this)) return this.#later(() => this.keepAlive(id, answer));
      cluster.leases.keepAlive(id, cluster.scheduler.now, (ttlSeconds) => {
        cluster.scheduler.after(toLeaderMs, () => this.deliver(() => answer(ttlSeconds)));
      });
    });
  }

  /** Carries out everything that is committed, at once: it leads. */
  applyNow(): void {
    cancel(this.#applying);
    while (this.#applied < this.cluster.committed) this.#apply();
  }

  /** Carries out the next entry after this member's lag, then the one after it. */
  applySoon(): void {
    if (this.#applying?.run !== undefined || this.#applied >= this.cluster.committed || !this.connected) return;
    const waitMs = this.lagMs * this.cluster.chance.between(0.5, 1.5);
    this.#applying = this.cluster.scheduler.after(waitMs, () => {
      if (!this.connected) return;
      // What was committed meanwhile came by the same messages.
      this.applyNow();
    });
  }

  /** Looks again whether there is a leader it can reach. */
  noteLeader(): void {
    const reaches = this.cluster.leader !== undefined && this.connected && this.cluster.leader.connected;
    if (reaches || this.#down) {
      cancel(this.#leaderless?.end);
      this.#leaderless = undefined;
    } else if (this.#leaderless === undefined) {
      const { scheduler } = this.cluster;
      const end = scheduler.after(STREAMS_END_MS, () => {
        for (const tell of Array.from(this.onNoLeader)) tell();
      });
      this.#leaderless = { since: scheduler.now, end };
    }
  }

  #changed(): void {
    if (this.connected) this.applySoon();
    else cancel(this.#applying);
    this.cluster.reconsider();
  }

  #later(run: () => void): void {
    this.cluster.scheduler.after(this.cluster.chance.between(50, 200), () => {
      if (!this.#down) this.deliver(run);
    });
  }

  #apply(): void {
    const index = this.#applied++;
    const entry = this.cluster.entry(index);
    if (entry === undefined) throw new Error(`${this.name}: the log has no entry ${index}`);
    const outcome = applyTo(this.server, entry.operation);
    this.#answers.get(index)?.(outcome);
    this.#answers.delete(index);
    const ready = this.#reads.filter((read) => read.index <= this.#applied);
    if (ready.length === 0) return;
    this.#reads = this.#reads.filter((read) => read.index > this.#applied);
    for (const { run } of ready) run();
  }
}

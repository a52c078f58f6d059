import { create } from "@bufbuild/protobuf";
import { CompactionRequestSchema, DeleteRangeRequestSchema } from "@tenure/etcd/rpc";
import type { Chance } from "./chance.ts";
import type { FaultKind } from "./fault-kinds.ts";
import { GoCandidate } from "./go-candidate.ts";
import { electionPrefix } from "./history.ts";
import { type Link, mend, type Path, usualJitterMs } from "./link.ts";
import type { Member } from "./member.ts";
import { revokeOf } from "./operation.ts";
import type { Plan } from "./plan.ts";
import type { Process } from "./process.ts";
import type { World } from "./world.ts";

/** The processes of a world, and how one is replaced that has ended. */
export interface Population {
  /** Those that have not ended. */
  readonly alive: () => readonly Process[];
  readonly replace: (process: Process) => void;
}

/** Does harm, of the kinds and as often as the plan says, until it heals everything. */
export class Nemesis {
  /** How often each kind of fault was injected. */
  readonly counts: Map<FaultKind, number> = new Map();
  readonly #world: World;
  readonly #plan: Plan;
  readonly #population: Population;
  readonly #chance: Chance;
  /** What undoes the faults that last. */
  readonly #remedies = new Set<() => void>();
  readonly #goCandidates: GoCandidate[] = [];
  #healed = false;

  constructor(world: World, plan: Plan, population: Population) {
    this.#world = world;
    this.#plan = plan;
    this.#population = population;
    this.#chance = world.chance.fork("nemesis");
  }

  start(): void {
    for (const [kind, meanMs] of this.#plan.faults) {
      if (LASTING.has(kind)) this.#count(kind);
      else this.#again(kind, meanMs);
    }
  }

  /** Ends all faults. What half-open connections there are stay so: nobody tells a process of those. */
  heal(): void {
    this.#healed = true;
    for (const remedy of Array.from(this.#remedies)) remedy();
    for (const candidate of this.#goCandidates) candidate.stop();
    // The last of these ends well before anything is asked of the world without faults.
    if (this.#plan.faults.has("commit-late")) this.#act("commit-late");
    for (const path of this.#paths()) {
      mend(path);
      for (const link of path.links) link.loseNothingMore();
    }
  }

  #again(kind: FaultKind, meanMs: number): void {
    const waitMs = -Math.log(1 - this.#chance.fraction()) * meanMs;
    this.#world.scheduler.after(waitMs, () => {
      if (this.#healed) return;
      this.#inject(kind);
      this.#again(kind, meanMs);
    });
  }

  #count(kind: FaultKind): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  #inject(kind: FaultKind): void {
    const target = this.#act(kind);
    if (target === undefined) return;
    this.#count(kind);
    this.#world.trace.add("nemesis", () => `${kind}: ${target}`);
  }

  /** Does one fault; returns what it hit, or undefined when there was nothing to hit. */
  #act(kind: FaultKind): string | undefined {
    switch (kind) {
      case "slow-messages":
      case "reordered-connections":
        return this.#slow(kind);
      case "request-lost":
        return this.#onLink((link) => (link.requestsToLose = this.#chance.whole(1, 3)));
      case "reply-lost":
        return this.#onLink((link) => (link.answersToLose = this.#chance.whole(1, 3)));
      case "connection-cut":
        return this.#onLink((link) => link.cut());
      case "half-open": {
        const losses = this.#chance.pick(LOSSES);
        return this.#onLink((link) => link.fallSilent(losses));
      }
      case "partition":
        return this.#partition();
      case "process-freeze":
        return this.#pauseProcess((process) => process.host.freeze());
      case "process-suspend":
        return this.#pauseProcess((process) => process.host.suspend());
      case "process-crash":
        return this.#endProcess((process) => process.crash(false));
      case "machine-crash":
        return this.#endProcess((process) => process.crash(true));
      case "process-stop":
        return this.#endProcess((process) => process.stop());
      case "key-deletion":
      case "lease-revocation":
        return this.#byHand(kind);
      case "go-candidate":
        return this.#standAsGo();
      case "clock-drift":
      case "clock-beyond-margin":
      case "slow-consumer":
        return undefined;
      default:
        return this.#onStore(kind);
    }
  }

  #onStore(kind: FaultKind): string | undefined {
    const chance = this.#chance;
    const { cluster, services, scheduler, history } = this.#world;
    const member = chance.pick(cluster.members);
    switch (kind) {
      case "commit-late": {
        const ms = chance.between(200, 8000);
        cluster.holdNext(chance.whole(1, 4), ms);
        return `${ms.toFixed(0)} ms`;
      }
      case "member-freeze":
        member.freeze(true);
        return this.#lasting(member.name, chance.between(50, 6000), () => member.freeze(false));
      case "member-lag": {
        member.lagMs = chance.between(200, 8000);
        return this.#lasting(member.name, chance.between(1000, 15_000), () => (member.lagMs = member.usualLagMs));
      }
      case "member-restart":
        member.stop();
        return this.#lasting(member.name, chance.between(50, 4000), () => member.start());
      case "member-isolated":
        return this.#isolate([member], 10_000);
      case "quorum-loss":
        return this.#isolate(cluster.members.slice(0, Math.ceil(cluster.members.length / 2)), 15_000);
      case "etcd-leader-change":
        cluster.changeLeader();
        return "the leader";
      case "busy-store":
        for (const service of services) service.busyUntil = scheduler.now + chance.between(50, 1500);
        return "all members";
      case "compaction": {
        const revision = history.revision - BigInt(chance.whole(0, 5));
        if (revision < 2n) return undefined;
        member.propose({ t: "compact", request: create(CompactionRequestSchema, { revision }) }, () => undefined);
        return `up to ${revision}`;
      }
      default:
        throw new Error(`no such fault: ${kind}`);
    }
  }

  /** Undoes a fault after a while, or when everything is healed. */
  #lasting(what: string, durationMs: number, undo: () => void): string {
    const remedy = (): void => {
      if (!this.#remedies.delete(remedy)) return;
      this.#world.trace.add("nemesis", () => `ends what it did to ${what}`);
      undo();
    };
    this.#remedies.add(remedy);
    this.#world.scheduler.after(durationMs, remedy);
    return `${what} for ${durationMs.toFixed(0)} ms`;
  }

  /** A process that runs, often one that leads. */
  #process(): Process | undefined {
    const running = this.#population.alive().filter(({ host }) => host.state === "running");
    const leader = this.#world.history.leader(this.#chance.pick(this.#plan.elections));
    const leading = running.find(({ name }) => leader?.value.startsWith(`${name}#`));
    if (leading !== undefined && this.#chance.happens(0.4)) return leading;
    return running.length === 0 ? undefined : this.#chance.pick(running);
  }

  #paths(): Path[] {
    return this.#population.alive().flatMap(({ paths }) => paths);
  }

  #onLink(harm: (link: Link) => void): string | undefined {
    const process = this.#process();
    const links = process?.paths.flatMap((path) => [...path.links].filter(({ open }) => open)) ?? [];
    if (links.length === 0) return undefined;
    const link = this.#chance.pick(links);
    harm(link);
    return `${process?.name} and ${link.service.member.name}`;
  }

  /** Makes one connection slow, or each of a process by its own measure, so that they overtake one another. */
  #slow(kind: FaultKind): string | undefined {
    const process = this.#process();
    if (process === undefined) return undefined;
    const one = kind === "slow-messages";
    const paths = one ? [this.#chance.pick(process.paths)] : process.paths;
    for (const path of paths) path.jitterMs = this.#chance.between(0, one ? 2000 : 400);
    return this.#lasting(`messages of ${process.name}`, this.#chance.between(200, 6000), () => {
      for (const path of paths) path.jitterMs = usualJitterMs(path);
    });
  }

  /** Cuts a process off from one member or all, without a word; often after a while of late answers. */
  #partition(): string | undefined {
    const chance = this.#chance;
    const process = this.#process();
    if (process === undefined) return undefined;
    const paths = chance.happens(0.7) ? process.paths : [chance.pick(process.paths)];
    const slowMs = chance.happens(0.6) ? chance.between(500, 8000) : 0;
    const lateMs = slowMs === 0 ? 0 : chance.between(200, 2000);
    for (const path of paths) path.answersLateMs = lateMs;
    this.#world.scheduler.after(slowMs, () => this.#cutOff(process, paths));
    return `${process.name} and ${paths.length} members`;
  }

  #cutOff({ name }: Process, paths: readonly Path[]): void {
    if (this.#healed) return;
    for (const path of paths) {
      path.blocked = true;
      for (const link of path.links) link.fallSilent({ toServer: true, toClient: true });
    }
    const durationMs = this.#chance.between(300, this.#chance.pick([3000, 12_000, 25_000, 25_000]));
    this.#lasting(`${name} and ${paths.length} members`, durationMs, () => {
      for (const path of paths) mend(path);
    });
  }

  #pauseProcess(pause: (process: Process) => void): string | undefined {
    const process = this.#process();
    if (process === undefined) return undefined;
    pause(process);
    const { scheduler, checker } = this.#world;
    const pausedAt = scheduler.now;
    const durationMs = this.#chance.happens(0.5) ? this.#chance.between(10, 1500) : this.#chance.between(500, 15_000);
    return this.#lasting(process.name, durationMs, () => {
      process.host.resume();
      checker.resumed(process.host, scheduler.now - pausedAt);
      // What had arrived is still there, but the network has forgotten the connections.
      if (this.#chance.happens(0.3)) this.#cutOff(process, process.paths);
    });
  }

  #endProcess(end: (process: Process) => void): string | undefined {
    const process = this.#process();
    if (process === undefined || process.stopping.aborted) return undefined;
    end(process);
    this.#lasting(`${process.name}, which is away`, this.#chance.between(50, 5000), () =>
      this.#population.replace(process),
    );
    return process.name;
  }

  #isolate(members: readonly Member[], maxMs: number): string {
    for (const member of members) member.isolate(true);
    const names = members.map(({ name }) => name).join(", ");
    return this.#lasting(names, this.#chance.between(300, maxMs), () => {
      for (const member of members) member.isolate(false);
    });
  }

  /** Deletes a candidate's key or revokes its lease, past the candidate. */
  #byHand(kind: FaultKind): string | undefined {
    const election = this.#chance.pick(this.#plan.elections);
    const keys = this.#world.history.keys(election);
    if (keys.length === 0) return undefined;
    const { key } = this.#chance.happens(0.5) ? (keys[0] ?? this.#chance.pick(keys)) : this.#chance.pick(keys);
    const member = this.#chance.pick(this.#world.cluster.members);
    const lease = BigInt(`0x${key.slice(electionPrefix(election).length)}`);
    const deletion = { t: "delete", request: create(DeleteRangeRequestSchema, { key: Buffer.from(key) }) } as const;
    member.propose(kind === "key-deletion" ? deletion : revokeOf(lease), () => undefined, true);
    return key;
  }

  #standAsGo(): string {
    const candidate = new GoCandidate(
      `go${this.#goCandidates.length}`,
      this.#chance.pick(this.#plan.elections),
      this.#world,
    );
    this.#goCandidates.push(candidate);
    candidate.start();
    return `go${this.#goCandidates.length - 1}`;
  }
}

/** What lasts for a whole seed. */
const LASTING: ReadonlySet<FaultKind> = new Set(["clock-drift", "clock-beyond-margin", "slow-consumer"]);

const LOSSES = [
  { toServer: true, toClient: false },
  { toServer: false, toClient: true },
  { toServer: true, toClient: true },
];

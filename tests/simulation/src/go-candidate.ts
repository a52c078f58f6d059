import { create } from "@bufbuild/protobuf";
import {
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  CompareSchema,
  DeleteRangeRequestSchema,
  LeaseGrantRequestSchema,
  type LeaseGrantResponse,
  PutRequestSchema,
  RequestOpSchema,
  TxnRequestSchema,
} from "@tenure/etcd/rpc";
import type { Chance } from "./chance.ts";
import { electionPrefix } from "./history.ts";
import type { Member } from "./member.ts";
import { revokeOf } from "./operation.ts";
import type { World } from "./world.ts";

const POLL_MS = 100;

/**
 * A candidate of etcd's Go client, as far as others see it: a key on a lease whose id the server chose, kept alive. It
 * leads when all older keys are gone, for a while; then it resigns, or dies and leaves its key to the lease.
 */
export class GoCandidate {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #name: string;
  readonly #election: string;
  readonly #ttlMs: number;
  #key = "";
  #lease = 0n;
  #over = false;

  constructor(name: string, election: string, world: World) {
    this.#world = world;
    this.#name = name;
    this.#election = election;
    this.#chance = world.chance.fork(name);
    this.#ttlMs = this.#chance.pick([2000, 5000, 10_000]);
  }

  /** Whether it has resigned or died. */
  get over(): boolean {
    return this.#over;
  }

  start(): void {
    const request = create(LeaseGrantRequestSchema, { TTL: BigInt(this.#ttlMs / 1000) });
    this.#member.propose({ t: "grant", request }, (outcome) => {
      if (outcome.t === "refused") return;
      this.#lease = (outcome.answer as LeaseGrantResponse).ID;
      this.#key = `${electionPrefix(this.#election)}${this.#lease.toString(16)}`;
      this.#world.trace.add(this.#name, () => `stands in ${this.#election} as a Go candidate: ${this.#key}`);
      this.#put();
      this.#keepAlive();
      this.#wait();
    });
  }

  /** Gives up at once, leading or not: it resigns, or its lease has to run out. */
  stop(): void {
    this.#leave(this.#chance.happens(0.5));
  }

  get #member(): Member {
    return this.#chance.pick(this.#world.cluster.members);
  }

  #after(delayMs: number, run: () => void): void {
    this.#world.scheduler.after(delayMs, () => {
      if (!this.#over) run();
    });
  }

  #put(): void {
    const key = Buffer.from(this.#key);
    const compare = create(CompareSchema, {
      key,
      target: CompareTarget.CREATE,
      result: CompareResult.EQUAL,
      targetUnion: { case: "createRevision", value: 0n },
    });
    const requestPut = create(PutRequestSchema, { key, value: Buffer.from(this.#name), lease: this.#lease });
    const op = create(RequestOpSchema, { request: { case: "requestPut", value: requestPut } });
    const request = create(TxnRequestSchema, { compare: [compare], success: [op] });
    this.#member.propose({ t: "txn", request }, () => undefined);
  }

  #keepAlive(): void {
    this.#after(this.#ttlMs / 3, () => {
      this.#member.keepAlive(this.#lease, (ttlSeconds) => {
        if (ttlSeconds <= 0) this.#leave(false);
      });
      this.#keepAlive();
    });
  }

  #wait(): void {
    this.#after(POLL_MS, () => {
      const { history, checker, trace } = this.#world;
      if (history.leader(this.#election)?.key !== this.#key) return this.#wait();
      trace.add(this.#name, () => `leads ${this.#election} as a Go candidate`);
      checker.goLeads(this.#election, this.#key, true);
      this.#after(this.#chance.between(100, 6000), () => this.stop());
    });
  }

  #leave(resigns: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#world.checker.goLeads(this.#election, this.#key, false);
    this.#world.trace.add(this.#name, () => (resigns ? "resigns" : "dies"));
    if (!resigns || this.#key === "") return;
    const request = create(DeleteRangeRequestSchema, { key: Buffer.from(this.#key) });
    this.#member.propose({ t: "delete", request }, () => undefined);
    this.#member.propose(revokeOf(this.#lease), () => undefined);
  }
}

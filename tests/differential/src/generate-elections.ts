import type { Json, JsonMessage, Operation } from "./operation.ts";
import { type Pools, weighted } from "./pools.ts";

const elections = ["e1", "e2"] as const;
const locks = ["l1", "l2"] as const;
const leases = [101, 102, 103, 104] as const;
const unknownLease = 404;
const longTtl = 600;

/** Who leads an election, as its answers told. */
interface LeaderKey {
  readonly name: string;
  readonly key: string;
  readonly rev: number;
  readonly lease: number;
}

/** Draws operations on elections and locks, and remembers who holds what. */
export class ElectionGenerator {
  readonly #pools: Pools;
  /** Who leads each election; undefined when nobody does, or it is not known. */
  readonly #leaders = new Map<string, LeaderKey>();
  readonly #holders = new Map<string, string>();
  #waiting = 0;

  constructor(pools: Pools) {
    this.#pools = pools;
  }

  /** What comes first. */
  opening(): Operation[] {
    return leases.map((ID) => call("Lease.LeaseGrant", { ID, TTL: longTtl }));
  }

  /** The next steps, which belong together. */
  next(): Operation[] {
    const { chance } = this.#pools;
    return chance.happens(0.7) ? this.#elect(chance.pick(elections)) : this.#lock(chance.pick(locks));
  }

  /** Takes what an answer tells of leaders and holders. */
  learn(operation: Operation, said: JsonMessage): void {
    const { leader, key } = said as { leader?: LeaderKey; key?: string };
    if (leader !== undefined) this.#leaders.set(leader.name, leader);
    if ("call" in operation && operation.call === "Lock.Lock" && key !== undefined) {
      this.#holders.set(operation.request["name"] as string, key);
    }
  }

  #elect(name: string): Operation[] {
    const { chance } = this.#pools;
    const leader = this.#leaders.get(name);
    const some = leader ?? { name, key: `${name}/65`, rev: 1, lease: 101 };
    return weighted<() => Operation[]>(chance, [
      [2, () => [call("Election.Leader", { name: chance.happens(0.1) ? "" : name })]],
      [2, () => [call("Election.Proclaim", { leader: this.#perhapsWrong(some), value: this.#value() })]],
      [0.3, () => [call("Election.Proclaim", { value: "x" })]],
      [0.3, () => [call("Election.Resign", {})]],
      [0.5, () => [call("Election.Campaign", { name, lease: unknownLease, value: "x" })]],
      [1, () => [call("Election.Resign", { leader: { ...some, rev: some.rev + chance.pick([-1, 1]) } })]],
      [leader === undefined ? 0 : 2, () => [{ first: "Election.Observe", request: { name }, on: 1 }]],
      [leader === undefined ? 0 : 1, () => [campaign(name, some.lease, this.#value())]],
      [leader === undefined ? 6 : 0, () => [campaign(name, chance.pick(leases), this.#value())]],
      [leader === undefined ? 0 : 2, () => this.#leave(some)],
      [leader === undefined ? 0 : 4, () => this.#succession(some)],
    ])();
  }

  /** Others stand in the queue; some of them leave it; the leader goes. */
  #succession(leader: LeaderKey): Operation[] {
    const { chance } = this.#pools;
    const { name } = leader;
    const others = leases.filter((lease) => lease !== leader.lease).slice(0, chance.whole(1, 3));
    const stood = others.map((lease) => ({
      begin: `w${(this.#waiting += 1)}`,
      call: "Election.Campaign",
      request: { name, lease, value: this.#value() },
      key: keyOf(name, lease),
    }));
    const left = stood.filter((_, index) => index > 0 && chance.happens(0.4));
    const [heir] = stood;
    if (heir === undefined) return [];
    const queue = call("KV.Range", { key: `${name}/`, rangeEnd: `${name}0`, sortTarget: 2, sortOrder: 1 });
    const leaves = left.map(({ begin, key }) => ({ cancel: begin, key }));
    const stays = stood.filter((each) => each !== heir && !left.includes(each));
    // Whoever waits on is cancelled in the end: nobody else leads then.
    const rest = stays.map(({ begin, key }) => ({ cancel: begin, key }));
    return [...stood, queue, ...leaves, ...this.#leave(leader), { end: heir.begin }, ...rest, queue];
  }

  /** One of the ways in which a leader goes. */
  #leave(leader: LeaderKey): Operation[] {
    const { chance } = this.#pools;
    const { name, key, rev, lease } = leader;
    this.#leaders.delete(name);
    const gone = weighted<Operation[]>(chance, [
      [4, [call("Election.Resign", { leader: { name, key, rev, lease } })]],
      [2, [call("KV.DeleteRange", { key })]],
    ]);
    return [...gone, call("KV.Range", { key })];
  }

  #lock(name: string): Operation[] {
    const { chance } = this.#pools;
    const holder = this.#holders.get(name);
    const lease = chance.pick(leases);
    const unlock = (key: Json): Operation => call("Lock.Unlock", { key });
    if (holder === undefined) {
      return weighted<Operation[]>(chance, [
        [6, [call("Lock.Lock", { name, lease })]],
        [1, [call("Lock.Lock", { name, lease: unknownLease })]],
        [1, [unlock(chance.pick(["", "nothing", `${name}/65`]))]],
      ]);
    }
    const key = keyOf(name, lease);
    if (key === holder) return [call("Lock.Lock", { name, lease })];
    this.#holders.delete(name);
    if (chance.happens(0.3)) return [unlock(holder)];
    const begin = `w${(this.#waiting += 1)}`;
    const request = { name, lease };
    const wait: Operation = { begin, call: "Lock.Lock", request, key };
    return weighted<Operation[]>(chance, [
      [4, [wait, unlock(holder), { end: begin }, unlock(key)]],
      [2, [wait, { cancel: begin, key }, unlock(holder)]],
      // Its own key goes while it waits.
      [1, [wait, call("KV.DeleteRange", { key }), unlock(holder), { end: begin }]],
    ]);
  }

  /** A leader's key of which something may be wrong. */
  #perhapsWrong(leader: LeaderKey): JsonMessage {
    const { chance } = this.#pools;
    const { name, key, rev, lease } = leader;
    const right = { name, key, rev, lease };
    return weighted<JsonMessage>(chance, [
      [6, right],
      [1, { ...right, rev: rev + 1 }],
      [1, { ...right, key: `${key}0` }],
      [1, { ...right, lease: unknownLease }],
    ]);
  }

  #value(): string {
    return this.#pools.chance.pick(["x", "y", ""]);
  }
}

function campaign(name: string, lease: number, value: string): Operation {
  return call("Election.Campaign", { name, lease, value });
}

function keyOf(name: string, lease: number): string {
  return `${name}/${lease.toString(16)}`;
}

function call(name: string, request: JsonMessage): Operation {
  return { call: name, on: 0, request };
}

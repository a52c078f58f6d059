import type { Chance } from "./chance.ts";
import { FAULT_KINDS, type FaultKind } from "./fault-kinds.ts";
import type { ProcessPlan } from "./process.ts";

/** What a seed is about. */
export interface Plan {
  /** Clock rates of the members. */
  readonly memberRates: readonly number[];
  /** Whether some process's clock is slower than the margin allows. */
  readonly ratesWithinMargin: boolean;
  readonly elections: readonly string[];
  readonly processes: readonly ProcessPlan[];
  readonly faultsMs: number;
  /** The kinds of faults that happen, each with the mean time from one to the next. */
  readonly faults: ReadonlyMap<FaultKind, number>;
  readonly maxTtlMs: number;
}

/** Rates of two clocks that are this far from 1, in opposite directions, are still within the margin of 1 %. */
const RATE_ERROR = 0.00495;
const GO_TTL_MS = 10_000;
const OF_STORE: readonly FaultKind[] = [
  "member-freeze",
  "member-restart",
  "member-isolated",
  "etcd-leader-change",
  "quorum-loss",
];

/** Swarm testing: each seed takes some of everything, so that no kind of fault always hides another. */
export function planOf(chance: Chance): Plan {
  const faults = new Map<FaultKind, number>();
  const share = chance.between(0.1, 0.6);
  for (const kind of FAULT_KINDS) {
    if (chance.happens(share)) faults.set(kind, chance.between(3000, 30_000));
  }
  // With a store at rest leases end at their time, not when a new leader has counted them anew.
  if (chance.happens(0.4)) for (const kind of OF_STORE) faults.delete(kind);
  const ratesWithinMargin = !(faults.has("clock-beyond-margin") && chance.happens(0.3));
  if (ratesWithinMargin) faults.delete("clock-beyond-margin");
  const most = (): number => chance.pick([-RATE_ERROR, RATE_ERROR]);
  const drift = (): number =>
    faults.has("clock-drift") ? 1 + most() * (chance.happens(0.7) ? 1 : chance.fraction()) : 1;
  const rate = (): number => (ratesWithinMargin || chance.happens(0.5) ? drift() : chance.between(0.7, 0.97));
  const members = chance.happens(0.75) ? 3 : 1;
  const elections = chance.happens(0.5) ? ["a"] : ["a", "b"];
  const process = (role: ProcessPlan["role"]): ProcessPlan => ({
    role,
    elections: chance.happens(0.6) ? elections : [chance.pick(elections)],
    ttlMs: chance.pick([2000, 2000, 3000, 5000, 10_000, 10_000]),
    rate: rate(),
    latenciesMs: Array.from({ length: members }, () => chance.between(0.1, chance.pick([1, 5, 30]))),
    looksOn: role !== "observer" && chance.happens(0.3),
    slownessMs: faults.has("slow-consumer") ? chance.between(100, 3000) : 0,
  });
  const nodes = chance.whole(1, 3);
  const campaigners = chance.whole(0, 4 - nodes);
  const processes = [
    // Somebody always wants to lead.
    { ...process("node"), elections },
    ...Array.from({ length: nodes }, () => process("node")),
    ...Array.from({ length: campaigners }, () => process("campaigner")),
    ...Array.from({ length: chance.whole(0, 1) }, () => process("observer")),
  ];
  const ttlsMs = processes.map(({ ttlMs }) => ttlMs);
  return {
    memberRates: Array.from({ length: members }, drift),
    ratesWithinMargin,
    elections,
    processes,
    faultsMs: chance.between(20_000, 70_000),
    faults,
    maxTtlMs: Math.max(...ttlsMs, faults.has("go-candidate") ? GO_TTL_MS : 0),
  };
}

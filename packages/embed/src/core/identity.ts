import type { Clock, Random } from "@tenure/etcd/runtime";

import type { StoreIdentity } from "./journal.ts";

/** What a new store takes its identity from. */
interface IdentityOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** From 1 to 2^53 - 1. Default: the wall clock in microseconds. */
  readonly firstRevision?: bigint;
}

const ID_BITS = 63;

/** The identity of a new store. Throws RangeError for a revision that cannot be. */
export function newIdentity(options: IdentityOptions): StoreIdentity {
  const [clusterId, memberId] = [nonZeroId(options.random), nonZeroId(options.random)];
  return { clusterId, memberId, firstRevision: firstRevision(options) };
}

function nonZeroId(random: Random): bigint {
  for (;;) {
    const id = random.bits(ID_BITS);
    if (id !== 0n) return id;
  }
}

function firstRevision({ firstRevision: given, clock }: IdentityOptions): number {
  if (given === undefined) return clock.date().getTime() * 1000;
  if (given < 1n || given > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`firstRevision must be from 1 to ${Number.MAX_SAFE_INTEGER}, not ${given}`);
  }
  return Number(given);
}

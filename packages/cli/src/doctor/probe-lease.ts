import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { type Samples, type Sampling, sample } from "./samples.ts";
import { settledWithin } from "./wait.ts";

/** A lease that was granted to be measured. */
export interface ProbeLease {
  readonly id: bigint;
  /** Milliseconds etcd granted. */
  readonly ttlMs: number;
}

const ID_BITS = 62;
/** Milliseconds to clean up in; what is left then ends with the lease. */
const CLEANUP_TIMEOUT_MS = 1000;

/** Grants a lease for as long as `use` takes, and revokes it with all that is on it, whatever happens. */
export async function withLease<T>(
  etcd: EtcdClient,
  { ttlMs, timeoutMs, signal }: { readonly ttlMs: number; readonly timeoutMs: number; readonly signal: AbortSignal },
  use: (lease: ProbeLease) => Promise<T>,
): Promise<T> {
  // An id of our own choice can be revoked even if the answer is lost.
  const id = (1n << BigInt(ID_BITS)) | etcd.random.bits(ID_BITS);
  // Not cancelled by the signal, so that it is known when it is done: a revocation must not overtake it.
  const granting = etcd.lease.grant(BigInt(ttlMs / 1000), { id, timeoutMs });
  try {
    await settledWithin(etcd.clock, granting, timeoutMs, signal);
    if (signal.aborted) throw new EtcdError("aborted", "stopped");
    const { TTL } = await granting;
    return await use({ id, ttlMs: Number(TTL) * 1000 });
  } finally {
    await settledWithin(etcd.clock, granting, CLEANUP_TIMEOUT_MS);
    await etcd.lease.revoke(id, { timeoutMs: CLEANUP_TIMEOUT_MS }).catch(() => undefined);
  }
}

/** Keeps the lease alive much more often than its TTL asks for, and measures how long the answers take. */
export async function keepAlives(etcd: EtcdClient, { id }: ProbeLease, sampling: Sampling): Promise<Samples> {
  const { send, answers } = etcd.lease.keepAlive(sampling.signal);
  const reader = answers[Symbol.asyncIterator]();
  return sample(async () => {
    send(id);
    const answer = await reader.next();
    if (answer.done === true) throw new EtcdError("internal", "the server ended the stream of keep-alives");
    if (answer.value.TTL <= 0n) throw new EtcdError("not-found", "etcd does not know the lease any more");
  }, sampling);
}

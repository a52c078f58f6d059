/** How long things may take, by the TTL. README.md has the formulas. */
export interface Bounds {
  /** From the loss of etcd's quorum to a leader that knows. */
  readonly toldMs: number;
  /** As long as etcd is silent no longer than this, a leader can renew its lease in time. */
  readonly silenceMs: number;
  /** From a leader that stops renewing to a successor that leads, while etcd is well. */
  readonly failoverMs: number;
  /** From the end of all faults to somebody who leads. */
  readonly recoveryMs: number;
  /** So long etcd is silent at least when its members elect another leader. */
  readonly etcdElectionMs: number;
  /** From the end of all faults to a cluster and a queue that are whole again. */
  readonly peaceMs: number;
}

/** etcd looks for leases that ran out twice a second. */
const expiryScanMs = 500;
/** An election in etcd, with one more after a split vote. */
const etcdElectionMs = 2_200;
/** A follower waits for so long before it stands, unless it is told to. */
const electionTimeoutMs = 1_000;
/** What a busy machine of two cores adds. */
const slackMs = 2_000;

export function boundsOf(ttlMs: number): Bounds {
  const failoverMs = ttlMs + expiryScanMs + slackMs;
  // A change of etcd's leader gives every lease its whole TTL again, and may come after the fault has healed.
  const recoveryMs = failoverMs + ttlMs + 2 * etcdElectionMs;
  // A node that was killed leaves a key behind; it stands again beside it.
  // An etcd leader that is alone renews leases until it notices, after up to two election timeouts.
  const toldMs = ttlMs + etcdElectionMs;
  // It renews each third of the TTL, stops half a second and 1 % early, and has to find a member that answers.
  const silenceMs = ttlMs * (1 - 0.01 - 1 / 3) - 500 - 600;
  const peaceMs = recoveryMs + ttlMs + slackMs;
  return { toldMs, silenceMs, failoverMs, recoveryMs, etcdElectionMs: electionTimeoutMs, peaceMs };
}

/**
 * Leader election and primary/standby failover on etcd v3.
 *
 * What holds: at most one term has a given fencing token, and tokens strictly rise. `term.held` is false, and
 * `term.signal` has fired, before etcd can give the leadership away because a lease expired, as long as the event loop
 * runs and clock rates differ by less than 1 %. A program is never told that it leads after it resigned, lost its
 * lease, or learned that its key was deleted.
 *
 * What does not: mutual exclusion of side effects on something that does not check the token. A process that is frozen
 * past its lease runs its next line before it can know.
 *
 * @module
 */
export { connect, Client, type ConnectOptions } from "./client.ts";
export { Election, type ElectionOptions, type ReadOptions, type WaitOptions } from "./election.ts";
export { Term } from "./term.ts";
export type { ElectionState, Leader, LeaderChange } from "./leader.ts";
export type { RunHandlers, RunningNode } from "./run.ts";
export type { LeadOverdueEvent } from "./lead-overdue.ts";
export type { LeaseGuard } from "./guard/guard-link.ts";
export type { GuardLostEvent } from "./guard/guard-lost.ts";
export type {
  CandidateEvent,
  CandidatesChangedEvent,
  KeepAliveAnsweredEvent,
  KeepAliveSentEvent,
  KeepAliveSilentEvent,
  LeaderChangedEvent,
  SessionDoubtedEvent,
  SessionEndedEvent,
  SessionEvent,
  TermElectedEvent,
  TermEndedEvent,
  WatchBrokenEvent,
  WatchCreatedEvent,
  WatchEvent,
  WatchMove,
  WatchMovedEvent,
} from "./events.ts";
export { type SessionEnd, TenureError, type TenureErrorCode } from "./errors.ts";

// For transactions guarded by a term.
export type { GuardedTxn, TxnOutcome, TxnResult } from "./guarded-txn.ts";
export { type Comparison, type Op, compare, put, range, remove } from "@tenure/etcd";
export type { AuthOptions, TlsOptions } from "@tenure/etcd";

// For tools.
export { electionPrefix, isCandidate, isTenureLease } from "./names.ts";
export { keepAliveIntervalMs, marginMs, provenUntil } from "./lease-timing.ts";

import { channel } from "node:diagnostics_channel";
import type { EtcdError } from "@tenure/etcd";
import type { Clock } from "@tenure/etcd/runtime";
import type { CandidacyState } from "./candidacy.ts";
import type { SessionEnd, TenureErrorCode } from "./errors.ts";
import { leaderOf, type Snapshot } from "./view.ts";

/** Published on `tenure:session:granted` and `tenure:session:cleared`: a lease is granted, or out of doubt again. */
export interface SessionEvent {
  readonly leaseId: bigint;
  /** Milliseconds etcd granted. */
  readonly ttlMs: number;
}

/** Published on `tenure:session:doubted` when a suspend or a stall puts a lease in doubt. */
export interface SessionDoubtedEvent extends SessionEvent {
  /** Milliseconds for which nothing ran in this process. */
  readonly stalledMs: number;
}

/** Published on `tenure:session:ended` when a session is over. */
export interface SessionEndedEvent extends SessionEvent {
  readonly why: SessionEnd;
  /** The same for people. */
  readonly reason: string;
}

/** Published on `tenure:keep-alive:sent`. */
export interface KeepAliveSentEvent {
  readonly leaseId: bigint;
}

/** Published on `tenure:keep-alive:answered`. */
export interface KeepAliveAnsweredEvent {
  readonly leaseId: bigint;
  /** Milliseconds from sending to the answer. */
  readonly roundTripMs: number;
  /** The margin: milliseconds for which the lease was still proven when the answer came. */
  readonly leftMs: number;
}

/** Published on `tenure:keep-alive:silent` when an answer is overdue; it is asked for on one more stream then. */
export interface KeepAliveSilentEvent {
  readonly leaseId: bigint;
  /** Milliseconds waited so far. */
  readonly silentMs: number;
}

/** Published on `tenure:watch:opened` when the watch of an election is asked for. */
export interface WatchEvent {
  /** Where the election's keys are: namespace, name and a slash. */
  readonly prefix: string;
}

/** Published on `tenure:watch:created` when the watch stands. */
export interface WatchCreatedEvent extends WatchEvent {
  /** It delivers every change above this revision. */
  readonly revision: bigint;
}

/** Why a watch was given up for another one. */
export type WatchMove =
  /** It said nothing, although it was asked. */
  | "silent"
  /** It answered, but stayed behind the rest of the cluster. */
  | "lagging"
  /** The data behind the endpoints is not what it was. */
  | "cluster-changed";

/** Published on `tenure:watch:moved` when a watch is given up for another one. */
export interface WatchMovedEvent extends WatchEvent {
  readonly why: WatchMove;
}

/** Published on `tenure:watch:broken` when a watch ended that was still wanted; another one is opened. */
export interface WatchBrokenEvent extends WatchEvent {
  readonly code: EtcdError["code"];
  /** The same for people. */
  readonly reason: string;
}

/** Published on `tenure:candidate:queued` when our key is in the queue, the leader's included. */
export interface CandidateEvent {
  /** Where the election's keys are: namespace, name and a slash. */
  readonly prefix: string;
  /** Our candidate key. */
  readonly key: string;
  /** The create revision of our key: the fencing token once it leads. */
  readonly token: bigint;
}

/** Published on `tenure:term:elected` when this process leads. */
export interface TermElectedEvent extends CandidateEvent {
  /** The cluster the token belongs to. */
  readonly clusterId: bigint;
}

/** Published on `tenure:term:ended` when it leads no more. */
export interface TermEndedEvent extends CandidateEvent {
  /** `not-leader` when it stepped down. */
  readonly code: TenureErrorCode;
  /** What ended the session, where that ended the term. */
  readonly sessionEnd: SessionEnd | undefined;
  /** The same for people. */
  readonly reason: string;
}

/** Published on `tenure:leader:changed` when a view shows another leader, or the first one it sees. */
export interface LeaderChangedEvent {
  /** Where the election's keys are: namespace, name and a slash. */
  readonly prefix: string;
  /** The leader's key; null when nobody leads. */
  readonly key: string | null;
  /** Its fencing token; null when nobody leads. */
  readonly token: bigint | null;
  /** The store's revision at which this is so. */
  readonly revision: bigint;
}

/** Published on `tenure:candidates:changed` when a view shows more or fewer candidates, or the first ones it sees. */
export interface CandidatesChangedEvent {
  /** Where the election's keys are: namespace, name and a slash. */
  readonly prefix: string;
  /** How many there are, the leader included. */
  readonly candidates: number;
  /** The store's revision at which this is so. */
  readonly revision: bigint;
}

const sessionGranted = channel("tenure:session:granted");
const sessionDoubted = channel("tenure:session:doubted");
const sessionCleared = channel("tenure:session:cleared");
const sessionEnded = channel("tenure:session:ended");
const keepAliveSent = channel("tenure:keep-alive:sent");
const keepAliveAnswered = channel("tenure:keep-alive:answered");
const keepAliveSilent = channel("tenure:keep-alive:silent");
const watchOpened = channel("tenure:watch:opened");
const watchCreated = channel("tenure:watch:created");
const watchMoved = channel("tenure:watch:moved");
const watchBroken = channel("tenure:watch:broken");
const candidateQueued = channel("tenure:candidate:queued");
const termElected = channel("tenure:term:elected");
const termEnded = channel("tenure:term:ended");
const leaderChanged = channel("tenure:leader:changed");
const candidatesChanged = channel("tenure:candidates:changed");

/** What is published of a session. */
interface OfSession {
  readonly leaseId: bigint;
  readonly ttlMs: number;
}

export function publishSessionGranted({ leaseId, ttlMs }: OfSession): void {
  if (!sessionGranted.hasSubscribers) return;
  sessionGranted.publish({ leaseId, ttlMs } satisfies SessionEvent);
}

export function publishSessionDoubted({ leaseId, ttlMs }: OfSession, stalledMs: number): void {
  if (!sessionDoubted.hasSubscribers) return;
  sessionDoubted.publish({ leaseId, ttlMs, stalledMs } satisfies SessionDoubtedEvent);
}

export function publishSessionCleared({ leaseId, ttlMs }: OfSession): void {
  if (!sessionCleared.hasSubscribers) return;
  sessionCleared.publish({ leaseId, ttlMs } satisfies SessionEvent);
}

export function publishSessionEnded({ leaseId, ttlMs }: OfSession, why: SessionEnd, reason: string): void {
  if (!sessionEnded.hasSubscribers) return;
  sessionEnded.publish({ leaseId, ttlMs, why, reason } satisfies SessionEndedEvent);
}

export function publishKeepAliveSent(leaseId: bigint): void {
  if (!keepAliveSent.hasSubscribers) return;
  keepAliveSent.publish({ leaseId } satisfies KeepAliveSentEvent);
}

/** @param provenUntil the deadline of the lease before this answer */
export function publishKeepAliveAnswered(leaseId: bigint, clock: Clock, sentAt: number, provenUntil: number): void {
  if (!keepAliveAnswered.hasSubscribers) return;
  const now = clock.now();
  const event = { leaseId, roundTripMs: now - sentAt, leftMs: provenUntil - now };
  keepAliveAnswered.publish(event satisfies KeepAliveAnsweredEvent);
}

export function publishKeepAliveSilent(leaseId: bigint, silentMs: number): void {
  if (!keepAliveSilent.hasSubscribers) return;
  keepAliveSilent.publish({ leaseId, silentMs } satisfies KeepAliveSilentEvent);
}

export function publishWatchOpened(prefix: string): void {
  if (!watchOpened.hasSubscribers) return;
  watchOpened.publish({ prefix } satisfies WatchEvent);
}

export function publishWatchCreated(prefix: string, revision: bigint): void {
  if (!watchCreated.hasSubscribers) return;
  watchCreated.publish({ prefix, revision } satisfies WatchCreatedEvent);
}

export function publishWatchMoved(prefix: string, why: WatchMove): void {
  if (!watchMoved.hasSubscribers) return;
  watchMoved.publish({ prefix, why } satisfies WatchMovedEvent);
}

export function publishWatchBroken(prefix: string, { code, message }: EtcdError): void {
  if (!watchBroken.hasSubscribers) return;
  watchBroken.publish({ prefix, code, reason: message } satisfies WatchBrokenEvent);
}

/** Publishes a candidate's step from one state to the next. */
export function publishCandidacy(prefix: string, key: string, before: CandidacyState, next: CandidacyState): void {
  if (next.t === "queued" && candidateQueued.hasSubscribers) {
    candidateQueued.publish({ prefix, key, token: next.createRevision } satisfies CandidateEvent);
  } else if (next.t === "leading" && termElected.hasSubscribers) {
    const { createRevision: token, clusterId } = next;
    termElected.publish({ prefix, key, token, clusterId } satisfies TermElectedEvent);
  } else if (next.t === "over" && before.t === "leading" && termEnded.hasSubscribers) {
    const { code, sessionEnd, message: reason } = next.error;
    const token = before.createRevision;
    termEnded.publish({ prefix, key, token, code, sessionEnd, reason } satisfies TermEndedEvent);
  }
}

/** Publishes who leads in a snapshot, unless the same one led in the snapshot before. */
export function publishLeader(prefix: string, before: Snapshot | undefined, next: Snapshot): void {
  if (!leaderChanged.hasSubscribers) return;
  const leader = leaderOf(next);
  if (before !== undefined) {
    const former = leaderOf(before);
    if (former?.key === leader?.key && former?.createRevision === leader?.createRevision) return;
  }
  const { key = null, createRevision: token = null } = leader ?? {};
  leaderChanged.publish({ prefix, key, token, revision: next.revision } satisfies LeaderChangedEvent);
}

/** Publishes how many candidates a snapshot has, unless the snapshot before had as many. */
export function publishCandidates(prefix: string, before: Snapshot | undefined, next: Snapshot): void {
  if (!candidatesChanged.hasSubscribers || before?.entries.length === next.entries.length) return;
  const event = { prefix, candidates: next.entries.length, revision: next.revision };
  candidatesChanged.publish(event satisfies CandidatesChangedEvent);
}

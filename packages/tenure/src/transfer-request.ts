import { type Comparison, compare, type EtcdClient, put, range, remove } from "@tenure/etcd";
import type { KeyValue } from "@tenure/etcd/rpc";
import type { Candidacy } from "./candidacy.ts";
import { abortedError, TenureError } from "./errors.ts";
import { isCandidate, isTenureLease } from "./names.ts";
import { planTransfer, type TransferPlan, transferRequestKey } from "./transfer.ts";
import { leaderOf, type Snapshot, snapshotOf, type ViewEntry } from "./view.ts";
import type { ViewFeed } from "./view-feed.ts";
import { pause } from "./wait.ts";

/** What the request key holds: the question, and the answer when it is no. A yes is the new leader. */
interface TransferRequest {
  /** The candidate key that is to lead. */
  readonly to: string;
  /** The key and the token of the leader that is asked: nobody else answers. */
  readonly leader: string;
  readonly token: string;
  /** Why not, once the leader has refused. */
  readonly refused?: string;
  /** Whether the request was wrong, or the leader cannot do it. */
  readonly code?: "invalid-argument" | "unavailable";
}

/** A term as far as it can be asked for. */
export interface TransferableTerm {
  readonly key: string;
  readonly token: bigint;
  readonly candidacy: Pick<Candidacy, "state" | "whenOver">;
}

/** The lease of a request outlives the wait for its answer by this. */
const SPARE_LEASE_MS = 2000;
/** A question without an answer is put again after this long. */
const REPEAT_MS = 1000;
/** What a request that is withdrawn waits for the store; the key goes with its lease anyway. */
const WITHDRAW_TIMEOUT_MS = 1000;

/** Has a term be transferred when somebody asks for it, until it is over. */
export function serveTransferRequests(
  etcd: EtcdClient,
  feed: ViewFeed,
  { key, token, candidacy }: TransferableTerm,
  transfer: (to: string) => Promise<void>,
): void {
  if (candidacy.state.t === "over") return;
  let serving = false;
  const stop = feed.requested.add((kv) => {
    const request = parse(kv);
    if (request === undefined || request.refused !== undefined) return;
    if (request.leader !== key || request.token !== String(token)) return;
    // A question is put again until it is answered: one that is being served is not refused for its own repetition.
    if (serving) return;
    serving = true;
    void serve(kv, request).finally(() => (serving = false));
  });
  const serve = async (kv: KeyValue, request: TransferRequest): Promise<void> => {
    // We may hear of it late, a frozen process for instance: one that was taken back meanwhile is not begun.
    const there = await etcd.kv.get(kv.key).catch(() => undefined);
    if (there?.createRevision !== kv.createRevision || candidacy.state.t === "over") return;
    await transfer(request.to).catch((error: unknown) => refuse(etcd, kv, request, TenureError.from(error)));
  };
  candidacy.whenOver(stop);
}

/** Writes the refusal for whoever asks. One that cannot be written is a question without an answer. */
async function refuse(etcd: EtcdClient, kv: KeyValue, request: TransferRequest, error: TenureError): Promise<void> {
  const code = error.code === "invalid-argument" ? error.code : "unavailable";
  const answer: TransferRequest = { ...request, refused: error.message, code };
  await etcd.kv
    .txn()
    .if(compare.createRevision(kv.key, "=", kv.createRevision))
    .success(put(kv.key, JSON.stringify(answer), { leaseId: kv.lease }))
    .commit()
    .catch(() => undefined);
}

/** Where to ask, and for how long. */
export interface TransferQuestion {
  readonly etcd: EtcdClient;
  readonly feed: ViewFeed;
  readonly prefix: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Has the leadership transferred to the candidate with the key `to` by asking the leader; resolves with the new one. A
 * leader that is no Tenure node cannot be asked, so it is deposed: it does not notice.
 *
 * @throws TenureError `invalid-argument` when the transfer is refused, by us or by the leader; `unavailable` when
 * another leads meanwhile, or nobody, or the leader cannot do it; `deadline-exceeded` when the leader does not answer
 */
export async function requestTransfer(question: TransferQuestion, to: string): Promise<ViewEntry> {
  const { etcd, feed, prefix, timeoutMs, signal } = question;
  const over = new AbortController();
  const cancelTimer = etcd.clock.after(timeoutMs, () => {
    const why = `the leader has not handed over within ${timeoutMs} ms; it may do so yet`;
    over.abort(new TenureError("deadline-exceeded", why));
  });
  const onAbort = (): void => over.abort(abortedError(signal));
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  const close = feed.open();
  try {
    const snapshot = await currentState(etcd, prefix, over.signal);
    const leader = leaderOf(snapshot);
    if (leader === undefined) throw new TenureError("unavailable", "nobody leads");
    if (!isCandidate(prefix, leader.key, leader.leaseId)) {
      const why = `${leader.key} comes first under ${prefix} but is no candidate of this election`;
      throw new TenureError("invalid-argument", why);
    }
    if (leader.key === to) return leader;
    const plan = planTransfer(snapshot, to);
    const outcome = (shown: Snapshot): ViewEntry | undefined =>
      shown.revision > snapshot.revision ? newLeader(shown, leader, plan.target) : undefined;
    if (!isTenureLease(leader.leaseId)) {
      await depose(etcd, leader, plan, over.signal);
      return await seen(feed, over.signal, outcome, plan.target);
    }
    const withdraw = await ask(question, leader, plan.target, over.signal);
    try {
      return await seen(feed, over.signal, outcome, plan.target);
    } finally {
      await withdraw();
    }
  } catch (error) {
    throw TenureError.from(over.signal.aborted ? over.signal.reason : error);
  } finally {
    cancelTimer();
    signal.removeEventListener("abort", onAbort);
    close();
  }
}

/** From a linearizable read: what the view shows may be a little late. */
async function currentState(etcd: EtcdClient, prefix: string, signal: AbortSignal): Promise<Snapshot> {
  const { kvs, header } = await etcd.kv.range({ prefix }, { signal });
  const requestKey = Buffer.from(transferRequestKey(prefix));
  const candidates = kvs.filter(({ key }) => !requestKey.equals(key));
  return snapshotOf(candidates, header?.revision ?? 0n);
}

/** Writes the question, on a lease of its own; returns what takes it back. */
async function ask(
  { etcd, prefix, timeoutMs }: TransferQuestion,
  leader: ViewEntry,
  target: ViewEntry,
  signal: AbortSignal,
): Promise<() => Promise<unknown>> {
  const seconds = BigInt(Math.ceil((timeoutMs + SPARE_LEASE_MS) / 1000));
  const { ID: leaseId } = await etcd.lease.grant(seconds, { signal });
  const asking = new AbortController();
  const withdraw = (): Promise<unknown> => {
    asking.abort();
    return etcd.lease.revoke(leaseId, { timeoutMs: WITHDRAW_TIMEOUT_MS }).catch(() => undefined);
  };
  const key = transferRequestKey(prefix);
  const request: TransferRequest = { to: target.key, leader: leader.key, token: String(leader.createRevision) };
  const text = JSON.stringify(request);
  try {
    const { succeeded, responses } = await etcd.kv
      .txn()
      .if(unchanged(leader), compare.createRevision(key, "=", 0n))
      .success(put(key, text, { leaseId }))
      .failure(range(key))
      .commit({ signal });
    if (!succeeded) {
      const [first] = responses;
      throw notAsked(first?.response.case === "responseRange" ? first.response.value.kvs[0] : undefined);
    }
  } catch (error) {
    await withdraw();
    throw error;
  }
  void askAgain(etcd, key, text, leaseId, asking.signal);
  return withdraw;
}

/** Puts the question again now and then: a leader whose watch was just being opened anew has not heard it. */
async function askAgain(
  etcd: EtcdClient,
  key: string,
  text: string,
  leaseId: bigint,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await pause(etcd.clock, REPEAT_MS, signal);
    if (signal.aborted) return;
    await etcd.kv
      .txn()
      .if(compare.lease(key, "=", leaseId), compare.value(key, "=", text))
      .success(put(key, text, { leaseId }))
      .commit({ signal })
      .catch(() => undefined);
  }
}

/** @param there the key of requests, when it is there already */
function notAsked(there: KeyValue | undefined): TenureError {
  if (there === undefined) return new TenureError("unavailable", "the leader changed meanwhile");
  if (there.lease !== 0n) return new TenureError("unavailable", "another transfer is under way");
  const why = "is on no lease, so it is no request for a transfer, and stands where one would: delete it";
  return new TenureError("invalid-argument", `the key ${Buffer.from(there.key).toString()} ${why}`);
}

/** Does for a leader what it cannot be asked to do. */
async function depose(
  etcd: EtcdClient,
  leader: ViewEntry,
  { target, skipped }: TransferPlan,
  signal: AbortSignal,
): Promise<void> {
  const { succeeded } = await etcd.kv
    .txn()
    .if(unchanged(leader), unchanged(target))
    .success(...[leader, ...skipped].map(({ key }) => remove(key)))
    .commit({ signal });
  if (!succeeded) throw new TenureError("unavailable", "the leader changed, or the target left, meanwhile");
}

function unchanged({ key, createRevision }: ViewEntry): Comparison {
  return compare.createRevision(key, "=", createRevision);
}

/** The target once it leads; undefined while the old leader does. */
function newLeader(snapshot: Snapshot, old: ViewEntry, target: ViewEntry): ViewEntry | undefined {
  const leader = leaderOf(snapshot);
  if (leader?.key === target.key && leader.createRevision === target.createRevision) return leader;
  if (leader?.key === old.key && leader.createRevision === old.createRevision) return undefined;
  throw new TenureError("unavailable", leader === undefined ? "nobody leads any more" : `${leader.key} leads instead`);
}

/**
 * Waits until `find` finds something in a snapshot of the election.
 *
 * @param target whom the leader may refuse meanwhile
 */
function seen(
  feed: ViewFeed,
  signal: AbortSignal,
  find: (snapshot: Snapshot) => ViewEntry | undefined,
  target: ViewEntry,
): Promise<ViewEntry> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => settle(() => reject(TenureError.from(signal.reason)));
    const settle = (outcome: () => void): void => {
      for (const stop of stops) stop();
      signal.removeEventListener("abort", onAbort);
      outcome();
    };
    const look = (snapshot: Snapshot): void => {
      try {
        const found = find(snapshot);
        if (found !== undefined) settle(() => resolve(found));
      } catch (error) {
        settle(() => reject(TenureError.from(error)));
      }
    };
    const stops = [
      feed.changed.add(look),
      feed.refused.add((error) => settle(() => reject(error))),
      feed.requested.add((kv) => {
        const { refused, code = "unavailable", to } = parse(kv) ?? {};
        if (refused !== undefined && to === target.key) settle(() => reject(new TenureError(code, refused)));
      }),
    ];
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    else if (feed.snapshot !== undefined) look(feed.snapshot);
  });
}

/** A request as it was written; undefined for what is none. */
function parse(kv: KeyValue): TransferRequest | undefined {
  try {
    const request = JSON.parse(Buffer.from(kv.value).toString()) as Partial<
      Record<keyof TransferRequest, unknown>
    > | null;
    const { to, leader, token, refused, code } = request ?? {};
    if (typeof to !== "string" || typeof leader !== "string" || typeof token !== "string") return undefined;
    if (typeof refused !== "string") return { to, leader, token };
    return { to, leader, token, refused, code: code === "invalid-argument" ? code : "unavailable" };
  } catch {
    // Anybody may write anything there.
    return undefined;
  }
}

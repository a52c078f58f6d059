import { create } from "@bufbuild/protobuf";
import { type EtcdClient, EtcdError, type Op, range, remove } from "@tenure/etcd";
import { type KeyValue, KeyValueSchema, type TxnResponse, TxnResponseSchema } from "@tenure/etcd/rpc";
import { ManualClock, seededRandom } from "@tenure/etcd/runtime";
import { describe, expect, it, vi } from "vitest";
import { Candidacy } from "./candidacy.ts";
import { KeyListeners } from "./key-listeners.ts";
import { Listeners } from "./listeners.ts";
import type { SessionHold } from "./session-pool.ts";
import { TenureError } from "./errors.ts";
import { turn } from "./testing/turn.ts";
import { TxnBatch } from "./txn-batch.ts";
import { type Snapshot, snapshotOf, type ViewEntry } from "./view.ts";
import type { ViewFeed } from "./view-feed.ts";

/** Time that passes as soon as somebody waits for it. */
class HastyClock extends ManualClock {
  override after(delayMs: number, callback: () => void): () => void {
    setImmediate(() => this.advance(delayMs));
    return super.after(delayMs, callback);
  }
}

const LEASE_ID = 0xabcn;
const KEY = "e/abc";

function kv(key: string, createRevision: bigint, lease = LEASE_ID): KeyValue {
  return create(KeyValueSchema, { key: Buffer.from(key), createRevision, modRevision: createRevision, lease });
}

/** A candidacy whose surroundings are played by the test. */
function setUp() {
  const changed = new Listeners<Snapshot>();
  const standing = new KeyListeners();
  const refused = new Listeners<TenureError>();
  let snapshot: Snapshot | undefined;
  let answer: (response: TxnResponse) => void = () => undefined;
  let refuse: (error: EtcdError) => void = () => undefined;
  /** What each transaction that was sent would do. */
  const sent: (readonly Op[])[] = [];
  let ops: readonly Op[] = [];
  const txn = {
    if: () => txn,
    success: (...given: Op[]) => {
      ops = given;
      return txn;
    },
    failure: () => txn,
    commit: () => {
      sent.push(ops);
      return new Promise<TxnResponse>((resolve, reject) => {
        answer = resolve;
        refuse = reject;
      });
    },
  };
  const show = (kvs: readonly KeyValue[], revision: bigint): void => {
    if (snapshot !== undefined && revision <= snapshot.revision) return;
    const before = snapshot;
    snapshot = snapshotOf(kvs, revision);
    standing.tell(before, snapshot);
    changed.emit(snapshot);
  };
  const feed = {
    changed,
    standing,
    refused,
    readsEnough: false,
    foreign: undefined as ViewEntry | undefined,
    get snapshot() {
      return snapshot;
    },
    open: () => () => undefined,
    expectRead: () => (kvs?: readonly KeyValue[], revision?: bigint) => {
      if (kvs !== undefined && revision !== undefined) show(kvs, revision);
    },
  };
  const session = {
    leaseId: LEASE_ID,
    ttlMs: 9000,
    proven: true,
    overdue: false,
    error: undefined as TenureError | undefined,
    lapsesAt: 0,
    end: vi.fn<() => void>(),
    ended: new Listeners<TenureError>(),
    cleared: new Listeners<void>(),
  };
  const hold = { session, release: vi.fn<() => void>(), retire: vi.fn<() => void>() };
  const clock = new HastyClock();
  const closing = new AbortController();
  const surroundings = { kv: { txn: () => txn }, clock, random: seededRandom(1), closed: closing.signal };
  const etcd = surroundings as unknown as EtcdClient;
  const candidacy = new Candidacy({
    etcd,
    prefix: "e/",
    feed: feed as unknown as ViewFeed,
    hold: hold as unknown as SessionHold,
    value: Buffer.from("v"),
    batch: new TxnBatch(etcd),
  });
  const fail = (error: EtcdError): void => refuse(error);
  const respond = (kvs: readonly KeyValue[], revision: bigint, succeeded = true): void => {
    const range = { case: "responseRange" as const, value: { kvs: [...kvs] } };
    answer(create(TxnResponseSchema, { header: { revision }, succeeded, responses: [{ response: range }] }));
  };
  return { candidacy, feed, show, refused, respond, fail, session, sent, hold, clock, closing };
}

describe("Candidacy", () => {
  it("is elected when the watch shows its key before the campaign's answer comes", async () => {
    const { candidacy, show, respond } = setUp();
    show([], 6n);
    const elected = candidacy.elected(undefined);
    show([kv(KEY, 7n)], 7n);
    expect(candidacy.leads).toBe(false);
    respond([kv(KEY, 7n)], 7n);
    await elected;
    expect(candidacy.leads).toBe(true);
  });

  it("is lost when the watch shows its key gone before the campaign's answer comes", async () => {
    const { candidacy, show, respond } = setUp();
    const elected = candidacy.elected(undefined);
    show([kv(KEY, 7n)], 7n);
    show([], 8n);
    respond([kv(KEY, 7n)], 7n);
    await expect(elected).rejects.toMatchObject({ code: "leadership-lost" });
    expect(candidacy.leads).toBe(false);
  });

  it("is not elected by a snapshot that is older than its key", async () => {
    const { candidacy, show, respond } = setUp();
    const elected = candidacy.elected(undefined);
    respond([kv("e/1", 3n, 1n), kv(KEY, 7n)], 7n);
    show([kv("e/1", 3n, 1n), kv(KEY, 7n), kv("e/2", 8n, 2n)], 8n);
    await turn();
    expect(candidacy.state.t).toBe("queued");
    show([kv(KEY, 7n), kv("e/2", 8n, 2n)], 9n);
    await elected;
    expect(candidacy.leads).toBe(true);
  });

  it("among a crowd reads its own key alone, and is elected by what the view shows", async () => {
    const { candidacy, feed, show, respond, sent } = setUp();
    feed.readsEnough = true;
    const elected = candidacy.elected(undefined);
    expect(sent[0]?.[1]).toEqual(range(KEY));
    show([kv("e/1", 3n, 1n)], 6n);
    respond([kv(KEY, 7n)], 7n);
    await turn();
    expect([candidacy.state.t, candidacy.snapshot?.revision]).toEqual(["queued", 6n]);
    show([kv("e/1", 3n, 1n), kv(KEY, 7n)], 7n);
    expect(candidacy.state.t).toBe("queued");
    show([kv(KEY, 7n)], 8n);
    await elected;
    expect(candidacy.leads).toBe(true);
  });

  it("among a crowd is over when the view shows its key beside one that is no candidate's", async () => {
    const { candidacy, feed, show, respond } = setUp();
    feed.readsEnough = true;
    const elected = candidacy.elected(undefined);
    elected.catch(() => undefined);
    respond([kv(KEY, 7n)], 7n);
    await turn();
    expect(candidacy.state.t).toBe("queued");
    const shown = [kv("e/other", 3n, 0n), kv(KEY, 7n)];
    [feed.foreign] = snapshotOf(shown, 7n).entries;
    show(shown, 7n);
    await expect(elected).rejects.toMatchObject({ code: "nested-election" });
  });

  it("that is left before the campaign's answer comes deletes the key that it put", async () => {
    const { candidacy, respond, sent, hold } = setUp();
    const controller = new AbortController();
    const elected = candidacy.elected(controller.signal);
    controller.abort();
    await expect(elected).rejects.toMatchObject({ code: "aborted" });
    const left = candidacy.leave();
    respond([kv(KEY, 7n)], 7n);
    await vi.waitFor(() => expect(sent).toHaveLength(2));
    expect(sent[1]).toEqual([remove(KEY)]);
    expect(hold.release).not.toHaveBeenCalled();
    respond([], 8n);
    await left;
    expect(hold.release).toHaveBeenCalledOnce();
    expect(hold.retire).not.toHaveBeenCalled();
  });

  it("does not lead while its lease is not proven, whatever the view shows", async () => {
    const { candidacy, respond, session } = setUp();
    const elected = candidacy.elected(undefined);
    respond([kv(KEY, 7n)], 7n);
    await elected;
    session.proven = false;
    expect(candidacy.leads).toBe(false);
  });

  it("is not promoted while its lease is in doubt, but as soon as the doubt is cleared", async () => {
    const { candidacy, respond, show, session } = setUp();
    const elected = candidacy.elected(undefined);
    respond([kv("e/1", 3n, 1n), kv(KEY, 7n)], 7n);
    await turn();
    session.proven = false;
    show([kv(KEY, 7n)], 8n);
    expect(candidacy.state.t).toBe("queued");
    session.proven = true;
    session.cleared.emit();
    await elected;
    expect(candidacy.leads).toBe(true);
  });

  it("is over when it may not see the queue, with the reason", async () => {
    const refusal = new TenureError("permission-denied", "permission denied");
    for (const [queue, code] of [
      [[kv("e/1", 3n, 1n), kv(KEY, 7n)], "permission-denied"],
      [[kv(KEY, 7n)], "leadership-lost"],
    ] as const) {
      const { candidacy, respond, refused } = setUp();
      const elected = candidacy.elected(undefined);
      elected.catch(() => undefined);
      refused.emit(refusal);
      expect(candidacy.state.t).toBe("joining");
      respond(queue, 7n);
      await turn();
      refused.emit(refusal);
      expect(candidacy.state).toMatchObject({ t: "over", error: { code } });
    }
  });

  it("is lost when another key is the first one all of a sudden", async () => {
    const { candidacy, respond, show } = setUp();
    const elected = candidacy.elected(undefined);
    respond([kv(KEY, 7n)], 7n);
    await elected;
    show([kv("e/1", 3n, 1n), kv(KEY, 7n)], 8n);
    expect(candidacy.state).toMatchObject({ t: "over", error: { code: "leadership-lost" } });
  });

  it("adopts the key of a try whose answer was lost, and deletes any other that has its name", async () => {
    const lostAnswer = new EtcdError("unavailable", "lost");
    for (const tries of [0, 1]) {
      const { candidacy, respond, fail, sent } = setUp();
      const elected = candidacy.elected(undefined);
      elected.catch(() => undefined);
      if (tries > 0) fail(lostAnswer);
      await vi.waitFor(() => expect(sent).toHaveLength(tries + 1));
      respond([kv(KEY, 7n)], 9n, false);
      await turn();
      expect(candidacy.leads).toBe(tries > 0);
      if (tries > 0) continue;
      expect(sent[1]).toEqual([remove(KEY)]);
      respond([], 10n);
      await vi.waitFor(() => expect(sent).toHaveLength(3));
      respond([kv(KEY, 11n)], 11n);
      await elected;
      expect(candidacy.leads).toBe(true);
    }
  });

  it("deletes on sight the key of a transaction carried out after it left, while its lease lives", async () => {
    const { candidacy, respond, fail, show, sent, session, hold } = setUp();
    const elected = candidacy.elected(undefined);
    elected.catch(() => undefined);
    const left = candidacy.leave();
    fail(new EtcdError("deadline-exceeded", "no answer"));
    await vi.waitFor(() => expect(sent).toHaveLength(2));
    respond([], 7n);
    await left;
    // Nobody else may use this lease in this election.
    expect(hold.retire).toHaveBeenCalledOnce();
    const before = sent.length;
    show([kv(KEY, 9n)], 9n);
    expect(sent.slice(before)).toEqual([[remove(KEY)]]);
    respond([], 10n);
    await turn();
    show([], 10n);
    show([kv(KEY, 11n)], 11n);
    expect(sent).toHaveLength(before + 2);
    respond([], 12n);
    await turn();
    session.ended.emit(new TenureError("session-ended", "over"));
    show([kv(KEY, 13n)], 13n);
    expect(sent).toHaveLength(before + 2);
  });

  it("tells of its end once, with one error, who waits for it and who comes later", async () => {
    const { candidacy, respond, show } = setUp();
    const elected = candidacy.elected(undefined);
    respond([kv(KEY, 7n)], 7n);
    await elected;
    const errors: TenureError[] = [];
    candidacy.whenOver(({ error }) => errors.push(error));
    expect(errors).toEqual([]);
    candidacy.stop("not-leader", "stepped down");
    show([], 8n);
    candidacy.whenOver(({ error }) => errors.push(error));
    expect(errors).toMatchObject([{ code: "not-leader", message: "stepped down" }, {}]);
    expect(errors[0]).toBe(errors[1]);
  });

  it("whose lease could not be proven deletes its key once the TTL is over, as soon as etcd answers", async () => {
    const { candidacy, respond, fail, session, sent, clock } = setUp();
    const elected = candidacy.elected(undefined);
    respond([kv(KEY, 7n)], 7n);
    await elected;
    session.error = new TenureError("session-ended", "not proven in time", { sessionEnd: "expired" });
    session.lapsesAt = 600;
    const left = candidacy.leave();
    expect(sent).toHaveLength(1);
    for (let tries = 2; tries < 40; tries++) {
      await vi.waitFor(() => expect(sent).toHaveLength(tries));
      expect(clock.now()).toBeGreaterThanOrEqual(600);
      fail(new EtcdError("unavailable", "no quorum"));
    }
    await vi.waitFor(() => expect(sent).toHaveLength(40));
    respond([], 90n);
    await left;
    expect(sent.slice(1)).toEqual(Array.from({ length: 39 }, () => [remove(KEY)]));
  });

  it("whose lease could not be proven lets go of its key when the client is closed", async () => {
    const { candidacy, respond, fail, session, sent, closing, hold } = setUp();
    const elected = candidacy.elected(undefined);
    respond([kv(KEY, 7n)], 7n);
    await elected;
    session.error = new TenureError("session-ended", "not proven in time", { sessionEnd: "expired" });
    const left = candidacy.leave();
    await vi.waitFor(() => expect(sent).toHaveLength(2));
    closing.abort();
    fail(new EtcdError("unavailable", "the client is closed"));
    await left;
    expect(hold.release).toHaveBeenCalledOnce();
  });
});

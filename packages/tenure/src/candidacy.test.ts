import { create } from "@bufbuild/protobuf";
import { type EtcdClient, type Op, remove } from "@tenure/etcd";
import { type KeyValue, KeyValueSchema, type TxnResponse, TxnResponseSchema } from "@tenure/etcd/rpc";
import { ManualClock, seededRandom } from "@tenure/etcd/runtime";
import { describe, expect, it, vi } from "vitest";
import { Candidacy } from "./candidacy.ts";
import { Listeners } from "./listeners.ts";
import type { SessionHold } from "./session-pool.ts";
import type { TenureError } from "./errors.ts";
import { type Snapshot, snapshotOf } from "./view.ts";
import type { ViewFeed } from "./view-feed.ts";

const LEASE_ID = 0xabcn;
const KEY = "e/abc";

function kv(key: string, createRevision: bigint, lease = LEASE_ID): KeyValue {
  return create(KeyValueSchema, { key: Buffer.from(key), createRevision, modRevision: createRevision, lease });
}

/** A candidacy whose surroundings are played by the test. */
function setUp() {
  const changed = new Listeners<Snapshot>();
  let snapshot: Snapshot | undefined;
  let answer: (response: TxnResponse) => void = () => undefined;
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
      return new Promise<TxnResponse>((resolve) => (answer = resolve));
    },
  };
  const show = (kvs: readonly KeyValue[], revision: bigint): void => {
    if (snapshot !== undefined && revision <= snapshot.revision) return;
    snapshot = snapshotOf(kvs, revision);
    changed.emit(snapshot);
  };
  const feed = {
    changed,
    get snapshot() {
      return snapshot;
    },
    open: () => () => undefined,
    expectRead: () => (kvs?: readonly KeyValue[], revision?: bigint) => {
      if (kvs !== undefined && revision !== undefined) show(kvs, revision);
    },
  };
  const session = { leaseId: LEASE_ID, proven: true, error: undefined, ended: new Listeners<TenureError>() };
  const hold = { session, release: vi.fn<() => void>(), retire: vi.fn<() => void>() };
  const candidacy = new Candidacy({
    etcd: { kv: { txn: () => txn }, clock: new ManualClock(), random: seededRandom(1) } as unknown as EtcdClient,
    prefix: "e/",
    feed: feed as unknown as ViewFeed,
    hold: hold as unknown as SessionHold,
    value: Buffer.from("v"),
  });
  const respond = (kvs: readonly KeyValue[], revision: bigint): void => {
    const range = { case: "responseRange" as const, value: { kvs: [...kvs] } };
    answer(create(TxnResponseSchema, { header: { revision }, succeeded: true, responses: [{ response: range }] }));
  };
  return { candidacy, show, respond, session, sent, hold };
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
    await Promise.resolve();
    expect(candidacy.state.t).toBe("queued");
    show([kv(KEY, 7n), kv("e/2", 8n, 2n)], 9n);
    await elected;
    expect(candidacy.leads).toBe(true);
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
});

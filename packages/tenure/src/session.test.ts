import { EtcdError } from "@tenure/etcd";
import { describe, expect, it, vi } from "vitest";
import type { TenureError } from "./errors.ts";
import { FakeLeases, lost, PROVEN_MS, TTL_MS, unanswered } from "./testing/fake-leases.ts";
import { passTime } from "./testing/pass-time.ts";
import { turn } from "./testing/turn.ts";

describe("a session", () => {
  it("is proven from the sending of the grant, however long the answer took", async () => {
    const store = new FakeLeases();
    store.onGrant = () => {
      store.clock.freeze(3000);
      return Promise.resolve(9n);
    };
    store.onKeepAlive = unanswered;
    const session = await store.session();
    expect(store.clock.now()).toBe(3000);
    await passTime(store.clock, PROVEN_MS - 3000 - 1);
    expect(session.proven).toBe(true);
    store.clock.freeze(1);
    expect(session.proven).toBe(false);
  });

  it("is not proven from its deadline on, even though no timer ran and nobody was told", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    const ended = vi.fn<() => void>();
    session.ended.add(ended);
    await passTime(store.clock, PROVEN_MS - 100);
    store.clock.freeze(100 - 0.001);
    expect(session.proven).toBe(true);
    store.clock.freeze(0.001);
    expect(session.proven).toBe(false);
    expect(ended).not.toHaveBeenCalled();
  });

  it("ends at its deadline when no keep-alive is answered, tells so once, and closes its stream", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    const ended: [number, TenureError][] = [];
    session.ended.add((error) => ended.push([store.clock.now(), error]));
    await passTime(store.clock, PROVEN_MS - 1);
    expect([session.proven, session.error]).toEqual([true, undefined]);
    await passTime(store.clock, 60_000);
    expect(ended).toHaveLength(1);
    expect(ended[0]?.[0]).toBe(PROVEN_MS);
    expect(session.error).toMatchObject({ code: "session-ended", sessionEnd: "expired" });
    expect(session.error?.message).toContain(session.leaseId.toString(16));
    expect(store.streams.every(({ signal }) => signal.aborted)).toBe(true);
    expect(store.clock.due).toEqual([]);
  });

  it("says how long it is still proven, counted from the sending, and nothing once it is over", async () => {
    const store = new FakeLeases();
    const session = await store.session();
    expect(session.leftMs).toBe(PROVEN_MS);
    store.clock.freeze(1000);
    expect(session.leftMs).toBe(PROVEN_MS - 1000);
    await passTime(store.clock, 5 * TTL_MS);
    expect(session.leftMs).toBeGreaterThan(PROVEN_MS - TTL_MS / 2);
    store.clock.freeze(TTL_MS);
    expect(session.leftMs).toBe(0);
    session.end("closed", "given back");
    expect(session.leftMs).toBe(0);
  });

  it("takes the TTL that the server granted", async () => {
    const store = new FakeLeases();
    store.onGrant = () => Promise.resolve(20n);
    store.onKeepAlive = unanswered;
    const session = await store.session();
    expect(session.ttlMs).toBe(20_000);
    await passTime(store.clock, 19_299);
    expect(session.proven).toBe(true);
    store.clock.freeze(1);
    expect(session.proven).toBe(false);
  });

  it("that was ended here is over at once, and sends nothing any more", async () => {
    const store = new FakeLeases();
    const session = await store.session();
    session.end("closed", "given back");
    session.end("expired", "too late");
    expect([session.proven, session.error?.message]).toEqual([false, "given back"]);
    await passTime(store.clock, 60_000);
    expect(store.streams).toHaveLength(0);
    expect(store.clock.due).toEqual([]);
  });
});

describe("a session whose process stood still", () => {
  const STALL_MS = 2000;

  it("is in doubt at the first look, though its deadline is far and no timer ran", async () => {
    const store = new FakeLeases();
    const session = await store.session();
    await passTime(store.clock, 1000);
    store.clock.freeze(500);
    expect([session.proven, session.overdue]).toEqual([true, false]);
    store.clock.freeze(1);
    expect([session.proven, session.overdue, session.error]).toEqual([false, false, undefined]);
  });

  it("asks for a keep-alive at once, and is proven again when it is answered", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    const cleared = vi.fn<() => void>();
    session.cleared.add(cleared);
    await passTime(store.clock, 500);
    store.clock.freeze(STALL_MS);
    await passTime(store.clock, 0);
    expect(store.streams[0]?.sentAt).toEqual([2500]);
    expect([session.proven, cleared.mock.calls.length]).toEqual([false, 0]);
    store.streams[0]?.answer(9);
    await turn();
    expect([session.proven, cleared.mock.calls.length]).toEqual([true, 1]);
  });

  it("is not proven by the answer to a keep-alive from before, but by the next", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    await passTime(store.clock, 3100);
    store.clock.freeze(STALL_MS);
    // Read before any timer ran.
    store.streams[0]?.answer(9);
    await turn();
    expect(session.proven).toBe(false);
    expect(store.streams[0]?.sentAt).toEqual([3000, 5100]);
    store.streams[0]?.answer(9);
    await turn();
    expect(session.proven).toBe(true);
  });

  it("ends as soon as it runs again, when the deadline has passed meanwhile", async () => {
    const store = new FakeLeases();
    const session = await store.session();
    store.clock.freeze(PROVEN_MS);
    expect(session.overdue).toBe(true);
    await passTime(store.clock, 0);
    expect(session.error?.code).toBe("session-ended");
  });

  it("ends at its deadline when nothing clears the doubt", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    store.clock.freeze(STALL_MS);
    await passTime(store.clock, PROVEN_MS - STALL_MS - 1);
    expect([session.proven, session.error]).toEqual([false, undefined]);
    await passTime(store.clock, 1);
    expect(session.error?.code).toBe("session-ended");
  });

  it("knows when its whole TTL is over, counted from the last keep-alive that was answered", async () => {
    const store = new FakeLeases();
    const session = await store.session();
    expect(session.lapsesAt).toBe(TTL_MS);
    await passTime(store.clock, 2 * TTL_MS);
    expect(session.lapsesAt).toBe(3 * TTL_MS);
  });

  it("does not give up a stream whose answer may be here, unread", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    await store.session();
    await passTime(store.clock, 3000);
    store.clock.freeze(4000);
    await passTime(store.clock, 0);
    expect(store.streams.map(({ signal }) => signal.aborted)).toEqual([false]);
  });
});

describe("closing the client", () => {
  it("ends a session, which leaves no timer", async () => {
    const store = new FakeLeases();
    const session = await store.session();
    store.closing.abort();
    await turn();
    expect([session.proven, session.error?.code, store.clock.due]).toEqual([false, "session-ended", []]);
  });
});

describe("keep-alives", () => {
  it("go out at every third of the TTL over one stream, and keep the session for ever", async () => {
    const store = new FakeLeases();
    const session = await store.session();
    await passTime(store.clock, 10 * TTL_MS);
    expect(store.streams).toHaveLength(1);
    expect(store.streams[0]?.sentAt).toEqual(Array.from({ length: 30 }, (_, index) => (index + 1) * 3000));
    expect(session.proven).toBe(true);
  });

  it("prove the lease from when they were sent, however long the answer took", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    await passTime(store.clock, 3000);
    await passTime(store.clock, 1400);
    store.streams[0]?.answer(9);
    await passTime(store.clock, PROVEN_MS - 1400 - 1);
    expect(session.proven).toBe(true);
    store.clock.freeze(1);
    expect(session.proven).toBe(false);
  });

  it("do not bring back a lease that was not proven for a moment, even when its timer is late", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    await passTime(store.clock, 3000);
    store.clock.freeze(PROVEN_MS - 3000);
    const ended = vi.fn<() => void>();
    session.ended.add(ended);
    expect(session.proven).toBe(false);
    store.streams[0]?.answer(9);
    await turn();
    expect([session.proven, session.error?.code]).toEqual([false, "session-ended"]);
    expect(ended).toHaveBeenCalledOnce();
  });

  it("go out a third of the TTL after the last was sent, not after it was answered", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    await store.session();
    await passTime(store.clock, 4000);
    store.streams[0]?.answer(9);
    await passTime(store.clock, 2000);
    expect(store.streams[0]?.sentAt).toEqual([3000, 6000]);
  });

  it("are matched to their answers first in, first out: a surplus answer proves nothing", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    await passTime(store.clock, 3000);
    store.streams[0]?.answer(9);
    await passTime(store.clock, 2900);
    // Nothing was asked since 3000, so this answers nothing.
    store.streams[0]?.answer(9);
    await passTime(store.clock, 3000 + PROVEN_MS - store.clock.now() - 1);
    expect(session.proven).toBe(true);
    store.clock.freeze(1);
    expect(session.proven).toBe(false);
  });

  it("answered with a TTL of 0 end the session as revoked: it cannot have expired yet", async () => {
    for (const ttl of [0, -1]) {
      const store = new FakeLeases();
      store.onKeepAlive = (stream) => stream.answer(ttl);
      const session = await store.session();
      await passTime(store.clock, 3000);
      expect(session.error).toMatchObject({ code: "session-ended", sessionEnd: "revoked" });
      expect(session.error?.message).toContain("etcd does not know it");
      await passTime(store.clock, 60_000);
      expect(store.streams).toHaveLength(1);
    }
  });

  it("go out on a new stream when one was not answered for a sixth of the TTL", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = (stream) => {
      if (store.streams.length > 1) stream.answer(9);
    };
    const session = await store.session();
    await passTime(store.clock, 4499);
    expect(store.streams).toHaveLength(1);
    await passTime(store.clock, 1);
    expect(store.streams.map(({ sentAt }) => sentAt)).toEqual([[3000], [4500]]);
    const [silent] = store.streams;
    expect(silent?.signal.reason).toMatchObject({ name: "EtcdError", code: "deadline-exceeded" });
    await passTime(store.clock, 20_000);
    expect([session.proven, store.streams.length]).toEqual([true, 2]);
  });

  it("count when they come late, although others are under way, which are given up then", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    await passTime(store.clock, 6000);
    expect(store.streams.map(({ sentAt, suspect }) => [sentAt, suspect])).toEqual([
      [[3000], true],
      [[4500], true],
      [[5250], true],
      [[6000], false],
    ]);
    store.streams[0]?.answer(9);
    await turn();
    expect(store.streams.map(({ signal }) => signal.aborted)).toEqual([false, true, true, true]);
    await passTime(store.clock, 3000 + PROVEN_MS - 6000 - 1);
    expect(session.proven).toBe(true);
  });

  it("are under way on six streams at most", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = unanswered;
    await store.session();
    await passTime(store.clock, PROVEN_MS - 1);
    expect(store.streams.map(({ signal }) => signal.aborted)).toEqual([
      true,
      ...Array.from({ length: 6 }, () => false),
    ]);
    expect(store.streams[0]?.signal.reason).toMatchObject({ code: "deadline-exceeded" });
  });

  it("are hedged on, although a hedge fails at once while others are silent", async () => {
    const store = new FakeLeases();
    // The first is blocked in a member that waits for a leader; a dead member refuses; then there is a leader again.
    store.onKeepAlive = (stream) => {
      if (store.clock.now() > 7000) stream.answer(9);
      else if (store.streams.length % 2 === 0) stream.fail(lost());
    };
    const session = await store.session();
    await passTime(store.clock, 7600);
    expect(session.proven).toBe(true);
    await passTime(store.clock, PROVEN_MS - 600);
    expect(session.proven).toBe(true);
  });

  it("go on after a stream broke, after a pause that a broken connection needs", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = (stream) => {
      if (store.streams.length < 4) stream.fail(lost());
      else stream.answer(9);
    };
    const session = await store.session();
    await passTime(store.clock, 5000);
    expect(store.streams).toHaveLength(4);
    const opened = store.streams.map(({ openedAt }) => openedAt);
    const gaps = opened.slice(1).map((openedAt, index) => openedAt - (opened[index] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(25);
    await passTime(store.clock, 60_000);
    expect([session.proven, store.streams.length]).toEqual([true, 4]);
  });

  it("that are refused for a missing permission end the session with that", async () => {
    const store = new FakeLeases();
    store.onKeepAlive = (stream) => stream.fail(new EtcdError("permission-denied", "etcdserver: permission denied"));
    const session = await store.session();
    await passTime(store.clock, 3000);
    expect(session.error).toMatchObject({ code: "permission-denied", sessionEnd: "auth" });
  });
});

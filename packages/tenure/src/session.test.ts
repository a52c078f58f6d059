import { EtcdError, type EtcdClient } from "@tenure/etcd";
import { type Clock, seededRandom } from "@tenure/etcd/runtime";
import { describe, expect, it, vi } from "vitest";
import { TenureError } from "./errors.ts";
import { isTenureLease } from "./names.ts";
import { grantSession, type Session } from "./session.ts";

const TTL_MS = 9000;
/** 9 s less 1 % less half a second. */
const PROVEN_MS = 8410;

/** Time that passes only when it is told to. */
class ManualClock implements Clock {
  readonly timers = new Set<{ readonly dueAt: number; readonly callback: () => void }>();
  #nowMs = 0;
  now(): number {
    return this.#nowMs;
  }
  date(): Date {
    return new Date(this.#nowMs);
  }
  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueAt: this.#nowMs + delayMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }
  /** Time passes and nothing runs, as when the process is frozen. */
  freeze(byMs: number): void {
    this.#nowMs += byMs;
  }
  /** Lets time pass in small steps, and everything run that becomes due. */
  async advance(byMs: number): Promise<void> {
    const until = this.#nowMs + byMs;
    for (;;) {
      await turn();
      const next = [...this.timers].toSorted((a, b) => a.dueAt - b.dueAt)[0];
      if (next === undefined || next.dueAt > until) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueAt);
      this.timers.delete(next);
      next.callback();
    }
    this.#nowMs = Math.max(this.#nowMs, until);
    await turn();
  }
}

async function turn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}

/** One stream of keep-alives as the server sees it. */
class Stream {
  readonly signal: AbortSignal;
  readonly openedAt: number;
  /** When each request was sent. */
  readonly sentAt: number[] = [];
  readonly #answers: bigint[] = [];
  #wake: () => void = () => undefined;
  #failure: EtcdError | undefined;

  constructor(signal: AbortSignal, openedAt: number) {
    this.signal = signal;
    this.openedAt = openedAt;
    signal.addEventListener("abort", () => this.fail(EtcdError.from(signal.reason)));
  }

  answer(ttlSeconds: number): void {
    this.#answers.push(BigInt(ttlSeconds));
    this.#wake();
  }

  fail(error: EtcdError): void {
    this.#failure ??= error;
    this.#wake();
  }

  async *read(): AsyncGenerator<{ TTL: bigint }> {
    for (;;) {
      const ttl = this.#answers.shift();
      if (ttl !== undefined) yield { TTL: ttl };
      else if (this.#failure !== undefined) throw this.#failure;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

interface Grant {
  readonly ttlSeconds: bigint;
  readonly id: bigint;
}

/** A store that knows leases only, and does what the test says. */
class FakeStore {
  readonly clock = new ManualClock();
  readonly grants: Grant[] = [];
  readonly revoked: bigint[] = [];
  readonly streams: Stream[] = [];
  /** Answers a grant: the TTL in seconds. */
  onGrant: (grant: Grant) => Promise<bigint> = ({ ttlSeconds }) => Promise.resolve(ttlSeconds);
  /** Called with each keep-alive. */
  onKeepAlive: (stream: Stream) => void = (stream) => stream.answer(TTL_MS / 1000);

  readonly closing = new AbortController();
  readonly etcd = {
    clock: this.clock,
    closed: this.closing.signal,
    random: seededRandom(1),
    lease: {
      grant: async (ttlSeconds: bigint, { id }: { id: bigint }) => {
        const grant = { ttlSeconds, id };
        this.grants.push(grant);
        return { ID: id, TTL: await this.onGrant(grant) };
      },
      revoke: (id: bigint) => {
        this.revoked.push(id);
        return Promise.resolve();
      },
      keepAlive: (signal: AbortSignal) => {
        const stream = new Stream(signal, this.clock.now());
        this.streams.push(stream);
        const send = (): void => {
          stream.sentAt.push(this.clock.now());
          this.onKeepAlive(stream);
        };
        return { send, answers: stream.read() };
      },
    },
  } as unknown as EtcdClient;

  async session(signal: AbortSignal = new AbortController().signal): Promise<Session> {
    const granted = grantSession(this.etcd, TTL_MS, signal);
    await this.clock.advance(0);
    return granted;
  }
}

function unanswered(): void {
  // The member is frozen.
}

const lost = (): EtcdError => new EtcdError("unavailable", "the connection was lost");

async function failure(promise: Promise<unknown>): Promise<TenureError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof TenureError) return error;
  throw new Error("it did not fail as it should", { cause: error });
}

describe("a session", () => {
  it("is proven from the sending of the grant, however long the answer took", async () => {
    const store = new FakeStore();
    store.onGrant = () => {
      store.clock.freeze(3000);
      return Promise.resolve(9n);
    };
    const session = await store.session();
    expect(store.clock.now()).toBe(3000);
    store.clock.freeze(PROVEN_MS - 3000 - 1);
    expect(session.proven).toBe(true);
    store.clock.freeze(1);
    expect(session.proven).toBe(false);
  });

  it("is not proven from its deadline on, even though no timer ran and nobody was told", async () => {
    const store = new FakeStore();
    const session = await store.session();
    const ended = vi.fn<() => void>();
    session.ended.add(ended);
    store.clock.freeze(PROVEN_MS - 0.001);
    expect(session.proven).toBe(true);
    store.clock.freeze(0.001);
    expect(session.proven).toBe(false);
    expect(ended).not.toHaveBeenCalled();
  });

  it("ends at its deadline when no keep-alive is answered, tells so once, and closes its stream", async () => {
    const store = new FakeStore();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    const ended: [number, TenureError][] = [];
    session.ended.add((error) => ended.push([store.clock.now(), error]));
    await store.clock.advance(PROVEN_MS - 1);
    expect([session.proven, session.error]).toEqual([true, undefined]);
    await store.clock.advance(60_000);
    expect(ended).toHaveLength(1);
    expect(ended[0]?.[0]).toBe(PROVEN_MS);
    expect(session.error?.code).toBe("session-ended");
    expect(session.error?.message).toContain(session.leaseId.toString(16));
    expect(store.streams.every(({ signal }) => signal.aborted)).toBe(true);
    expect(store.clock.timers.size).toBe(0);
  });

  it("takes the TTL that the server granted", async () => {
    const store = new FakeStore();
    store.onGrant = () => Promise.resolve(20n);
    const session = await store.session();
    expect(session.ttlMs).toBe(20_000);
    store.clock.freeze(19_299);
    expect(session.proven).toBe(true);
    store.clock.freeze(1);
    expect(session.proven).toBe(false);
  });

  it("that was ended here is over at once, and sends nothing any more", async () => {
    const store = new FakeStore();
    const session = await store.session();
    session.end("closed", new TenureError("session-ended", "given back"));
    session.end("expired", new TenureError("session-ended", "too late"));
    expect([session.proven, session.error?.message]).toEqual([false, "given back"]);
    await store.clock.advance(60_000);
    expect(store.streams).toHaveLength(0);
    expect(store.clock.timers.size).toBe(0);
  });
});

describe("closing the client", () => {
  it("ends a session, which leaves no timer", async () => {
    const store = new FakeStore();
    const session = await store.session();
    store.closing.abort();
    await turn();
    expect([session.proven, session.error?.code, store.clock.timers.size]).toEqual([false, "session-ended", 0]);
  });
});

describe("keep-alives", () => {
  it("go out at every third of the TTL over one stream, and keep the session for ever", async () => {
    const store = new FakeStore();
    const session = await store.session();
    await store.clock.advance(10 * TTL_MS);
    expect(store.streams).toHaveLength(1);
    expect(store.streams[0]?.sentAt).toEqual(Array.from({ length: 30 }, (_, index) => (index + 1) * 3000));
    expect(session.proven).toBe(true);
  });

  it("prove the lease from when they were sent, however long the answer took", async () => {
    const store = new FakeStore();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    await store.clock.advance(3000);
    await store.clock.advance(1400);
    store.streams[0]?.answer(9);
    await turn();
    store.clock.freeze(PROVEN_MS - 1400 - 1);
    expect(session.proven).toBe(true);
    store.clock.freeze(1);
    expect(session.proven).toBe(false);
  });

  it("go out a third of the TTL after the last was sent, not after it was answered", async () => {
    const store = new FakeStore();
    store.onKeepAlive = unanswered;
    await store.session();
    await store.clock.advance(4000);
    store.streams[0]?.answer(9);
    await store.clock.advance(2000);
    expect(store.streams[0]?.sentAt).toEqual([3000, 6000]);
  });

  it("are matched to their answers first in, first out: a surplus answer proves nothing", async () => {
    const store = new FakeStore();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    await store.clock.advance(3000);
    store.streams[0]?.answer(9);
    await store.clock.advance(2900);
    // Nothing was asked since 3000, so this answers nothing.
    store.streams[0]?.answer(9);
    await turn();
    store.clock.freeze(3000 + PROVEN_MS - store.clock.now() - 1);
    expect(session.proven).toBe(true);
    store.clock.freeze(1);
    expect(session.proven).toBe(false);
  });

  it("answered with a TTL of 0 end the session as expired", async () => {
    for (const ttl of [0, -1]) {
      const store = new FakeStore();
      store.onKeepAlive = (stream) => stream.answer(ttl);
      const session = await store.session();
      await store.clock.advance(3000);
      expect(session.error).toMatchObject({ code: "session-ended" });
      expect(session.error?.message).toContain("etcd does not know it any more");
      await store.clock.advance(60_000);
      expect(store.streams).toHaveLength(1);
    }
  });

  it("go out on a new stream when one was not answered for a sixth of the TTL", async () => {
    const store = new FakeStore();
    store.onKeepAlive = (stream) => {
      if (store.streams.length > 1) stream.answer(9);
    };
    const session = await store.session();
    await store.clock.advance(4499);
    expect(store.streams).toHaveLength(1);
    await store.clock.advance(1);
    expect(store.streams.map(({ sentAt }) => sentAt)).toEqual([[3000], [4500]]);
    const [silent] = store.streams;
    expect(silent?.signal.reason).toMatchObject({ name: "EtcdError", code: "deadline-exceeded" });
    await store.clock.advance(20_000);
    expect([session.proven, store.streams.length]).toEqual([true, 2]);
  });

  it("on a stream that was replaced count no more", async () => {
    const store = new FakeStore();
    store.onKeepAlive = unanswered;
    const session = await store.session();
    await store.clock.advance(4500);
    store.streams[0]?.answer(9);
    await store.clock.advance(PROVEN_MS - 4500);
    expect(session.proven).toBe(false);
  });

  it("go on after a stream broke, after a pause that a broken connection needs", async () => {
    const store = new FakeStore();
    store.onKeepAlive = (stream) => {
      if (store.streams.length < 4) stream.fail(lost());
      else stream.answer(9);
    };
    const session = await store.session();
    await store.clock.advance(5000);
    expect(store.streams).toHaveLength(4);
    const opened = store.streams.map(({ openedAt }) => openedAt);
    const gaps = opened.slice(1).map((openedAt, index) => openedAt - (opened[index] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(25);
    await store.clock.advance(60_000);
    expect([session.proven, store.streams.length]).toEqual([true, 4]);
  });

  it("that are refused for a missing permission end the session with that", async () => {
    const store = new FakeStore();
    store.onKeepAlive = (stream) => stream.fail(new EtcdError("permission-denied", "etcdserver: permission denied"));
    const session = await store.session();
    await store.clock.advance(3000);
    expect(session.error?.code).toBe("permission-denied");
  });
});

describe("a grant", () => {
  it("asks for whole seconds under an id of our own", async () => {
    const store = new FakeStore();
    const session = await store.session();
    expect(store.grants).toEqual([{ ttlSeconds: 9n, id: session.leaseId }]);
    expect(isTenureLease(session.leaseId)).toBe(true);
  });

  it("is repeated with the same id when its outcome is not known, and counts from the last attempt", async () => {
    const store = new FakeStore();
    let repeatedAt = 0;
    store.onGrant = () => {
      if (store.grants.length < 3) return Promise.reject(lost());
      repeatedAt = store.clock.now();
      return Promise.resolve(9n);
    };
    const granted = grantSession(store.etcd, TTL_MS, new AbortController().signal);
    await store.clock.advance(1000);
    const session = await granted;
    expect(new Set(store.grants.map(({ id }) => id))).toEqual(new Set([session.leaseId]));
    expect(store.grants).toHaveLength(3);
    expect(repeatedAt).toBeGreaterThan(0);
    store.clock.freeze(repeatedAt + PROVEN_MS - store.clock.now() - 0.001);
    expect(session.proven).toBe(true);
    store.clock.freeze(0.01);
    expect(session.proven).toBe(false);
  });

  it("takes another id when the first one is taken", async () => {
    const store = new FakeStore();
    const taken = (): EtcdError => new EtcdError("failed-precondition", "etcdserver: lease already exists");
    store.onGrant = () => (store.grants.length === 1 ? Promise.reject(taken()) : Promise.resolve(9n));
    const session = await store.session();
    const [first, second] = store.grants.map(({ id }) => id);
    expect(first).not.toBe(second);
    expect(session.leaseId).toBe(second);
    expect(store.revoked).toEqual([]);
  });

  it("proves nothing by being found done already: a lost first answer costs another id", async () => {
    const store = new FakeStore();
    store.onGrant = () => {
      if (store.grants.length === 1) return Promise.reject(lost());
      if (store.grants.length === 2)
        return Promise.reject(new EtcdError("failed-precondition", "etcdserver: lease already exists"));
      return Promise.resolve(9n);
    };
    const granted = grantSession(store.etcd, TTL_MS, new AbortController().signal);
    await store.clock.advance(1000);
    const session = await granted;
    const ids = store.grants.map(({ id }) => id);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[2]).not.toBe(ids[0]);
    expect(session.leaseId).toBe(ids[2]);
  });

  it("gives up when every id is taken", async () => {
    const store = new FakeStore();
    store.onGrant = () => Promise.reject(new EtcdError("failed-precondition", "etcdserver: lease already exists"));
    const error = await failure(grantSession(store.etcd, TTL_MS, new AbortController().signal));
    expect(error.code).toBe("invalid-argument");
    expect(store.grants).toHaveLength(4);
  });

  it.each(["permission-denied", "unauthenticated", "resource-exhausted"] as const)(
    "that is refused as %s is not repeated",
    async (code) => {
      const store = new FakeStore();
      store.onGrant = () => Promise.reject(new EtcdError(code, "no"));
      expect((await failure(grantSession(store.etcd, TTL_MS, new AbortController().signal))).code).toBe(code);
      expect(store.grants).toHaveLength(1);
      expect(store.clock.timers.size).toBe(0);
    },
  );

  it("is repeated until its signal aborts, and what may have been granted is revoked then", async () => {
    const store = new FakeStore();
    store.onGrant = () => Promise.reject(signal.aborted ? new EtcdError("aborted", "aborted") : lost());
    const controller = new AbortController();
    const { signal } = controller;
    const granted = failure(grantSession(store.etcd, TTL_MS, signal));
    await store.clock.advance(5000);
    expect(store.grants.length).toBeGreaterThan(8);
    controller.abort();
    expect((await granted).code).toBe("aborted");
    expect(store.revoked).toEqual([store.grants[0]?.id]);
  });

  it("with a TTL that etcd cannot keep sends nothing", async () => {
    const store = new FakeStore();
    expect((await failure(grantSession(store.etcd, 1500, new AbortController().signal))).code).toBe("invalid-argument");
    expect(store.grants).toHaveLength(0);
  });
});

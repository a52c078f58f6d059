import { EtcdError } from "@tenure/etcd";
import { describe, expect, it } from "vitest";
import { TenureError } from "./errors.ts";
import { isTenureLease } from "./names.ts";
import { grantSession } from "./session.ts";
import { FakeLeases, lost, PROVEN_MS, TTL_MS, unanswered } from "./testing/fake-leases.ts";
import { passTime } from "./testing/pass-time.ts";

async function failure(promise: Promise<unknown>): Promise<TenureError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof TenureError) return error;
  throw new Error("it did not fail as it should", { cause: error });
}

describe("a grant", () => {
  it("asks for whole seconds under an id of our own", async () => {
    const store = new FakeLeases();
    const session = await store.session();
    expect(store.grants).toEqual([{ ttlSeconds: 9n, id: session.leaseId }]);
    expect(isTenureLease(session.leaseId)).toBe(true);
  });

  it("that was slow is kept alive before it runs out", async () => {
    const store = new FakeLeases();
    const tookMs = 0.65 * TTL_MS;
    store.onGrant = () => new Promise((resolve) => store.clock.after(tookMs, () => resolve(9n)));
    const granted = store.session();
    await passTime(store.clock, tookMs);
    const session = await granted;
    await passTime(store.clock, 1);
    expect(session.proven).toBe(true);
    expect(store.streams).toHaveLength(1);
  });

  it("is repeated with the same id when its outcome is not known, and counts from the last attempt", async () => {
    const store = new FakeLeases();
    let repeatedAt = 0;
    store.onGrant = () => {
      if (store.grants.length < 3) return Promise.reject(lost());
      repeatedAt = store.clock.now();
      return Promise.resolve(9n);
    };
    store.onKeepAlive = unanswered;
    const granted = grantSession(store.etcd, TTL_MS, new AbortController().signal);
    await passTime(store.clock, 1000);
    const session = await granted;
    expect(new Set(store.grants.map(({ id }) => id))).toEqual(new Set([session.leaseId]));
    expect(store.grants).toHaveLength(3);
    expect(repeatedAt).toBeGreaterThan(0);
    await passTime(store.clock, repeatedAt + PROVEN_MS - store.clock.now() - 0.001);
    expect(session.proven).toBe(true);
    store.clock.freeze(0.01);
    expect(session.proven).toBe(false);
  });

  it("whose answer took longer than the lease is proven gives a session that is over, without a timer", async () => {
    const store = new FakeLeases();
    store.onGrant = () => {
      store.clock.freeze(TTL_MS);
      return Promise.resolve(9n);
    };
    const session = await store.session();
    expect(session.error).toMatchObject({ code: "session-ended", sessionEnd: "expired" });
    expect([store.grants.length, store.clock.due]).toEqual([1, []]);
  });

  it("takes another id when the first one is taken", async () => {
    const store = new FakeLeases();
    const taken = (): EtcdError => new EtcdError("failed-precondition", "etcdserver: lease already exists");
    store.onGrant = () => (store.grants.length === 1 ? Promise.reject(taken()) : Promise.resolve(9n));
    const session = await store.session();
    const [first, second] = store.grants.map(({ id }) => id);
    expect(first).not.toBe(second);
    expect(session.leaseId).toBe(second);
    expect(store.revoked).toEqual([]);
  });

  it("proves nothing by being found done already: a lost first answer costs another id", async () => {
    const store = new FakeLeases();
    store.onGrant = () => {
      if (store.grants.length === 1) return Promise.reject(lost());
      if (store.grants.length === 2)
        return Promise.reject(new EtcdError("failed-precondition", "etcdserver: lease already exists"));
      return Promise.resolve(9n);
    };
    const granted = grantSession(store.etcd, TTL_MS, new AbortController().signal);
    await passTime(store.clock, 1000);
    const session = await granted;
    const ids = store.grants.map(({ id }) => id);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[2]).not.toBe(ids[0]);
    expect(session.leaseId).toBe(ids[2]);
  });

  it("gives up when every id is taken", async () => {
    const store = new FakeLeases();
    store.onGrant = () => Promise.reject(new EtcdError("failed-precondition", "etcdserver: lease already exists"));
    const error = await failure(grantSession(store.etcd, TTL_MS, new AbortController().signal));
    expect(error.code).toBe("invalid-argument");
    expect(store.grants).toHaveLength(4);
  });

  it.each(["permission-denied", "unauthenticated", "resource-exhausted"] as const)(
    "that is refused as %s is not repeated",
    async (code) => {
      const store = new FakeLeases();
      store.onGrant = () => Promise.reject(new EtcdError(code, "no"));
      expect((await failure(grantSession(store.etcd, TTL_MS, new AbortController().signal))).code).toBe(code);
      expect(store.grants).toHaveLength(1);
      expect(store.clock.due).toEqual([]);
    },
  );

  it("is repeated until its signal aborts, and what may have been granted is revoked then", async () => {
    const store = new FakeLeases();
    store.onGrant = () => Promise.reject(signal.aborted ? new EtcdError("aborted", "aborted") : lost());
    const controller = new AbortController();
    const { signal } = controller;
    const granted = failure(grantSession(store.etcd, TTL_MS, signal));
    await passTime(store.clock, 5000);
    expect(store.grants.length).toBeGreaterThan(8);
    controller.abort();
    expect((await granted).code).toBe("aborted");
    expect(store.revoked).toEqual([store.grants[0]?.id]);
  });

  it("with a TTL that etcd cannot keep sends nothing", async () => {
    const store = new FakeLeases();
    expect((await failure(grantSession(store.etcd, 1500, new AbortController().signal))).code).toBe("invalid-argument");
    expect(store.grants).toHaveLength(0);
  });
});

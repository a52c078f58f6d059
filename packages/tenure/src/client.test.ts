import { getEventListeners } from "node:events";
import { EtcdError, type EtcdErrorCode } from "@tenure/etcd";
import { ManualClock, seededRandom } from "@tenure/etcd/runtime";
import { describe, expect, it } from "vitest";
import { type Client, connect, type ConnectOptions } from "./client.ts";
import { TenureError } from "./errors.ts";
import { passTime } from "./testing/pass-time.ts";

type Transport = NonNullable<ConnectOptions["transport"]>;

/** How a store fails one request; its error comes `afterMs`, or at the end of the time that the request has. */
interface Failure {
  readonly code: EtcdErrorCode;
  readonly message: string;
  readonly afterMs?: number;
}

const UNREACHABLE: Failure = { code: "unavailable", message: "http://a:2379: connection refused" };
/** Nothing came before the request had to end. */
const SILENT: Failure = { code: "deadline-exceeded", message: "no answer in time", afterMs: Infinity };

/** A store that fails the first requests so, and all others as the last. */
class FailingStore {
  readonly clock = new ManualClock();
  readonly client: Client;
  /** When each request came. */
  readonly askedAt: number[] = [];
  readonly #failures: readonly Failure[];

  constructor(...failures: readonly Failure[]) {
    this.#failures = failures;
    const fail: Transport["unary"] = (_method, signal, timeoutMs) => this.#fail(signal, timeoutMs ?? 5000);
    const transport: Transport = { unary: fail, stream: () => Promise.reject(new Error("no stream was expected")) };
    this.client = connect({ transport, clock: this.clock, random: seededRandom(1) });
  }

  #fail(signal: AbortSignal | undefined, timeoutMs: number): Promise<never> {
    const failure = this.#failures[this.askedAt.length] ?? this.#failures.at(-1) ?? UNREACHABLE;
    this.askedAt.push(this.clock.now());
    return new Promise((_resolve, reject) => {
      if (signal?.aborted === true) return reject(new EtcdError("aborted", "aborted"));
      const { code, message, afterMs = 0 } = failure;
      this.clock.after(Math.min(afterMs, timeoutMs), () => reject(new EtcdError(code, message)));
      signal?.addEventListener("abort", () => reject(new EtcdError("aborted", "aborted")));
    });
  }

  /** What becomes of the wait for this store, and when it ended. */
  async ready(timeoutMs?: number, signal?: AbortSignal): Promise<{ error: TenureError | undefined; endedAt: number }> {
    const options = { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal !== undefined && { signal }) };
    const ended = this.client.ready(options).then(
      () => ({ error: undefined, endedAt: this.clock.now() }),
      (error: unknown) => ({ error: TenureError.from(error), endedAt: this.clock.now() }),
    );
    await passTime(this.clock, 60_000);
    return ended;
  }
}

describe("a client", () => {
  it("says what keeps it from having a guard", () => {
    // These sources are as good as a bundle: the guard's program is not beside them.
    expect(() => connect({ guard: true })).toThrow(/^the guard's program is missing at .*: is this a bundle\?$/);
    const transport: Transport = {
      unary: () => Promise.reject(new Error()),
      stream: () => Promise.reject(new Error()),
    };
    expect(() => connect({ guard: true, transport })).toThrow(/transport that lives in this process/);
  });

  it("is ready when the store answers that the state of a member is not for this user", async () => {
    const store = new FailingStore(UNREACHABLE, {
      code: "permission-denied",
      message: "etcdserver: permission denied",
    });
    expect((await store.ready()).error).toBeUndefined();
    expect(store.askedAt).toHaveLength(2);
  });

  it("that cannot reach the store tries again for a while, then says why", async () => {
    const store = new FailingStore(UNREACHABLE);
    const { error } = await store.ready(1000);
    expect(error).toMatchObject({ code: "unavailable", message: `no endpoint answers: ${UNREACHABLE.message}` });
    expect(store.askedAt.length).toBeGreaterThan(2);
  });

  it("tells the last reason it heard, not that it cut its last try short", async () => {
    const store = new FailingStore({ ...UNREACHABLE, message: "older" }, UNREACHABLE, SILENT);
    const { error, endedAt } = await store.ready(1000);
    expect(error).toMatchObject({ code: "unavailable", message: `no endpoint answers: ${UNREACHABLE.message}` });
    expect(endedAt).toBe(1000);
  });

  it("that heard no reason at all says that no answer came in time", async () => {
    const { error, endedAt } = await new FailingStore(SILENT).ready();
    expect(error).toMatchObject({ code: "unavailable", message: `no endpoint answers: ${SILENT.message}` });
    expect(endedAt).toBe(5000);
  });

  it("does not wait when its password is refused", async () => {
    const store = new FailingStore({ code: "unauthenticated", message: "etcd refuses the password" });
    const { error, endedAt } = await store.ready();
    expect(error).toMatchObject({ code: "unauthenticated", message: "etcd refuses the password" });
    expect([endedAt, store.askedAt]).toEqual([0, [0]]);
  });

  it("stops waiting when the signal aborts", async () => {
    const controller = new AbortController();
    const store = new FailingStore(UNREACHABLE);
    store.clock.after(200, () => controller.abort());
    const { error, endedAt } = await store.ready(undefined, controller.signal);
    expect([error?.code, endedAt]).toEqual(["aborted", 200]);
  });

  it("leaves nothing on the signal of a campaign or of a loop that has ended", async () => {
    const { client, clock } = new FailingStore({ code: "permission-denied", message: "not you" });
    const { signal } = new AbortController();
    const listeners = (): number => getEventListeners(signal, "abort").length;
    const election = client.election("e");
    const leaders = election.observe({ signal });
    const ended = Promise.allSettled([election.campaign("v", { signal }), leaders.next()]);
    expect(listeners()).toBe(1);
    await passTime(clock, 1000);
    const outcomes = await ended;
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(listeners()).toBe(0);
  });
});

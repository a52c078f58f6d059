import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it, vi } from "vitest";
import { EtcdClient } from "./client.ts";
import { EtcdError } from "./errors.ts";
import { Auth, KV, Lease, Watch } from "./gen/rpc_pb.ts";
import { type Clock, systemClock } from "./runtime/clock.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { failure } from "./testing/failure.ts";
import { inMemory } from "./testing/in-memory.ts";

const PASSWORD = "S3cret-pässword";

/** A store that knows one user and hands out tokens `t1`, `t2` ... of which the newest is valid. */
class AuthStore {
  issued = 0;
  valid = "";
  /** Tokens that calls came with. */
  readonly seen: (string | null)[] = [];
  /** What an authentication waits for before it is answered. */
  gate: Promise<void> = Promise.resolve();
  /** What a call waits for before it is refused. */
  refusalGate: () => Promise<void> = () => Promise.resolve();

  authenticate(password: string): string {
    if (password !== PASSWORD) {
      throw new ConnectError("etcdserver: authentication failed, invalid user ID or password", Code.InvalidArgument);
    }
    this.valid = `t${++this.issued}`;
    return this.valid;
  }

  async check(context: HandlerContext): Promise<void> {
    const token = context.requestHeader.get("token");
    this.seen.push(token);
    if (token === this.valid) return;
    await this.refusalGate();
    throw new ConnectError("etcdserver: invalid auth token", Code.Unauthenticated);
  }

  client(password: string = PASSWORD, clock: Clock = systemClock): EtcdClient {
    const transport = inMemory(({ rpc }) => {
      rpc(Auth.method.authenticate, async (request) => {
        const { gate } = this;
        await gate;
        return { token: this.authenticate(request.password) };
      });
      rpc(KV.method.range, async (_request, context) => {
        await this.check(context);
        return { count: 1n };
      });
      rpc(KV.method.put, (_request, context) => {
        this.seen.push(context.requestHeader.get("token"));
        throw new ConnectError("etcdserver: permission denied", Code.PermissionDenied);
      });
      const check = (context: HandlerContext): Promise<void> => this.check(context);
      rpc(Lease.method.leaseKeepAlive, async function* (requests, context) {
        await check(context);
        for await (const { ID } of requests) yield { ID, TTL: 10n };
      });
      const watchAnswer = (context: HandlerContext): { created: true; canceled?: boolean; cancelReason?: string } => {
        const token = context.requestHeader.get("token");
        this.seen.push(token);
        if (token === this.valid) return { created: true };
        const cancelReason = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
        return { created: true, canceled: true, cancelReason };
      };
      rpc(Watch.method.watch, async function* (requests, context) {
        yield watchAnswer(context);
        // A watch that was refused leaves its stream open.
        for await (const _ of requests);
      });
    });
    return new EtcdClient({ transport, clock, auth: { user: "root", password } });
  }
}

/** Everything an error and its causes would show in a log. */
function texts(error: unknown): string {
  const shown: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) shown.push(at.message, at.stack ?? "", JSON.stringify(at));
  return shown.join("\n");
}

async function keepAliveOnce(client: EtcdClient): Promise<bigint> {
  const controller = new AbortController();
  const { send, answers } = client.lease.keepAlive(controller.signal);
  send(5n);
  try {
    for await (const { TTL } of answers) return TTL;
    throw new Error("no answer");
  } catch (error) {
    throw EtcdError.from(error);
  } finally {
    controller.abort();
  }
}

/** What a watch begins with. */
async function watchOnce(client: EtcdClient, signal = new AbortController().signal): Promise<unknown> {
  const watch = client.watch.watch("k", { signal });
  const { value } = await watch.next();
  await watch.return();
  return value;
}

describe("a token", () => {
  it("is fetched once for many calls started together, and goes with each", async () => {
    const store = new AuthStore();
    const client = store.client();
    await Promise.all(Array.from({ length: 10 }, () => client.kv.range("k")));
    expect(store.issued).toBe(1);
    expect(store.seen).toEqual(Array.from({ length: 10 }, () => "t1"));
  });

  it("is kept for later calls and streams", async () => {
    const store = new AuthStore();
    const client = store.client();
    await client.kv.range("k");
    expect(await keepAliveOnce(client)).toBe(10n);
    await client.kv.range("k");
    expect(store.issued).toBe(1);
    expect(store.seen).toEqual(["t1", "t1", "t1"]);
  });

  it("is not fetched before the first call", () => {
    const store = new AuthStore();
    store.client();
    expect(store.issued).toBe(0);
  });

  it("that the store no longer knows is replaced, and the call repeated, once", async () => {
    const store = new AuthStore();
    const client = store.client();
    await client.kv.range("k");
    store.valid = "lost in a restart";
    expect((await client.kv.range("k")).count).toBe(1n);
    expect(store.issued).toBe(2);
    expect(store.seen).toEqual(["t1", "t1", "t2"]);
  });

  it("that the store no longer knows is replaced once for many calls", async () => {
    const store = new AuthStore();
    const client = store.client();
    await client.kv.range("k");
    store.valid = "lost in a restart";
    await Promise.all(Array.from({ length: 10 }, () => client.kv.range("k")));
    expect(store.issued).toBe(2);
  });

  it("that is refused again and again ends the call instead of being fetched for ever", async () => {
    const store = new AuthStore();
    const client = store.client();
    vi.spyOn(store, "check").mockRejectedValue(
      new ConnectError("etcdserver: invalid auth token", Code.Unauthenticated),
    );
    expect(await failure(client.kv.range("k"))).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(store.issued).toBe(3);
  });

  it("that a stream was refused for is forgotten, so that the next stream has another", async () => {
    const store = new AuthStore();
    const client = store.client();
    await client.kv.range("k");
    store.valid = "lost in a restart";
    expect(await failure(keepAliveOnce(client))).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(await keepAliveOnce(client)).toBe(10n);
    expect(store.issued).toBe(2);
  });

  it("that a watch was cancelled for is forgotten, so that the next watch has another", async () => {
    const store = new AuthStore();
    const client = store.client();
    await client.kv.range("k");
    store.valid = "lost in a restart";
    expect(await failure(watchOnce(client))).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(await watchOnce(client)).toMatchObject({ t: "created" });
    expect(store.seen).toEqual(["t1", "t1", "t2"]);
  });

  it("that was replaced before its call was refused is not fetched again, and the call repeated", async () => {
    const store = new AuthStore();
    const client = store.client();
    await client.kv.range("k");
    store.valid = "lost in a restart";
    let refuse: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (refuse = resolve));
    store.refusalGate = () => gate;
    const slow = client.kv.range("slow");
    await vi.waitFor(() => expect(store.seen).toHaveLength(2));
    store.refusalGate = () => Promise.resolve();
    await client.kv.range("k");
    refuse();
    expect((await slow).count).toBe(1n);
    expect(store.issued).toBe(2);
  });

  it("that does not come does not keep a call from being aborted, nor from its deadline", async () => {
    const store = new AuthStore();
    store.gate = new Promise(() => undefined);
    const clock = new ManualClock();
    const client = store.client(PASSWORD, clock);
    const controller = new AbortController();
    const aborted = failure(client.kv.range("k", { signal: controller.signal }));
    const late = failure(client.kv.range("k", { timeoutMs: 50 }));
    const aborting = failure(watchOnce(client, controller.signal));
    await vi.waitFor(() => expect(clock.due).toContain(50));
    controller.abort();
    expect(await aborted).toMatchObject({ code: "aborted", mayHaveApplied: false });
    expect((await aborting).code).toBe("aborted");
    clock.advance(50);
    expect(await late).toMatchObject({ code: "deadline-exceeded", mayHaveApplied: false });
    expect(store.seen).toEqual([]);
  });

  it("is not blamed for a missing permission", async () => {
    const store = new AuthStore();
    const client = store.client();
    expect((await failure(client.kv.put("k", "v"))).code).toBe("permission-denied");
    await client.kv.range("k");
    expect(store.issued).toBe(1);
    expect(store.seen).toEqual(["t1", "t1"]);
  });

  it("is asked for again after the store could not be reached", async () => {
    const store = new AuthStore();
    const client = store.client();
    store.gate = Promise.reject(new ConnectError("down", Code.Unavailable));
    store.gate.catch(() => undefined);
    expect((await failure(client.kv.range("k"))).code).toBe("unavailable");
    store.gate = Promise.resolve();
    expect((await client.kv.range("k")).count).toBe(1n);
  });
});

describe("a wrong password", () => {
  it("is unauthenticated and names the user, but shows the password nowhere", async () => {
    const error = await failure(new AuthStore().client("wr0ng-S3cret").kv.range("k"));
    expect(error).toMatchObject({ code: "unauthenticated", mayHaveApplied: false });
    expect(error.message).toContain('user "root"');
    expect(texts(error)).not.toContain("wr0ng-S3cret");
  });

  it("is refused on streams too", async () => {
    const error = await failure(keepAliveOnce(new AuthStore().client("wr0ng-S3cret")));
    expect(error.code).toBe("unauthenticated");
  });
});

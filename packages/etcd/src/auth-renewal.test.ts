import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it, vi } from "vitest";
import { AuthTransport } from "./auth.ts";
import { EtcdError } from "./errors.ts";
import { AuthenticateResponseSchema, RangeResponseSchema, WatchResponseSchema } from "./gen/rpc_pb.ts";
import { GrpcError, GrpcStatus } from "./rpc/status.ts";
import { call, type CallHeaders, openStream, type Transport } from "./rpc-transport.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { failure } from "./testing/failure.ts";
import { jsonWebToken } from "./testing/json-web-token.ts";
import * as methods from "./wire/methods.ts";

const DENIED = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";

/** What lies below the authentication: a store that gives tokens, and what it was asked. */
class Below {
  readonly clock = new ManualClock();
  /** Milliseconds each request for a token was given. */
  readonly asked: (number | undefined)[] = [];
  /** The token each other call came with, by its number, and the milliseconds it was given. */
  readonly calls: { readonly token: number; readonly timeoutMs: number | undefined }[] = [];
  lifeSeconds = 4;
  /** What a request for a token waits for. */
  gate: () => Promise<void> = () => Promise.resolve();
  /** Why the watches of this store are cancelled. */
  cancelReason = "";
  readonly #issued: string[] = [];

  readonly #inner: Transport = {
    unary: async (method, _signal, timeoutMs, headers) => {
      if (method.name !== "Authenticate") {
        this.#called(headers, timeoutMs);
        return answer(RangeResponseSchema, { count: 1n });
      }
      this.asked.push(timeoutMs);
      await this.gate();
      const token = jsonWebToken({
        exp: this.clock.date().getTime() / 1000 + this.lifeSeconds,
        id: this.#issued.length,
      });
      this.#issued.push(token);
      return answer(AuthenticateResponseSchema, { token });
    },
    stream: (_method, _signal, timeoutMs, headers) => {
      this.#called(headers, timeoutMs);
      const { cancelReason } = this;
      const message = (async function* () {
        yield create(WatchResponseSchema, { created: true, canceled: cancelReason !== "", cancelReason });
      })();
      return Promise.resolve({ message } as never);
    },
  };
  readonly transport = new AuthTransport(this.#inner, { user: "node", password: "p" }, this.clock);

  /** The tokens that calls came with, by their numbers. */
  get tokens(): number[] {
    return this.calls.map(({ token }) => token);
  }

  range(timeoutMs?: number): Promise<unknown> {
    return call(this.transport, methods.range, {}, { timeoutMs });
  }

  /** The first answer of a watch. */
  async watch(): Promise<unknown> {
    const none: AsyncIterable<never> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
    };
    const { signal } = new AbortController();
    for await (const message of openStream(this.transport, methods.watch, none, signal)) return message;
    throw new Error("no answer");
  }

  #called(headers: CallHeaders | undefined, timeoutMs: number | undefined): void {
    const token = headers?.["token"] ?? "";
    this.calls.push({ token: this.#issued.indexOf(token), timeoutMs });
  }
}

function answer<O extends DescMessage>(schema: O, fields: MessageInitShape<O>): never {
  return { message: create(schema, fields) } as never;
}

/** A promise that is settled by hand. */
function gate(): { readonly wait: () => Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const promise = new Promise<void>((resolve) => (open = resolve));
  return { wait: () => promise, open: () => open() };
}

describe("a token that tells when it expires", () => {
  it("is renewed in the middle of its life, once, and nobody waits for it", async () => {
    const store = new Below();
    await store.range();
    store.clock.advance(2000);
    const { wait, open } = gate();
    store.gate = wait;
    await Promise.all([store.range(), store.range(), store.range()]);
    expect([store.tokens, store.asked.length]).toEqual([[0, 0, 0, 0], 2]);
    open();
    await vi.waitFor(async () => {
      await store.range();
      expect(store.tokens.at(-1)).toBe(1);
    });
    expect(store.asked).toHaveLength(2);
  });

  it("is not used any more once it has expired", async () => {
    const store = new Below();
    await store.range();
    store.clock.advance(4000);
    await store.range();
    expect(store.tokens).toEqual([0, 1]);
  });

  it("is kept to its end when no other is to be had, and not asked for with each call", async () => {
    const store = new Below();
    await store.range();
    store.clock.advance(2000);
    store.gate = () => Promise.reject(new GrpcError(GrpcStatus.permissionDenied, "etcdserver: authentication failed"));
    await store.range();
    await vi.waitFor(() => expect(store.asked).toHaveLength(2));
    await store.range();
    await store.range();
    expect([store.tokens, store.asked.length]).toEqual([[0, 0, 0, 0], 2]);
    store.clock.advance(2000);
    store.gate = () => Promise.resolve();
    await store.range();
    expect(store.tokens.at(-1)).toBe(1);
  });
});

describe("the time that a call may take", () => {
  it("covers the wait for the token", async () => {
    const store = new Below();
    const { wait, open } = gate();
    store.gate = wait;
    const call = store.range(50);
    await vi.waitFor(() => expect(store.asked).toHaveLength(1));
    store.clock.advance(40);
    open();
    await call;
    expect(store.calls).toEqual([{ token: 0, timeoutMs: 10 }]);
  });

  it("is five seconds in all where nothing else is said", async () => {
    const store = new Below();
    const { wait, open } = gate();
    store.gate = wait;
    const call = store.range();
    await vi.waitFor(() => expect(store.asked).toHaveLength(1));
    store.clock.advance(2000);
    open();
    await call;
    expect(store.calls).toEqual([{ token: 0, timeoutMs: 3000 }]);
  });
});

describe("a request for a token", () => {
  it("is sent again when it is not answered in time, so that another member may answer it", async () => {
    const store = new Below();
    store.gate = () => {
      store.gate = () => Promise.resolve();
      return Promise.reject(new GrpcError(GrpcStatus.deadlineExceeded, "no answer in time"));
    };
    await store.range();
    expect([store.asked, store.tokens]).toEqual([[1500, 1500], [0]]);
  });

  it.each([
    [GrpcStatus.deadlineExceeded, "no answer in time", 3],
    [GrpcStatus.unavailable, "the connection was lost", 3],
    [GrpcStatus.resourceExhausted, "too many of them", 1],
  ])("that fails for good says that the call was not sent: %i %s", async (status, message, tries) => {
    const store = new Below();
    store.gate = () => Promise.reject(new GrpcError(status, message));
    const error = await failure(store.range().catch((thrown: unknown) => Promise.reject(EtcdError.from(thrown))));
    const code = status === GrpcStatus.resourceExhausted ? "resource-exhausted" : "unavailable";
    expect(error).toMatchObject({ code, message, mayHaveApplied: false });
    expect([store.asked.length, store.calls]).toEqual([tries, []]);
  });
});

describe("a watch that is not permitted", () => {
  it("is not, where the token is new", async () => {
    const store = new Below();
    store.cancelReason = DENIED;
    expect(await store.watch()).toMatchObject({ canceled: true, cancelReason: DENIED });
    await store.range();
    expect(store.tokens).toEqual([0, 0]);
  });

  it("may be the fault of a token that is not new (etcd#12385): the next one has another", async () => {
    const store = new Below();
    store.lifeSeconds = 3600;
    await store.range();
    store.clock.advance(5000);
    store.cancelReason = DENIED;
    const refused = await failure(store.watch().catch((thrown: unknown) => Promise.reject(EtcdError.from(thrown))));
    expect(refused).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(await store.watch()).toMatchObject({ canceled: true, cancelReason: DENIED });
    expect(store.tokens.at(-1)).toBe(1);
  });
});

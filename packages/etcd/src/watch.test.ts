import { getEventListeners } from "node:events";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { EtcdClient } from "./client.ts";
import { EtcdError } from "./errors.ts";
import { Watch, type WatchCreateRequest, type WatchResponse, WatchResponseSchema } from "./gen/rpc_pb.ts";
import { MessageQueue } from "./message-queue.ts";
import type { Transport } from "./rpc-transport.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { inMemory } from "./testing/in-memory.ts";
import { WatchClient, type WatchOptions } from "./watch.ts";
import type { WatchMessage } from "./watch-message.ts";

type Response = MessageInitShape<typeof WatchResponseSchema>;

/** A client whose watch gets these answers and then the end, or a failure. */
function clientFor(responses: readonly Response[], created?: (request: WatchCreateRequest) => void): EtcdClient {
  const transport = inMemory(({ rpc }) => {
    rpc(Watch.method.watch, async function* (requests) {
      for await (const { requestUnion } of requests) {
        if (requestUnion.case === "createRequest") created?.(requestUnion.value);
        break;
      }
      yield* responses;
      throw new ConnectError("etcdserver: no leader", Code.Unavailable);
    });
  });
  return new EtcdClient({ transport });
}

async function read(
  client: EtcdClient,
  options: Partial<WatchOptions> = {},
): Promise<{ messages: WatchMessage[]; error: EtcdError }> {
  const messages: WatchMessage[] = [];
  try {
    const watch = client.watch.watch({ prefix: "a/" }, { signal: new AbortController().signal, ...options });
    for await (const message of watch) messages.push(message);
  } catch (error) {
    if (error instanceof EtcdError) return { messages, error };
    throw error;
  }
  throw new Error("the watch ended without an error");
}

const header = (revision: bigint): { revision: bigint; clusterId: bigint } => ({ revision, clusterId: 77n });
const put = (key: string, modRevision: bigint): { kv: { key: Uint8Array; modRevision: bigint } } => ({
  kv: { key: Buffer.from(key), modRevision },
});
const CREATED = { header: header(5n), created: true } satisfies Response;

/** What arrived, in short. */
function summary(messages: readonly WatchMessage[]): string[] {
  return messages.map((message) =>
    message.t === "events"
      ? `events ${message.revision}: ${message.events.map(({ kv }) => Buffer.from(kv?.key ?? []).toString()).join(" ")}`
      : `${message.t} ${message.revision}`,
  );
}

describe("a watch", () => {
  it("asks for the keys from now on, with fragments", async () => {
    let request: WatchCreateRequest | undefined;
    await read(clientFor([CREATED], (asked) => (request = asked)));
    expect(request).toMatchObject({ startRevision: 0n, prevKv: false, fragment: true, filters: [] });
    expect(Buffer.from(request?.key ?? []).toString()).toBe("a/");
    expect(Buffer.from(request?.rangeEnd ?? []).toString()).toBe("a0");
  });

  it.each([
    ["put", 0],
    ["delete", 1],
  ] as const)("asks for what its caller wants, leaving out %ss", async (without, filter) => {
    let request: WatchCreateRequest | undefined;
    const client = clientFor([CREATED], (asked) => (request = asked));
    await read(client, { startRevision: 9n, prevKv: true, without });
    expect(request).toMatchObject({ startRevision: 9n, prevKv: true, filters: [filter] });
  });

  it("tells the revision it stands at, and of which cluster, first", async () => {
    const { messages } = await read(clientFor([CREATED]));
    expect(messages).toEqual([{ t: "created", revision: 5n, clusterId: 77n }]);
  });

  it("brings events in the order of the store, and progress without events", async () => {
    const { messages } = await read(
      clientFor([
        CREATED,
        { header: header(6n), events: [put("a/1", 6n)] },
        { header: header(9n) },
        { header: header(11n), events: [put("a/2", 10n), put("a/3", 11n)] },
      ]),
    );
    expect(summary(messages)).toEqual(["created 5", "events 6: a/1", "progress 9", "events 11: a/2 a/3"]);
  });

  it("joins fragments into one message", async () => {
    const { messages } = await read(
      clientFor([
        CREATED,
        { header: header(6n), events: [put("a/1", 6n)], fragment: true },
        { header: header(6n), events: [put("a/2", 6n)], fragment: true },
        { header: header(6n), events: [put("a/3", 6n)] },
        { header: header(7n), events: [put("a/4", 7n)] },
      ]),
    );
    expect(summary(messages)).toEqual(["created 5", "events 6: a/1 a/2 a/3", "events 7: a/4"]);
  });

  it("does not bring fragments of which the last never came", async () => {
    const { messages } = await read(
      clientFor([CREATED, { header: header(6n), events: [put("a/1", 6n)], fragment: true }]),
    );
    expect(summary(messages)).toEqual(["created 5"]);
  });

  it("ends as compacted, with the oldest revision kept, also when created and cancelled come together", async () => {
    for (const created of [true, false]) {
      const { error, messages } = await read(
        clientFor([{ header: header(50n), created, canceled: true, compactRevision: 42n }]),
      );
      expect(error).toMatchObject({ code: "compacted", compactRevision: 42n });
      expect(error.message).toContain("42");
      expect(messages).toEqual([]);
    }
  });

  it.each([
    ["rpc error: code = PermissionDenied desc = etcdserver: permission denied", "permission-denied"],
    ["rpc error: code = Unauthenticated desc = etcdserver: invalid auth token", "unauthenticated"],
    ["mvcc: watcher range is empty", "invalid-argument"],
    ["etcdserver: no leader", "unavailable"],
    ["", "unavailable"],
  ])("ends when the server cancels it for %j as %s", async (cancelReason, code) => {
    const { error } = await read(clientFor([{ header: header(1n), created: true, canceled: true, cancelReason }]));
    expect(error.code).toBe(code);
  });

  it("ends with the error of its stream", async () => {
    expect((await read(clientFor([CREATED]))).error).toMatchObject({
      code: "unavailable",
      message: "etcdserver: no leader",
    });
  });

  it("ends as unavailable when the server closes the stream without an error", async () => {
    const transport = inMemory(({ rpc }) => {
      rpc(Watch.method.watch, async function* () {
        yield await Promise.resolve(CREATED);
      });
    });
    const { error, messages } = await read(new EtcdClient({ transport }));
    expect(error.code).toBe("unavailable");
    expect(messages).toHaveLength(1);
  });
});

describe("an event", () => {
  it("carries the key before its change when that was asked for", async () => {
    const prevKv = { key: Buffer.from("a/1"), value: Buffer.from("old") };
    const { messages } = await read(
      clientFor([CREATED, { header: header(6n), events: [{ ...put("a/1", 6n), prevKv }] }]),
    );
    const [, message] = messages;
    const events = message?.t === "events" ? message.events : [];
    expect(Buffer.from(events[0]?.prevKv?.value ?? []).toString()).toBe("old");
  });
});

describe("a watch with a stream of its own", () => {
  /** One whose server says that it stands, and then nothing. */
  function setUp(signal = new AbortController().signal) {
    const answers = new MessageQueue<WatchResponse>();
    const asked: AbortSignal[] = [];
    const stream: Transport["stream"] = (_method, signal) => {
      if (signal !== undefined) asked.push(signal);
      const end = (): void => answers.end(new EtcdError("aborted", "aborted"));
      signal?.addEventListener("abort", end);
      if (signal?.aborted === true) end();
      return Promise.resolve({ message: answers } as never);
    };
    const transport = { unary: () => Promise.reject(new Error("no call was expected")), stream };
    const watch = new WatchClient(transport, new ManualClock(), false);
    if (!signal.aborted) answers.push(create(WatchResponseSchema, CREATED));
    return { watch: watch.watch("k", { signal }), signal, asked };
  }

  it("is left by `return`, also while a message is waited for", async () => {
    const { watch, asked } = setUp();
    expect(await watch.next()).toMatchObject({ value: { t: "created" } });
    const next = watch.next();
    const left = watch.return();
    await expect(next).rejects.toMatchObject({ code: "aborted" });
    expect([(await left).done, asked.map(({ aborted }) => aborted)]).toEqual([true, [true]]);
  });

  it("is given up by `throw`, whose reason the transport hears", async () => {
    const { watch, asked } = setUp();
    await watch.next();
    const next = watch.next();
    const reason = new EtcdError("deadline-exceeded", "silent");
    const given = watch.throw(reason);
    await expect(next).rejects.toBeInstanceOf(EtcdError);
    expect([(await given).done, asked[0]?.reason]).toEqual([true, reason]);
  });

  it("tells its loop why it was given up, also while that is busy with a message", async () => {
    const reason = new EtcdError("deadline-exceeded", "silent");
    for (const [thrown, code] of [[reason, "deadline-exceeded"] as const, ["no more", "aborted"] as const]) {
      const { watch } = setUp();
      const read = async (): Promise<void> => {
        for await (const { t } of watch) if (t === "created") await watch.throw(thrown);
      };
      await expect(read()).rejects.toMatchObject({ code });
    }
  });

  it("leaves nothing behind on a signal that lives on", async () => {
    const { watch, signal } = setUp();
    await watch.next();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await watch.return();
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("ends where its signal has fired before it is read", async () => {
    const { watch, asked } = setUp(AbortSignal.abort("before"));
    await expect(watch.next()).rejects.toMatchObject({ code: "aborted" });
    expect(asked[0]?.reason).toBe("before");
  });
});

// Watches under load, on etcd and on embed: nothing twice, nothing backwards, and a clear end.
import { connect, createServer, type Server } from "node:net";
import { EtcdClient, type EtcdError, put, remove, type WatchMessage } from "@tenure/etcd";
import { Event_EventType as EventType, Watch, type WatchResponse } from "@tenure/etcd/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawGrpcClient } from "../../packages/embed/src/testing/raw-grpc-client.ts";
import { failure } from "../../packages/etcd/src/testing/failure.ts";
import { portOf } from "../../packages/etcd/src/testing/fake-server.ts";
import { settled, until } from "../support/until.ts";
import { startServer, type TestServer } from "./servers.ts";

type Events = Extract<WatchMessage, { t: "events" }>;
type Stream = AsyncGenerator<WatchMessage, void, undefined>;

const KIB = 1024;

describe.each(["etcd", "embed"] as const)("a watch on %s", (name) => {
  let server: TestServer;
  let etcd: EtcdClient;
  const closing = new AbortController();
  const { signal } = closing;

  beforeAll(async () => {
    server = await startServer(name);
    etcd = new EtcdClient({ endpoints: [server.endpoint] });
  });

  afterAll(async () => {
    closing.abort();
    await etcd.close();
    await server.stop();
  });

  it("brings each change once, in order and by whole revisions, however it started", async () => {
    const keys = { prefix: "order/" };
    const fromNow = etcd.watch.watch(keys, { signal });
    const { revision } = await created(fromNow);
    const written = new Set<string>();
    const writer = async (id: number): Promise<void> => {
      for (let count = 0; count < 60; count++) {
        const [a, b] = [`order/${id}/${count % 5}`, `order/${id}/more`];
        const answer =
          count % 3 === 0
            ? await etcd.kv
                .txn()
                .success(put(a, `${count}`), put(b, `${count}`))
                .commit()
            : count % 3 === 1
              ? await etcd.kv.put(a, `${count}`)
              : await etcd.kv.txn().success(remove(b), put(a, "x")).commit();
        for (const key of count % 3 === 1 ? [a] : [a, b]) written.add(`${key}@${answer.header?.revision}`);
      }
    };
    const late: Stream[] = [];
    const join = async (): Promise<void> => {
      await until(() => written.size > 100, { what: "writes" });
      late.push(etcd.watch.watch(keys, { signal, startRevision: revision + 1n }));
    };
    await Promise.all([0, 1, 2, 3].map(writer).concat(join()));
    for (const watch of [fromNow, ...late]) {
      const messages = await eventsOf(watch, written.size);
      expect(inOrder(messages)).toEqual([]);
      const seen = messages.flatMap(({ events }) => events.map(({ kv }) => `${text(kv?.key)}@${kv?.modRevision}`));
      expect(seen.toSorted()).toEqual([...written].toSorted());
    }
    expect(late).toHaveLength(1);
  });

  it("of a compacted revision says which one is left, and its siblings go on", async () => {
    const sibling = etcd.watch.watch("compact/key", { signal });
    await created(sibling);
    const { header } = await etcd.kv.put("compact/key", "1");
    const first = header?.revision ?? 0n;
    for (let count = 2; count <= 5; count++) await etcd.kv.put("compact/key", `${count}`);
    await etcd.kv.compact(first + 3n);
    for (const startRevision of [first, first + 2n]) {
      const error = await failure(read(etcd.watch.watch("compact/key", { signal, startRevision })));
      expect(error).toMatchObject({ code: "compacted", compactRevision: first + 3n, mayHaveApplied: false });
    }
    const kept = etcd.watch.watch("compact/key", { signal, startRevision: first + 3n });
    expect(await eventsOf(kept, 2)).toMatchObject([{ t: "events" }]);
    expect((await eventsOf(sibling, 5)).flatMap(({ events }) => events)).toHaveLength(5);
  });

  it("that is refused has a stream of its own, so that no other ends with it", async () => {
    const siblings = [1, 2, 3].map(() => etcd.watch.watch("refused/key", { signal }));
    for (const sibling of siblings) await created(sibling);
    const wrong = await failure(read(etcd.watch.watch({ from: "b", to: "a" }, { signal })));
    expect(wrong).toMatchObject({ code: "invalid-argument", message: expect.stringContaining("range is empty") });
    await etcd.kv.put("refused/key", "v");
    for (const sibling of siblings) expect(await eventsOf(sibling, 1)).toHaveLength(1);
    await siblings[0]?.return();
    await etcd.kv.put("refused/key", "w");
    for (const sibling of siblings.slice(1)) expect(await eventsOf(sibling, 1)).toHaveLength(1);
  });

  it("joins the fragments of large events, which the server does send", async () => {
    const { header } = await etcd.kv.put("large/0", "");
    const startRevision = (header?.revision ?? 0n) + 1n;
    // Half a megabyte each, and again as the state before: about three for the second revision.
    const ops = ["a", "b", "c"].map((key) => put(`large/${key}`, Buffer.alloc(480 * KIB, key)));
    for (let round = 0; round < 2; round++)
      await etcd.kv
        .txn()
        .success(...ops)
        .commit();
    const watch = etcd.watch.watch({ prefix: "large/" }, { signal, startRevision, prevKv: true });
    const messages = await eventsOf(watch, 6);
    expect(inOrder(messages)).toEqual([]);
    const events = messages.flatMap((message) => message.events);
    expect(events.map(({ kv }) => text(kv?.key))).toEqual(["a", "b", "c", "a", "b", "c"].map((key) => `large/${key}`));
    expect(events.map(({ prevKv }) => prevKv?.value.byteLength ?? 0)).toEqual([0, 0, 0, ...Array(3).fill(480 * KIB)]);
    expect(await fragmentsOf(server.endpoint, startRevision)).toBeGreaterThan(0);
  });

  it("takes ten thousand events of one revision as one", async () => {
    const count = 10_000;
    const watch = etcd.watch.watch({ prefix: "burst/" }, { signal, without: "put" });
    await created(watch);
    const keys = Array.from({ length: count }, (_, index) => `burst/${String(index).padStart(100, "0")}`);
    for (let at = 0; at < count; at += 125) {
      await etcd.kv
        .txn()
        .success(...keys.slice(at, at + 125).map((key) => put(key, "")))
        .commit();
    }
    const { header, deleted } = await etcd.kv.delete({ prefix: "burst/" });
    expect(deleted).toBe(BigInt(count));
    const messages = await eventsOf(watch, count);
    expect(messages).toHaveLength(1);
    const events = messages[0]?.events ?? [];
    expect(events.map(({ kv }) => text(kv?.key))).toEqual(keys);
    const isOfIt = ({ type, kv }: (typeof events)[number]): boolean =>
      type === EventType.DELETE && kv?.modRevision === header?.revision;
    expect(events.every(isOfIt)).toBe(true);
  });

  it("with a reader that does not read holds the server back, and loses nothing", async () => {
    const [count, bytes] = [60, 1000 * KIB];
    await using relay = await Relay.start(server.endpoint);
    await using slow = new EtcdClient({ endpoints: [relay.endpoint] });
    const watch = slow.watch.watch({ prefix: "slow/" }, { signal });
    await created(watch);
    for (let index = 0; index < count; index++) await etcd.kv.put(`slow/${index}`, Buffer.alloc(bytes));
    let before = -1;
    await until(() => before === (before = relay.bytes), { what: "stop", intervalMs: 200 });
    // Its window, the queue of messages and what Node and the sockets hold: much less than the 60 MB written.
    expect(relay.bytes).toBeLessThan(24 * KIB * KIB);
    const messages = await eventsOf(watch, count);
    expect(inOrder(messages)).toEqual([]);
    expect(messages.flatMap(({ events }) => events.map(({ kv }) => text(kv?.key)))).toEqual(
      Array.from({ length: count }, (_, index) => `slow/${index}`),
    );
    expect(relay.bytes).toBeGreaterThan(count * bytes);
  });
});

/** Reads a watch until it stands. */
async function created(watch: Stream): Promise<Extract<WatchMessage, { t: "created" }>> {
  const { value } = await settled(watch.next(), { what: "watch" });
  if (value?.t !== "created") throw new Error("the first message is not that it was created");
  return value;
}

/** Reads so many events. */
async function eventsOf(watch: Stream, count: number): Promise<Events[]> {
  const messages: Events[] = [];
  for (let seen = 0; seen < count;) {
    const { value } = await settled(watch.next(), { what: "events", timeoutMs: 20_000 });
    if (value?.t !== "events") continue;
    seen += value.events.length;
    messages.push(value);
  }
  return messages;
}

async function read(watch: Stream): Promise<EtcdError | undefined> {
  for await (const message of watch) if (message.t === "events") throw new Error("there were events");
  return undefined;
}

/** What is wrong with the order of events: going back, coming twice, or a revision that is torn apart. */
function inOrder(messages: readonly Events[]): string[] {
  const wrong: string[] = [];
  const seen = new Set<string>();
  let last = 0n;
  for (const { events, revision } of messages) {
    const [first] = events;
    if ((first?.kv?.modRevision ?? 0n) <= last) wrong.push(`revision ${last} is torn or comes again`);
    for (const { kv } of events) {
      const at = kv?.modRevision ?? 0n;
      if (at < last) wrong.push(`${at} after ${last}`);
      if (at > revision) wrong.push(`${at} in a message of revision ${revision}`);
      const id = `${text(kv?.key)}@${at}`;
      if (seen.has(id)) wrong.push(`${id} twice`);
      seen.add(id);
      last = at;
    }
  }
  return wrong;
}

/** How many answers of the server are fragments, which the client's watch does not show. */
async function fragmentsOf(endpoint: string, startRevision: bigint): Promise<number> {
  const raw = new RawGrpcClient(endpoint);
  const call = raw.open(Watch.method.watch);
  const [key, rangeEnd] = [Buffer.from("large/"), Buffer.from("large0")];
  const value = { key, rangeEnd, startRevision, prevKv: true, fragment: true };
  call.send({ requestUnion: { case: "createRequest", value } });
  const answers = (): WatchResponse[] => call.messages as unknown as WatchResponse[];
  await until(() => answers().reduce((sum, { events }) => sum + events.length, 0) >= 6, { what: "events" });
  raw.close();
  await call.answer.catch(() => undefined);
  return answers().filter(({ fragment }) => fragment).length;
}

/** Passes a connection on and counts what comes from the server, no faster than it is taken. */
class Relay implements AsyncDisposable {
  bytes = 0;
  readonly #server: Server;

  private constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, "127.0.0.1");
      for (const socket of [client, upstream]) socket.on("error", () => undefined);
      client.on("close", () => upstream.destroy());
      upstream.on("data", (chunk: Buffer) => (this.bytes += chunk.byteLength));
      client.pipe(upstream).pipe(client);
    });
  }

  static async start(endpoint: string): Promise<Relay> {
    const relay = new Relay(Number(new URL(endpoint).port));
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${portOf(this.#server)}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => void this.#server.close(() => resolve()));
  }
}

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}

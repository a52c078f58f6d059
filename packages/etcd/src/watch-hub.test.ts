import { getEventListeners } from "node:events";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EtcdError } from "./errors.ts";
import {
  ResponseHeaderSchema,
  type WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "./gen/rpc_pb.ts";
import { MessageQueue } from "./message-queue.ts";
import type { Transport } from "./rpc-transport.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { WatchHub } from "./watch-hub.ts";
import type { WatchStream } from "./watch-message.ts";

type Request = MessageInitShape<typeof WatchRequestSchema>;
type Answer = MessageInitShape<typeof WatchResponseSchema>;

/** One stream as the server has it. */
class ServerStream {
  readonly requests: Request[] = [];
  readonly signal: AbortSignal | undefined;
  readonly answers = new MessageQueue<WatchResponse>();

  constructor(requests: AsyncIterable<Request>, signal: AbortSignal | undefined) {
    this.signal = signal;
    signal?.addEventListener("abort", () => this.answers.end(EtcdError.from(signal.reason)));
    void this.#read(requests);
  }

  /** What was asked, in short. */
  get asked(): string[] {
    return this.requests.map(({ requestUnion: union }) => {
      if (union?.case === "createRequest") return `create ${union.value.watchId}`;
      return union?.case === "cancelRequest" ? `cancel ${union.value.watchId}` : "progress";
    });
  }

  answer(answer: Answer): void {
    const response = create(WatchResponseSchema, answer);
    response.header = create(ResponseHeaderSchema, { revision: 5n, clusterId: 1n });
    this.answers.push(response);
  }

  async #read(requests: AsyncIterable<Request>): Promise<void> {
    for await (const request of requests) this.requests.push(request);
  }
}

/** A hub, and the streams it has opened. */
function setUp() {
  const streams: ServerStream[] = [];
  const clock = new ManualClock();
  const stream: Transport["stream"] = (_method, signal, _timeoutMs, _headers, requests) => {
    const opened = new ServerStream(requests as AsyncIterable<Request>, signal);
    streams.push(opened);
    return Promise.resolve({ message: opened.answers } as never);
  };
  const hub = new WatchHub({ unary: () => Promise.reject(new Error("no call was expected")), stream }, clock);
  const at = (index: number): ServerStream => {
    const stream = streams[index];
    if (stream === undefined) throw new Error(`there is no stream ${index}`);
    return stream;
  };
  return { hub, clock, streams, at };
}

/** Reads a watch to its end; what it has told so far. */
function told(watch: WatchStream): unknown[] {
  const messages: unknown[] = [];
  const read = async (): Promise<void> => {
    try {
      for await (const { clusterId: _, ...message } of watch as AsyncIterable<Record<string, unknown>>) {
        messages.push("events" in message ? (message["events"] as unknown[]).length : message["t"]);
      }
    } catch (error) {
      messages.push(EtcdError.from(error).code);
    }
  };
  void read();
  return messages;
}

const turn = () => new Promise(setImmediate);
const event = { type: 0 as const };

describe("watches that share a stream", () => {
  it("get what is theirs, and progress together once they stand", async () => {
    const { hub, streams, at } = setUp();
    const [one, two] = [1, 2].map(() => told(hub.watch({}, new AbortController().signal)));
    await turn();
    expect([streams.length, at(0).asked]).toEqual([1, ["create 1", "create 2"]]);
    at(0).answer({ watchId: 1n, created: true });
    at(0).answer({ watchId: -1n });
    at(0).answer({ watchId: 2n, created: true });
    at(0).answer({ watchId: 2n, events: [event] });
    at(0).answer({ watchId: 1n, events: [event], fragment: true });
    at(0).answer({ watchId: 2n, events: [event] });
    at(0).answer({ watchId: 1n, events: [event] });
    await turn();
    expect(one).toEqual(["created", "progress", 2]);
    expect(two).toEqual(["created", 1, 1]);
  });

  it("are refused and cancelled one by one, whether or not the server says which", async () => {
    const { hub, at } = setUp();
    const all = [1, 2, 3].map(() => told(hub.watch({}, new AbortController().signal)));
    await turn();
    at(0).answer({ watchId: 1n, created: true });
    at(0).answer({ watchId: -1n, created: true, canceled: true, cancelReason: "permission denied" });
    at(0).answer({ watchId: 3n, created: true });
    at(0).answer({ watchId: 3n, canceled: true, compactRevision: 9n });
    at(0).answer({ watchId: 1n, events: [event] });
    await turn();
    expect(all).toEqual([["created", 1], ["permission-denied"], ["created", "compacted"]]);
  });

  it("leave without hurting the others, before they stand too", async () => {
    const { hub, at } = setUp();
    const leaving = [new AbortController(), new AbortController()];
    const [one, two] = leaving.map(({ signal }) => told(hub.watch({}, signal)));
    const stays = told(hub.watch({}, new AbortController().signal));
    leaving[0]?.abort();
    await turn();
    at(0).answer({ watchId: 1n, created: true });
    at(0).answer({ watchId: 2n, created: true });
    at(0).answer({ watchId: 3n, created: true });
    at(0).answer({ watchId: 1n, canceled: true });
    await turn();
    leaving[1]?.abort();
    await turn();
    at(0).answer({ watchId: 2n, events: [event] });
    at(0).answer({ watchId: 3n, events: [event] });
    await turn();
    expect([one, two, stays]).toEqual([["aborted"], ["created", "aborted"], ["created", 1]]);
    expect(at(0).asked).toEqual(["create 1", "create 2", "create 3", "cancel 1", "cancel 2"]);
  });

  it("all leave a member that one of them finds wanting, and stand on another stream then", async () => {
    const { hub, streams, at } = setUp();
    const doubting = new AbortController();
    const one = told(hub.watch({}, doubting.signal));
    const two = told(hub.watch({}, new AbortController().signal));
    await turn();
    const reason = new EtcdError("deadline-exceeded", "silent");
    doubting.abort(reason);
    await turn();
    expect([one, two]).toEqual([["deadline-exceeded"], ["deadline-exceeded"]]);
    expect(at(0).signal?.reason).toBe(reason);
    told(hub.watch({}, new AbortController().signal));
    await turn();
    expect([streams.length, at(1).asked]).toEqual([2, ["create 1"]]);
  });

  it("are left by `return`, also while a message is waited for", async () => {
    const { hub, at } = setUp();
    const leaving = hub.watch({}, new AbortController().signal);
    const [left, stays] = [told(leaving), told(hub.watch({}, new AbortController().signal))];
    await turn();
    at(0).answer({ watchId: 1n, created: true });
    at(0).answer({ watchId: 2n, created: true });
    await turn();
    const next = leaving.next();
    expect(await leaving.return()).toEqual({ done: true, value: undefined });
    expect(await next).toEqual({ done: true, value: undefined });
    await turn();
    at(0).answer({ watchId: 1n, events: [event] });
    at(0).answer({ watchId: 2n, events: [event] });
    await turn();
    expect([left, stays]).toEqual([["created"], ["created", 1]]);
    expect(at(0).asked.slice(2)).toEqual(["cancel 1"]);
  });

  it("are given up by `throw` for its reason, all of them where that is the member's silence", async () => {
    const { hub, at } = setUp();
    const watches = [1, 2, 3].map(() => hub.watch({}, new AbortController().signal));
    const [one, two, three] = watches.map((watch) => told(watch));
    await turn();
    await watches[0]?.throw("no more");
    await turn();
    expect([one, two, three]).toEqual([["aborted"], [], []]);
    const reason = new EtcdError("deadline-exceeded", "silent");
    await watches[1]?.throw(reason);
    await turn();
    expect([two, three]).toEqual([["deadline-exceeded"], ["deadline-exceeded"]]);
    expect(at(0).signal?.reason).toBe(reason);
  });

  it("end at once where their signal has fired before", async () => {
    const { hub, at } = setUp();
    const one = told(hub.watch({}, AbortSignal.abort("before")));
    await turn();
    expect([one, at(0).asked]).toEqual([["aborted"], ["create 1", "cancel 1"]]);
  });

  it("leave no listener behind on a signal that lives on, however they end", async () => {
    const { hub, at } = setUp();
    const { signal } = new AbortController();
    const watches = [1, 2, 3].map(() => hub.watch({}, signal));
    for (const watch of watches) told(watch);
    await turn();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await watches[0]?.return();
    at(0).answer({ watchId: 2n, canceled: true });
    await turn();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    hub.close();
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("end with an error when their client does, which is no fault of the member", async () => {
    const { hub, at } = setUp();
    const one = told(hub.watch({}, new AbortController().signal));
    await turn();
    hub.close();
    await turn();
    expect(one).toEqual(["unavailable"]);
    expect(at(0).signal?.aborted).toBe(true);
    expect(at(0).signal?.reason).not.toBeInstanceOf(EtcdError);
  });

  it("end with the stream", async () => {
    const { hub, at } = setUp();
    const one = told(hub.watch({}, new AbortController().signal));
    await turn();
    at(0).answers.end();
    await turn();
    expect(one).toEqual(["unavailable"]);
  });

  it("ask for their progress together", async () => {
    const { hub, clock, at } = setUp();
    const [one, two] = [1, 2].map(() => hub.watch({}, new AbortController().signal));
    one?.requestProgress();
    two?.requestProgress();
    await turn();
    expect(at(0).asked.filter((each) => each === "progress")).toHaveLength(1);
    // Who asks after the answer came is not told by that one.
    at(0).answer({ watchId: -1n });
    await turn();
    two?.requestProgress();
    await turn();
    expect(at(0).asked.filter((each) => each === "progress")).toHaveLength(2);
    clock.advance(1000);
    two?.requestProgress();
    await turn();
    expect(at(0).asked.filter((each) => each === "progress")).toHaveLength(3);
  });

  it("leave a stream that is kept for the next one for a while, but not for ever", async () => {
    const { hub, clock, streams, at } = setUp();
    for (const waitMs of [0, 5000, 60_000]) {
      clock.advance(waitMs);
      const stop = new AbortController();
      told(hub.watch({}, stop.signal));
      await turn();
      stop.abort();
      await turn();
    }
    expect([streams.length, at(0).signal?.aborted, at(1).signal?.aborted]).toEqual([2, true, false]);
    hub.close();
    expect(at(1).signal?.aborted).toBe(true);
  });
});

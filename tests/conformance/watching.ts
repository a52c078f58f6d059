import type { EtcdClient, KeyRange, WatchMessage, WatchOptions } from "@tenure/etcd";
import {
  type Event,
  Event_EventType as EventType,
  Watch,
  type WatchRequest,
  type WatchResponse,
} from "@tenure/etcd/rpc";
import type { RawGrpcClient } from "../../packages/embed/src/testing/raw-grpc-client.ts";
import { text } from "./harness.ts";
import { settled } from "../support/until.ts";

/** A watch of the client whose messages can be awaited. */
export interface Watching extends AsyncDisposable {
  readonly created: Extract<WatchMessage, { t: "created" }>;
  /** The next message. */
  next(): Promise<WatchMessage>;
  /** The events of the next messages, so many at least. */
  events(count: number): Promise<Event[]>;
}

/** Opens a watch and waits until it stands. */
export async function watching(
  etcd: EtcdClient,
  keys: KeyRange,
  options: Omit<WatchOptions, "signal"> = {},
): Promise<Watching> {
  const closing = new AbortController();
  const messages = etcd.watch.watch(keys, { ...options, signal: closing.signal });
  const next = async (): Promise<WatchMessage> => {
    const { value, done } = await settled(messages.next(), { what: "message of the watch" });
    if (done === true) throw new Error("the watch ended");
    return value;
  };
  const created = await next();
  if (created.t !== "created") throw new Error(`the first message is ${created.t}`);
  return {
    created,
    next,
    events: async (count) => {
      const all: Event[] = [];
      while (all.length < count) {
        const message = await next();
        if (message.t === "events") all.push(...message.events);
      }
      return all;
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      await messages.return().catch(() => undefined);
    },
  };
}

/** An event in short: `put a=1`, `delete a`. */
export function shown({ type, kv }: Event): string {
  const key = text(kv?.key).split("/").at(-1) ?? "";
  return type === EventType.DELETE ? `delete ${key}` : `put ${key}=${text(kv?.value)}`;
}

type CreateRequest = Partial<
  Omit<Extract<WatchRequest["requestUnion"], { case: "createRequest" }>["value"], "$typeName">
>;

/** One stream with any number of watches, its answers as they come. */
export interface WatchStream {
  create(request: CreateRequest): void;
  cancel(watchId: bigint): void;
  progress(): void;
  /** The next answer. */
  next(): Promise<WatchResponse>;
}

/** Opens a stream of the Watch service. */
export function watchStream(raw: RawGrpcClient): WatchStream {
  const call = raw.open(Watch.method.watch);
  let given = 0;
  return {
    create: (value) => call.send({ requestUnion: { case: "createRequest", value } }),
    cancel: (watchId) => call.send({ requestUnion: { case: "cancelRequest", value: { watchId } } }),
    progress: () => call.send({ requestUnion: { case: "progressRequest", value: {} } }),
    next: async () => {
      const messages = await settled(call.received(given + 1), { what: "answer on the watch stream" });
      return messages[given++] as WatchResponse;
    },
  };
}

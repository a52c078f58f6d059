import {
  type Event,
  type KeyValue,
  type ResponseHeader,
  type WatchCreateRequest,
  WatchCreateRequest_FilterType as FilterType,
  type WatchRequest,
  type WatchResponse,
} from "@tenure/etcd/rpc";

import { EtcdServerError, GrpcCode, refusal } from "./errors.ts";
import { keyRange, type KeyRange } from "./key-range.ts";
import { MAX_REQUEST_BYTES } from "./request-checks.ts";
import type { WatchableStore, Watcher, WatchSpec } from "./watchable-store.ts";

/** Takes the answers of a watch stream in order; returns false when it wants no events until `drain` is called. */
export type WatchSink = (response: WatchResponse) => boolean;

/** In a request: let the server choose. */
const AUTO_WATCH_ID = 0n;
/** In an answer: no watch in particular. */
const NO_WATCH_ID = -1n;
const SMALLEST_KEY = new Uint8Array([0]);
/** More than an event takes beyond the bytes of its keys and values. */
const EVENT_OVERHEAD_BYTES = 128;

const DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";
const EMPTY_RANGE = "mvcc: watcher range is empty";

const NOTHING_TO_TELL = {
  $typeName: "etcdserverpb.WatchResponse",
  watchId: 0n,
  created: false,
  canceled: false,
  compactRevision: 0n,
  cancelReason: "",
  fragment: false,
  events: [],
} satisfies WatchResponse;

/** The names Go has for the statuses of refused watches. */
const CODE_NAMES: Readonly<Record<number, string>> = {
  [GrpcCode.invalidArgument]: "InvalidArgument",
  [GrpcCode.permissionDenied]: "PermissionDenied",
  [GrpcCode.unauthenticated]: "Unauthenticated",
};

interface Watch {
  readonly watcher: Watcher;
  /** Whether the client asked for a progress answer now and then, and the last period passed without an event. */
  progress: "not-wanted" | "idle" | "active";
}

/** What a stream needs of the server around it. */
export interface WatchStreamHost {
  readonly header: (revision: number) => ResponseHeader;
  /** Throws `EtcdServerError` unless whoever opened the stream may watch this. */
  readonly permit: (request: WatchCreateRequest) => void;
  readonly sink: WatchSink;
  readonly quota: WatchQuota;
}

/** How many watches there may be, and are. Shared by all streams of a server. */
export interface WatchQuota {
  readonly maxPerStream: number;
  readonly max: number;
  used: number;
}

/** One stream of the Watch service: any number of watches that share an order of answers. */
export class WatchStream {
  readonly #store: WatchableStore;
  readonly #host: WatchStreamHost;
  readonly #watches = new Map<bigint, Watch>();
  #nextId = 0n;
  #full = false;

  constructor(store: WatchableStore, host: WatchStreamHost) {
    this.#store = store;
    this.#host = host;
  }

  /** Its watches by their ids. */
  get watchers(): ReadonlyMap<bigint, Watcher> {
    return new Map([...this.#watches].map(([id, { watcher }]) => [id, watcher]));
  }

  /** Does what the client asks: create, cancel, or tell the progress. Answers go to the sink before this returns. */
  handle({ requestUnion }: WatchRequest): void {
    switch (requestUnion.case) {
      case "createRequest":
        return this.#create(requestUnion.value);
      case "cancelRequest":
        return this.#cancel(requestUnion.value.watchId);
      case "progressRequest":
        return this.#tellProgress([...this.#watches.values()], NO_WATCH_ID);
      case undefined:
        // As etcd: a request this server does not know is no reason to end the watches.
        return undefined;
    }
  }

  /** Continues with events after the sink was full. */
  drain(): void {
    this.#full = false;
    for (const { watcher } of this.#watches.values()) {
      if (this.#full) return;
      this.#store.catchUp(watcher);
    }
  }

  /** Tells each watch that asked for it, and had no event since the last call, how far it is. */
  reportProgress(): void {
    for (const [id, watch] of this.#watches) {
      if (watch.progress === "idle") this.#tellProgress([watch], id);
      if (watch.progress === "active") watch.progress = "idle";
    }
  }

  /** Ends all watches without an answer. */
  close(): void {
    this.#host.quota.used -= this.#watches.size;
    for (const { watcher } of this.#watches.values()) this.#store.cancel(watcher);
    this.#watches.clear();
  }

  #create(request: WatchCreateRequest): void {
    const range = keyRange(request.key.byteLength === 0 ? SMALLEST_KEY : request.key, request.rangeEnd);
    const problem = this.#problemOf(request, range);
    if (problem !== undefined) {
      this.#send({ watchId: NO_WATCH_ID, created: true, canceled: true, cancelReason: problem });
      return;
    }
    const id = request.watchId === AUTO_WATCH_ID ? this.#freeId() : request.watchId;
    const watcher = this.#store.watch(specOf(request, range), {
      events: (events, revision) => this.#sendEvents(id, events, revision, request.fragment),
      compacted: (compactRevision) => this.#sendCompacted(id, compactRevision),
    });
    this.#host.quota.used += 1;
    this.#watches.set(id, { watcher, progress: request.progressNotify ? "idle" : "not-wanted" });
    this.#send({ watchId: id, created: true });
    this.#store.catchUp(watcher);
  }

  #problemOf(request: WatchCreateRequest, range: KeyRange): string | undefined {
    if (request.startRevision < 0n) return refusal("compacted").message;
    const forbidden = this.#forbidden(request);
    if (forbidden !== undefined) return forbidden;
    if (range.kind === "range" && range.end !== undefined && range.start >= range.end) return EMPTY_RANGE;
    if (request.watchId !== AUTO_WATCH_ID && this.#watches.has(request.watchId)) return DUPLICATE_ID;
    const { maxPerStream, max, used } = this.#host.quota;
    if (this.#watches.size >= maxPerStream) return `too many watches: a stream may have ${maxPerStream}`;
    if (used >= max) return `too many watches: the server may have ${max}`;
    return undefined;
  }

  /** As etcd words it: with the name of the status in front. */
  #forbidden(request: WatchCreateRequest): string | undefined {
    try {
      this.#host.permit(request);
      return undefined;
    } catch (error) {
      if (!(error instanceof EtcdServerError)) throw error;
      return `rpc error: code = ${CODE_NAMES[error.code]} desc = ${error.message}`;
    }
  }

  #freeId(): bigint {
    while (this.#watches.has(this.#nextId)) this.#nextId += 1n;
    this.#nextId += 1n;
    return this.#nextId - 1n;
  }

  #cancel(id: bigint): void {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    this.#store.cancel(watch.watcher);
    this.#watches.delete(id);
    this.#host.quota.used -= 1;
    this.#send({ watchId: id, canceled: true });
  }

  /** As etcd: no answer unless there is a watch, and all of them have seen everything up to now. */
  #tellProgress(watches: readonly Watch[], id: bigint): void {
    const revision = this.#store.revision;
    const upToDate = ({ watcher }: Watch): boolean =>
      watcher.state === "synced" && watcher.spec.startRevision <= revision;
    if (watches.length > 0 && watches.every(upToDate)) this.#send({ watchId: id });
  }

  #sendEvents(id: bigint, events: Event[], revision: number, fragment: boolean): boolean {
    if (this.#full) return false;
    const watch = this.#watches.get(id);
    if (watch?.progress === "idle") watch.progress = "active";
    const pieces = fragment ? splitEvents(events) : [events];
    pieces.forEach((piece, index) => {
      this.#send({ watchId: id, events: piece, fragment: index < pieces.length - 1 }, revision);
    });
    return true;
  }

  /** The watch keeps its id until the client cancels it, and the answer has no revision: as etcd. */
  #sendCompacted(id: bigint, compactRevision: number): void {
    this.#send({ watchId: id, canceled: true, compactRevision: BigInt(compactRevision) }, 0);
  }

  #send(fields: Partial<Omit<WatchResponse, "$typeName" | "header">>, revision: number = this.#store.revision): void {
    const header = this.#host.header(revision);
    if (!this.#host.sink({ ...NOTHING_TO_TELL, ...fields, header })) this.#full = true;
  }
}

function specOf(request: WatchCreateRequest, range: KeyRange): WatchSpec {
  return {
    range,
    startRevision: Number(request.startRevision),
    prevKv: request.prevKv,
    noPut: request.filters.includes(FilterType.NOPUT),
    noDelete: request.filters.includes(FilterType.NODELETE),
  };
}

/** Splits events so that each piece stays below the request limit, one event at least in each. */
function splitEvents(events: readonly Event[]): Event[][] {
  let piece: Event[] = [];
  const pieces = [piece];
  let bytes = 0;
  for (const event of events) {
    const size = keyValueBytes(event.kv) + keyValueBytes(event.prevKv) + EVENT_OVERHEAD_BYTES;
    if (piece.length > 0 && bytes + size > MAX_REQUEST_BYTES) {
      piece = [];
      pieces.push(piece);
      bytes = 0;
    }
    piece.push(event);
    bytes += size;
  }
  return pieces;
}

function keyValueBytes(kv: KeyValue | undefined): number {
  return kv === undefined ? 0 : kv.key.byteLength + kv.value.byteLength;
}

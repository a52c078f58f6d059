import {
  type DescMethod,
  type DescMessage,
  fromBinary,
  type MessageShape,
  toBinary,
  type DescService,
} from "@bufbuild/protobuf";
import type { EtcdServerError } from "@tenure/embed";
import { Cluster, encodeGrpcMessage, frame, FrameReader, KV, Lease, Maintenance, Watch } from "@tenure/etcd/rpc";
import type { HeaderField } from "../../../packages/etcd/dist/http2/hpack-encoder.js";
import type { Http2Session, Http2Stream, StreamListener } from "../../../packages/etcd/dist/http2/http2.js";
import type { Link, LinkCall } from "./link.ts";

const SERVICES: readonly DescService[] = [KV, Lease, Watch, Maintenance, Cluster];
const METHODS: ReadonlyMap<string, DescMethod> = new Map(
  SERVICES.flatMap(({ typeName, methods }) => methods.map((method) => [`/${typeName}/${method.name}`, method])),
);
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** Sees each single request that leaves. */
export type RequestListener = (request: unknown) => void;

/** Stands where the product has HTTP/2, over a link of the simulation. */
export class SimSession implements Http2Session {
  readonly link: Link;
  readonly #onRequest: RequestListener;
  readonly spoke = true;
  #closed = false;

  constructor(link: Link, onRequest: RequestListener) {
    this.link = link;
    this.#onRequest = onRequest;
  }

  get bytesRead(): number {
    return this.link.received;
  }

  get closed(): boolean {
    return this.#closed || this.destroyed;
  }

  get destroyed(): boolean {
    return !this.link.open;
  }

  request(fields: readonly HeaderField[], listener: StreamListener): SimStream {
    if (this.closed) throw new Error("the session is closed");
    const path = fields.find(([name]) => name === ":path")?.[1] ?? "";
    const method = METHODS.get(path);
    if (method === undefined) throw new Error(`no such method: ${path}`);
    return new SimStream(this.link, method, listener, this.#onRequest);
  }

  ping(onAnswer: () => void): void {
    this.link.ping(onAnswer);
  }

  onGoaway(): () => void {
    return () => undefined;
  }

  close(): void {
    this.#closed = true;
    this.link.retire();
  }

  destroy(): void {
    this.#closed = true;
    this.link.drop();
  }
}

/** One request: messages in frames one way, headers, frames and trailers the other. */
export class SimStream implements Http2Stream {
  readonly #call: LinkCall;
  readonly #method: DescMethod;
  readonly #listener: StreamListener;
  readonly #onRequest: RequestListener;
  readonly #reader = new FrameReader(MAX_MESSAGE_BYTES);
  over = false;
  /** What arrived while the reader wanted nothing. */
  readonly #held: (() => void)[] = [];
  #paused = false;
  #responded = false;

  constructor(link: Link, method: DescMethod, listener: StreamListener, onRequest: RequestListener) {
    this.#method = method;
    this.#listener = listener;
    this.#onRequest = onRequest;
    const { output } = method;
    this.#call = link.start(method.name, method.methodKind === "unary", {
      message: (answer) => {
        const bytes = toBinary(output, answer as MessageShape<DescMessage>);
        this.#deliver(() => this.#tell(frame(bytes)));
      },
      end: (error) => this.#deliver(() => this.#finish(error)),
      // Nobody hears of it before the code that broke the connection has returned.
      lost: () => queueMicrotask(() => this.#lose()),
    });
  }

  send(bytes: Uint8Array): void {
    for (const message of this.#reader.push(bytes)) {
      const request = fromBinary(this.#method.input, message);
      this.#onRequest(request);
      this.#call.send(request);
    }
  }

  finish(): void {
    // What is over has nothing to let go of.
  }

  reset(): void {
    this.over = true;
    this.#call.cancel();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    while (!this.#paused) {
      const next = this.#held.shift();
      if (next === undefined) return;
      next();
    }
  }

  #deliver(arrive: () => void): void {
    if (this.#paused) this.#held.push(arrive);
    else arrive();
  }

  #tell(bytes: Buffer): void {
    if (this.over) return;
    this.#respond();
    this.#listener.onData(bytes);
  }

  #respond(): void {
    if (this.#responded) return;
    this.#responded = true;
    const headers = [[":status", "200"] as const, ["content-type", "application/grpc"] as const];
    this.#listener.onHeaders(new Map(headers), false);
  }

  #finish(error: EtcdServerError | undefined): void {
    if (this.over) return;
    this.#respond();
    this.over = true;
    const code = ["grpc-status", String(error?.code ?? 0)] as const;
    this.#listener.onHeaders(new Map([code, ["grpc-message", encodeGrpcMessage(error?.message ?? "")]]), true);
    this.#listener.onEnd(undefined);
  }

  #lose(): void {
    if (this.over) return;
    this.over = true;
    this.#listener.onEnd(new Error("the connection was lost before the call ended"));
  }
}

import { EventEmitter } from "node:events";
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
import type { Link, LinkCall } from "./link.ts";

const SERVICES: readonly DescService[] = [KV, Lease, Watch, Maintenance, Cluster];
const METHODS: ReadonlyMap<string, DescMethod> = new Map(
  SERVICES.flatMap(({ typeName, methods }) => methods.map((method) => [`/${typeName}/${method.name}`, method])),
);
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** Sees each single request that leaves. */
export type RequestListener = (request: unknown) => void;

/** As much of Node's HTTP/2 session as the product's transport uses, over a link of the simulation. */
export class SimSession {
  readonly link: Link;
  readonly #onRequest: RequestListener;
  closed = false;

  constructor(link: Link, onRequest: RequestListener) {
    this.link = link;
    this.#onRequest = onRequest;
  }

  get destroyed(): boolean {
    return !this.link.open;
  }

  request(headers: Readonly<Record<string, unknown>>): SimStream {
    if (this.closed || this.destroyed) throw new Error("the session is closed");
    const method = METHODS.get(String(headers[":path"]));
    if (method === undefined) throw new Error(`no such method: ${String(headers[":path"])}`);
    return new SimStream(this.link, method, this.#onRequest);
  }

  /** Calls back when the other side has answered. */
  ping(answered: () => void): void {
    this.link.ping(answered);
  }

  /** Takes no more requests, and ends when those under way have. */
  close(): void {
    this.closed = true;
    this.link.retire();
  }

  destroy(): void {
    this.closed = true;
    this.link.drop();
  }
}

/** As much of Node's HTTP/2 stream: requests in frames one way, headers, frames and trailers the other. */
export class SimStream extends EventEmitter {
  readonly #call: LinkCall;
  readonly #method: DescMethod;
  readonly #onRequest: RequestListener;
  readonly #reader = new FrameReader(MAX_MESSAGE_BYTES);
  readonly rstCode = 0;
  destroyed = false;
  /** What arrived while the reader wanted nothing. */
  readonly #held: (() => void)[] = [];
  #paused = false;

  constructor(link: Link, method: DescMethod, onRequest: RequestListener) {
    super();
    this.#method = method;
    this.#onRequest = onRequest;
    const { output } = method;
    this.#call = link.start(method.name, method.methodKind === "unary", {
      message: (answer) => {
        const bytes = toBinary(output, answer as MessageShape<DescMessage>);
        this.#deliver(() => this.emit("data", frame(bytes)));
      },
      end: (error) => this.#deliver(() => this.#finish(error)),
      // As Node does: nobody hears of it before the code that broke the connection has returned.
      lost: () => queueMicrotask(() => this.#lose()),
    });
  }

  write(bytes: Uint8Array): void {
    for (const message of this.#reader.push(Buffer.from(bytes))) {
      const request = fromBinary(this.#method.input, message);
      this.#onRequest(request);
      this.#call.send(request);
    }
  }

  end(bytes?: Uint8Array): void {
    if (bytes !== undefined) this.write(bytes);
  }

  close(): void {
    this.destroyed = true;
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

  #finish(error: EtcdServerError | undefined): void {
    if (this.destroyed) return;
    this.destroyed = true;
    const status = { "grpc-status": String(error?.code ?? 0), "grpc-message": encodeGrpcMessage(error?.message ?? "") };
    this.emit("response", { ":status": 200, "content-type": "application/grpc" });
    this.emit("trailers", status);
    this.emit("end");
    this.emit("close");
  }

  #lose(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }
}

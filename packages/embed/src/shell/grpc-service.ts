import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageShape,
} from "@bufbuild/protobuf";

import type { Caller } from "../core/auth-store.ts";
import { EtcdServerError, GrpcCode } from "../core/errors.ts";
import { type Codec, codecOf } from "../wire/codec.ts";

/** For those who wait for something: a signal that fires when the call is over. Made when it is first asked for. */
export type CallEnd = () => AbortSignal;

/** Answers one request; what it throws or rejects with becomes the status of the call. */
export type UnaryHandler<I, O> = (request: I, caller: Caller, end: CallEnd) => O | Promise<O>;

/** Answers one request with any number of messages, each made when the client has room for it. */
export type ServerStreamHandler<I, O> = (request: I, caller: Caller, end: CallEnd) => AsyncIterable<O>;

/** The server's side of an open stream, as its handler sees it. */
export interface StreamCall<O> {
  /** Sends a message. Returns false when the client does not keep up: `drain` follows when there is room again. */
  send(message: O): boolean;
  /** Ends the stream with status OK. */
  end(): void;
}

/** What a handler does with an open stream. What it throws becomes the status of the stream. */
export interface StreamReceiver<I> {
  message(request: I): void;
  /** There is room again after `send` returned false. */
  drain(): void;
  /** The client sends nothing more, but still listens. */
  halfClose(): void;
  /** The stream is over, for whatever reason. Called once. */
  close(): void;
}

/** Opens a stream. */
export type StreamHandler<I, O> = (call: StreamCall<O>, caller: Caller) => StreamReceiver<I>;

/** The handler that a method takes. */
export type MethodHandler<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<MessageShape<I>, MessageShape<O>>
    : M extends DescMethodBiDiStreaming<infer I, infer O>
      ? StreamHandler<MessageShape<I>, MessageShape<O>>
      : M extends DescMethodServerStreaming<infer I, infer O>
        ? ServerStreamHandler<MessageShape<I>, MessageShape<O>>
        : never;

/** A handler for each method of a service. */
export type ServiceHandlers<S extends DescService> = {
  readonly [K in keyof S["method"]]: MethodHandler<S["method"][K]>;
};

/** A method, how its messages are read and written, and who answers it. */
export type Route =
  | {
      readonly kind: "unary";
      readonly codec: Codec;
      readonly handler: UnaryHandler<unknown, unknown>;
    }
  | {
      readonly kind: "server-stream";
      readonly codec: Codec;
      readonly handler: ServerStreamHandler<unknown, unknown>;
    }
  | {
      readonly kind: "stream";
      readonly codec: Codec;
      readonly handler: StreamHandler<unknown, unknown>;
    };

/** The services of a server, found by the path of a request. */
export class GrpcRouter {
  readonly #routes = new Map<string, Map<string, Route>>();

  /** Adds a service. None of its methods may stream requests and answer once. */
  add<S extends DescService>(service: S, handlers: ServiceHandlers<S>): void {
    const routes = new Map<string, Route>();
    for (const method of service.methods) {
      const handler: unknown = Reflect.get(handlers, method.localName);
      routes.set(method.name, routeOf(method, handler));
    }
    this.#routes.set(service.typeName, routes);
  }

  /**
   * The route of a path like `/package.Service/Method`.
   *
   * @throws EtcdServerError when there is none, naming what is missing.
   */
  find(path: string): Route {
    const slash = path.lastIndexOf("/");
    if (slash < 1) throw new EtcdServerError(GrpcCode.unimplemented, `malformed method name: ${JSON.stringify(path)}`);
    const service = path.slice(1, slash);
    const method = path.slice(slash + 1);
    const routes = this.#routes.get(service);
    if (routes === undefined) throw new EtcdServerError(GrpcCode.unimplemented, `unknown service ${service}`);
    const route = routes.get(method);
    if (route !== undefined) return route;
    throw new EtcdServerError(GrpcCode.unimplemented, `unknown method ${method} for service ${service}`);
  }
}

/** The types of a service's handlers were checked by `add`; behind it, methods of all services look alike. */
function routeOf(method: DescMethod, handler: unknown): Route {
  const codec = codecOf(method);
  switch (method.methodKind) {
    case "unary":
      return { kind: "unary", codec, handler: handler as UnaryHandler<unknown, unknown> };
    case "bidi_streaming":
      return { kind: "stream", codec, handler: handler as StreamHandler<unknown, unknown> };
    case "server_streaming":
      return { kind: "server-stream", codec, handler: handler as ServerStreamHandler<unknown, unknown> };
    case "client_streaming":
      throw new TypeError(`${method.name}: ${method.methodKind} methods are not supported`);
  }
}

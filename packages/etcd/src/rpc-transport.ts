import type { Message } from "@bufbuild/protobuf";
import type { CallOptions } from "./call-options.ts";
import { EtcdError } from "./errors.ts";
import type { StreamControl } from "./stream-control.ts";
import type { Init } from "./wire/codec.ts";
import type { Method } from "./wire/methods.ts";

/** Names and values of headers that a call carries beside gRPC's own. */
export type CallHeaders = Readonly<Record<string, string>>;

/** Carries calls to a store. What it throws should be an EtcdError. */
export interface Transport {
  /** Sends one message and waits for the one that answers it. */
  unary<I extends Message, O extends Message>(
    method: Method<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    headers: CallHeaders | undefined,
    input: Init<NoInfer<I>>,
  ): Promise<{ readonly message: O }>;
  /**
   * Opens a stream of messages in both directions; `timeoutMs` is for its beginning only.
   *
   * @param control where its owner says what to think of it
   */
  stream<I extends Message, O extends Message>(
    method: Method<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    headers: CallHeaders | undefined,
    input: AsyncIterable<Init<NoInfer<I>>>,
    control?: StreamControl,
  ): Promise<{ readonly message: AsyncIterable<O> }>;
}

/** Calls a method and returns its answer. Whatever it throws is an EtcdError. */
export async function call<I extends Message, O extends Message>(
  transport: Transport,
  method: Method<I, O>,
  input: Init<NoInfer<I>>,
  { signal, timeoutMs }: CallOptions,
): Promise<O> {
  try {
    const { message } = await transport.unary(method, signal, timeoutMs, undefined, input);
    return message;
  } catch (error) {
    throw EtcdError.from(error);
  }
}

/** Opens a stream at once, and gives its answers, to be read by one loop; leaving that ends the stream. */
export function openStream<I extends Message, O extends Message>(
  transport: Transport,
  method: Method<I, O>,
  input: AsyncIterable<Init<NoInfer<I>>>,
  signal: AbortSignal,
  control?: StreamControl,
): AsyncIterable<O> {
  const opened = transport.stream(method, signal, undefined, undefined, input, control);
  // Whoever reads hears of it; where nobody does, it matters to nobody.
  opened.catch(() => undefined);
  return new Answers(opened);
}

/** The answers of a stream that may not be open yet. */
class Answers<O> implements AsyncIterableIterator<O, undefined> {
  readonly #opened: Promise<{ readonly message: AsyncIterable<O> }>;
  #messages: AsyncIterator<O> | undefined;

  constructor(opened: Promise<{ readonly message: AsyncIterable<O> }>) {
    this.#opened = opened;
  }

  next(): Promise<IteratorResult<O, undefined>> {
    return this.#messages?.next() ?? this.#first();
  }

  async return(): Promise<IteratorResult<O, undefined>> {
    await this.#messages?.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #first(): Promise<IteratorResult<O, undefined>> {
    const { message } = await this.#opened;
    this.#messages = message[Symbol.asyncIterator]();
    return this.#messages.next();
  }
}

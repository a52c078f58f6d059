import { type ConnectRouter, createRouterTransport, type Transport } from "@connectrpc/connect";

/** Connect's transport within a process, which wants generators for the requests of a stream. */
export function inMemory(routes: (router: ConnectRouter) => void): Transport {
  const inner = createRouterTransport(routes);
  return {
    unary: (...call) => inner.unary(...call),
    stream: (method, signal, timeoutMs, header, input, values) =>
      inner.stream(method, signal, timeoutMs, header, generated(input), values),
  };
}

async function* generated<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  yield* items;
}

import { create, type DescMethod, type DescService, type Message } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  ConnectError,
  createRouterTransport,
  type Transport as Connect,
} from "@connectrpc/connect";
import { EtcdError, fromStatus } from "../errors.ts";
import { Auth, Cluster, KV, Lease, Maintenance, Watch } from "../gen/rpc_pb.ts";
import type { Transport } from "../rpc-transport.ts";
import * as methods from "../wire/methods.ts";

const SERVICES: readonly DescService[] = [KV, Watch, Lease, Cluster, Maintenance, Auth];
const OURS: ReadonlyMap<string, methods.Method<Message, Message>> = new Map(
  Object.values(methods).map((method) => [pathOf(method), method as unknown as methods.Method<Message, Message>]),
);
const DESCRIBED: ReadonlyMap<string, DescMethod> = new Map(
  SERVICES.flatMap((service) => service.methods.map((method) => [pathOf(method), method] as const)),
);

/** A store within this process, of Connect's routes. */
export function inMemory(routes: (router: ConnectRouter) => void): Transport {
  const inner = createRouterTransport(routes);
  const transport = {
    unary: async (...[method, signal, timeoutMs, headers, input]: Parameters<Transport["unary"]>) => {
      const to = described(method) as Parameters<Connect["unary"]>[0];
      try {
        return await inner.unary(to, signal, timeoutMs, headers, create(to.input, input));
      } catch (error) {
        throw ours(error);
      }
    },
    stream: async (...[method, signal, timeoutMs, headers, input]: Parameters<Transport["stream"]>) => {
      const to = described(method) as Parameters<Connect["stream"]>[0];
      // Connect wants generators for the requests of a stream.
      const { message } = await inner.stream(to, signal, timeoutMs, headers, generated(input));
      return { message: withOurErrors(message) };
    },
  };
  return transport as unknown as Transport;
}

/** Our transport as Connect's clients use it, to compare with others or to call by Connect's names. */
export function asConnect(transport: Transport): Connect {
  const plain = { header: new Headers(), trailer: new Headers() };
  const connect = {
    unary: async (...[method, signal, timeoutMs, header, input]: Parameters<Connect["unary"]>) => {
      const answer = await transport.unary(known(method), signal, timeoutMs, fieldsOf(header), input as Message);
      return { ...plain, ...answer, stream: false, service: method.parent, method };
    },
    stream: async (...[method, signal, timeoutMs, header, input]: Parameters<Connect["stream"]>) => {
      const requests = input as AsyncIterable<Message>;
      const answer = await transport.stream(known(method), signal, timeoutMs, fieldsOf(header), requests);
      return { ...plain, ...answer, stream: true, service: method.parent, method };
    },
  };
  return connect as unknown as Connect;
}

function pathOf({ name, parent }: methods.AnyMethod): string {
  return `${parent.typeName}/${name}`;
}

function known(method: methods.AnyMethod): methods.Method<Message, Message> {
  const found = OURS.get(pathOf(method));
  if (found === undefined) throw new Error(`no such method: ${pathOf(method)}`);
  return found;
}

function described(method: methods.AnyMethod): DescMethod {
  const found = DESCRIBED.get(pathOf(method));
  if (found === undefined) throw new Error(`no such method: ${pathOf(method)}`);
  return found;
}

function fieldsOf(header: unknown): Record<string, string> {
  return Object.fromEntries(new Headers(header as ConstructorParameters<typeof Headers>[0]));
}

function ours(error: unknown): EtcdError {
  return error instanceof ConnectError ? fromStatus(error.code, error.rawMessage, error) : EtcdError.from(error);
}

async function* withOurErrors<T>(answers: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* answers;
  } catch (error) {
    throw ours(error);
  }
}

async function* generated<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  yield* items;
}

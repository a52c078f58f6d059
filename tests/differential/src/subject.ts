import { create, type DescMethod, type DescService, type Message } from "@bufbuild/protobuf";
import * as rpc from "@tenure/etcd/rpc";
import { Connection, type Status } from "./connection.ts";
import { signToken } from "./jwt.ts";
import type { BeginOperation, CallOperation, Json, JsonMessage, Operation } from "./operation.ts";
import { fromMessage, leaseId, type Names, toMessage } from "./translate.ts";
import { type Ending, WaitingCalls } from "./waiting-calls.ts";
import { WatchRecord } from "./watch-record.ts";

/** Connections to each server, as if of several clients. */
export const connectionCount = 3;
const answerLimitMs = 10_000;
/** etcd serves watches of the past ten times a second. */
const pastLimitMs = 10_000;

const services: Readonly<Record<string, DescService>> = {
  KV: rpc.KV,
  Lease: rpc.Lease,
  Cluster: rpc.Cluster,
  Maintenance: rpc.Maintenance,
  Auth: rpc.Auth,
  Election: rpc.Election,
  Lock: rpc.Lock,
};
/** Where the counting of a server begins. */
export type Start = Pick<Names, "firstRevision" | "firstAuthRevision">;

const barrierKey = Buffer.from("settled");

/** One of the two servers, from its empty store on. */
export class Subject {
  readonly #connections: readonly Connection[];
  readonly #names: Names;
  readonly #tokens = new Map<string, string>();
  readonly #watches = new Map<number, WatchRecord>();
  readonly #waiting: WaitingCalls;
  /** What the calls that wait are, by their names. */
  readonly #methods = new Map<string, DescMethod>();
  #watchesThePast = false;
  #barrierRevision = 0n;

  constructor(endpoint: string, start: Start) {
    this.#connections = Array.from({ length: connectionCount }, () => new Connection(endpoint));
    this.#names = { ...start, leases: new Map() };
    this.#waiting = new WaitingCalls(this.#connection(0), answerLimitMs);
  }

  /** Does one step and tells its answer. */
  async perform(operation: Operation): Promise<Json> {
    if ("begin" in operation) return this.#begin(operation);
    if ("call" in operation) return this.#call(operation);
    if ("end" in operation) return this.#end(operation.end);
    if ("cancel" in operation) return this.#cancel(operation);
    if ("first" in operation) return this.#first(methodOf(operation.first), operation.request, operation);
    if ("sign" in operation) return this.#sign(operation);
    if ("keepAlive" in operation) return this.#keepAlive(operation);
    if ("watchOnce" in operation) {
      return this.#first(rpc.Watch.method.watch, { createRequest: operation.watchOnce }, operation);
    }
    if ("watch" in operation) return this.#watch(operation.watch, operation.stream);
    if ("close" in operation) {
      const said = await this.settle();
      this.#watches.get(operation.close)?.close();
      this.#watches.delete(operation.close);
      return said;
    }
    return this.settle();
  }

  /** Waits until every event has come, and tells what came on the watch streams since the last time. */
  async settle(): Promise<JsonMessage> {
    for (const watch of this.#watches.values()) await watch.watchBarrier(answerLimitMs);
    if (this.#watchesThePast) await this.#waitForThePast();
    if (this.#watches.size > 0) {
      await this.#putBarrier();
      for (const watch of this.#watches.values()) await watch.reached(this.#barrierRevision, answerLimitMs);
    }
    return Object.fromEntries([...this.#watches].map(([number, watch]) => [`stream ${number}`, watch.takeSaid()]));
  }

  close(): void {
    this.#waiting.close();
    for (const watch of this.#watches.values()) watch.close();
    for (const connection of this.#connections) connection.close();
  }

  async #call({ call, on, by, request, as }: CallOperation): Promise<Json> {
    if (call === "KV.Compact") await this.settle();
    const method = methodOf(call);
    const message = toMessage(method.input, request, this.#names);
    const { answer, status } = await this.#connection(on).ask(method, message, answerLimitMs, this.#headers(by));
    if (as !== undefined && answer !== undefined) this.#remember(as, answer);
    return this.#said(method, { answer, status });
  }

  #said(method: DescMethod, { answer, status }: Ending): Json {
    const said = answer === undefined ? {} : { answer: fromMessage(method.output, answer, this.#names) };
    return { ...statusText(status), ...said };
  }

  async #begin({ begin, call, request, key }: BeginOperation): Promise<Json> {
    const method = methodOf(call);
    this.#methods.set(begin, method);
    const message = toMessage(method.input, request, this.#names);
    return { waits: await this.#waiting.begin(begin, method, message, Buffer.from(key)) };
  }

  async #end(name: string): Promise<Json> {
    const ending = await this.#waiting.end(name);
    const method = this.#methods.get(name);
    return ending === undefined || method === undefined ? null : this.#said(method, ending);
  }

  async #cancel({ cancel, key }: Extract<Operation, { cancel: string }>): Promise<Json> {
    await this.#waiting.cancel(cancel, Buffer.from(key));
    return null;
  }

  #sign({ sign, head, as }: Extract<Operation, { sign: JsonMessage }>): Json {
    this.#tokens.set(as, signToken(sign, head, this.#names.firstAuthRevision));
    return null;
  }

  #remember(name: string, answer: Message): void {
    if ("ID" in answer) this.#names.leases.set(name, answer.ID as bigint);
    if ("token" in answer) this.#tokens.set(name, answer.token as string);
  }

  #headers(by: string | undefined): Readonly<Record<string, string>> {
    return by === undefined ? {} : { token: this.#tokens.get(by) ?? "of nobody" };
  }

  /** The first answer on a stream, or how it ended without one. */
  async #first(
    method: DescMethod,
    request: JsonMessage,
    { on, by }: { readonly on: number; readonly by?: string },
  ): Promise<Json> {
    const answers: Json[] = [];
    const status = await new Promise<Status>((resolve) => {
      const listener = {
        message: (message: Message) => {
          answers.push(fromMessage(method.output, message, this.#names));
          call.cancel();
        },
        end: resolve,
      };
      const call = this.#connection(on).open(method, listener, this.#headers(by));
      call.send(toMessage(method.input, request, this.#names));
      // A stream of requests stays open: with its end the answers would end.
      if (method.methodKind === "server_streaming") call.end();
      call.giveUpAfter(answerLimitMs);
    });
    return answers.length > 0 ? { answers: answers.slice(0, 1) } : statusText(status);
  }

  async #keepAlive({ keepAlive, on, by }: Extract<Operation, { keepAlive: readonly Json[] }>): Promise<Json> {
    const method = rpc.Lease.method.leaseKeepAlive;
    const answers: Json[] = [];
    const left = [...keepAlive];
    const status = await new Promise<Status>((resolve) => {
      const sendNext = (): void => {
        const id = left.shift();
        if (id === undefined) call.end();
        else call.send(create(method.input, { ID: leaseId(id, this.#names) }));
      };
      const listener = {
        message: (message: Message) => {
          answers.push(fromMessage(method.output, message, this.#names));
          sendNext();
        },
        end: resolve,
      };
      const call = this.#connection(on).open(method, listener, this.#headers(by));
      call.giveUpAfter(answerLimitMs);
      sendNext();
    });
    return { ...statusText(status), answers };
  }

  async #watch(request: JsonMessage, number: number): Promise<Json> {
    // What is under way when a watch ends, or tells its progress, may or may not come before that.
    const said = "createRequest" in request ? {} : await this.settle();
    const watch = this.#watches.get(number) ?? new WatchRecord(this.#connection(number), this.#names, barrierKey);
    this.#watches.set(number, watch);
    await watch.request(request, answerLimitMs);
    const { startRevision = 0, fragment = false } = (request["createRequest"] ?? {}) as JsonMessage;
    if (startRevision !== 0) this.#watchesThePast = true;
    // What comes in one piece must not depend on when etcd looks into the past.
    const after = fragment === true || "progressRequest" in request ? await this.settle() : {};
    return [said, after];
  }

  async #putBarrier(): Promise<void> {
    const method = rpc.KV.method.put;
    const { answer } = await this.#connection(0).ask(method, create(method.input, { key: barrierKey }), answerLimitMs);
    const revision = (answer as rpc.PutResponse | undefined)?.header?.revision;
    if (revision !== undefined) this.#barrierRevision = revision;
  }

  /** A watch of the past is served after those that came before it, or at the same time. */
  async #waitForThePast(): Promise<void> {
    this.#watchesThePast = false;
    if (this.#barrierRevision === 0n) await this.#putBarrier();
    await new Promise<void>((resolve) => {
      const call = this.#connection(0).open(rpc.Watch.method.watch, {
        message: (message) => {
          const { events, canceled } = message as rpc.WatchResponse;
          if (events.length > 0 || canceled) call.cancel();
        },
        end: () => resolve(),
      });
      const value = { key: barrierKey, startRevision: this.#barrierRevision };
      call.send(create(rpc.WatchRequestSchema, { requestUnion: { case: "createRequest", value } }));
      call.giveUpAfter(pastLimitMs);
    });
  }

  #connection(number: number): Connection {
    const connection = this.#connections[number % connectionCount];
    if (connection === undefined) throw new Error(`there is no connection ${number}`);
    return connection;
  }
}

/** The method of a name like `KV.Put`. */
function methodOf(name: string): DescMethod {
  const [service = "", method] = name.split(".");
  const found = services[service]?.methods.find((each) => each.name === method);
  if (found === undefined) throw new Error(`there is no method ${name}`);
  return found;
}

function statusText({ code, message }: Status): JsonMessage {
  return code === "0" ? {} : { code, message };
}

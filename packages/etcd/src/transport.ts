import type { Message } from "@bufbuild/protobuf";
import { CallScope } from "./call-scope.ts";
import type { Connection } from "./connection.ts";
import { EtcdError, abortedError } from "./errors.ts";
import { EndpointProbe } from "./endpoint-probe.ts";
import type { CallPlace, EndpointRanking } from "./endpoint-ranking.ts";
import type { EndpointSource } from "./endpoint-source.ts";
import { publishRetry, publishRpc } from "./events.ts";
import type { StatusResponse } from "./gen/rpc_pb.ts";
import { requestHeaders, startCall } from "./grpc-request.ts";
import type { Http2Session } from "./http2/http2.ts";
import { MessageQueue } from "./message-queue.ts";
import type { CallHeaders, Transport } from "./rpc-transport.ts";
import type { Clock } from "./runtime/clock.ts";
import type { StreamControl } from "./stream-control.ts";
import type { Init } from "./wire/codec.ts";
import * as methods from "./wire/methods.ts";

/** Milliseconds a call may take where its caller sets no limit. */
export const DEFAULT_TIMEOUT_MS = 5000;
/** The same for a look at a member that is not in use. */
const PROBE_TIMEOUT_MS = 2000;
/** A connection that was silent for less is asked, but not given up: the caller may simply be in a hurry. */
const MIN_SILENCE_MS = 1000;
/** The same for a stream, whose owner knows better; a connection that is younger than its silence is asked first. */
const MIN_STREAM_SILENCE_MS = 150;

/** Sends a request on an open session. */
type Attempt<T> = (connection: Connection, session: Http2Session) => Promise<T>;

/**
 * gRPC over HTTP/2 to the best of several endpoints.
 *
 * A request goes to another endpoint only when it certainly did not reach the first: no connection, or refused before
 * it was read. A call that ends at its deadline while the connection was silent takes the connection down with it,
 * because a half-open connection gives no other sign.
 */
export class Http2Transport implements Transport {
  readonly #ranking: EndpointRanking;
  readonly #clock: Clock;
  readonly #probe: EndpointProbe;
  readonly #sources: readonly EndpointSource[];

  /** @param sources what finds endpoints beside those that are in the ranking already */
  constructor(ranking: EndpointRanking, clock: Clock, sources: readonly EndpointSource[] = []) {
    this.#ranking = ranking;
    this.#clock = clock;
    this.#sources = sources;
    this.#probe = new EndpointProbe(ranking, clock, (connection) => this.#status(connection));
  }

  async unary<I extends Message, O extends Message>(
    method: methods.Method<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    headers: CallHeaders | undefined,
    input: Init<I>,
  ): Promise<{ readonly message: O }> {
    const body = method.input.encode(input);
    const deadline = this.#clock.monotonic() + (timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const bytes = await this.#overEndpoints(method, "first", signal, deadline, (connection, session) =>
      this.#unaryOn(connection, session, method, headers, body, signal, deadline),
    );
    return { message: method.output.decode(bytes) };
  }

  async stream<I extends Message, O extends Message>(
    method: methods.Method<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    headers: CallHeaders | undefined,
    input: AsyncIterable<Init<I>>,
    control?: StreamControl,
  ): Promise<{ readonly message: AsyncIterable<O> }> {
    const deadline = this.#clock.monotonic() + (timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const attempt: Attempt<AsyncIterable<O>> = (connection, session) =>
      Promise.resolve(this.#streamOn(connection, session, method, headers, input, signal, control));
    const message = await this.#overEndpoints(method, placeOf(method), signal, deadline, attempt, (connection) => {
      // It may be suspect before there is a connection.
      control?.attach(() => this.#failed(connection));
    });
    return { message };
  }

  #answered(connection: Connection): void {
    this.#ranking.succeeded(connection);
    this.#probe.look();
    for (const source of this.#sources) source.answered();
  }

  #failed(connection: Connection): void {
    this.#ranking.failed(connection);
    if (this.#sources.length > 0 && this.#ranking.exhausted) for (const source of this.#sources) source.exhausted();
  }

  /** The state of the member behind one connection. */
  async #status(connection: Connection): Promise<StatusResponse> {
    const method = methods.status;
    const body = method.input.encode({});
    const deadline = this.#clock.monotonic() + PROBE_TIMEOUT_MS;
    const attempt: Attempt<Uint8Array> = (_connection, session) =>
      this.#unaryOn(connection, session, method, undefined, body, undefined, deadline);
    return method.output.decode(await this.#onEndpoint(connection, undefined, deadline, attempt));
  }

  /** Runs `attempt` on one endpoint after the other until one may have received the request. */
  async #overEndpoints<T>(
    method: methods.AnyMethod,
    place: CallPlace,
    signal: AbortSignal | undefined,
    deadline: number,
    attempt: Attempt<T>,
    onTry?: (connection: Connection) => void,
  ): Promise<T> {
    for (const source of this.#sources) {
      const pending = source.pending();
      if (pending !== undefined) await CallScope.before(pending, this.#clock, signal, deadline);
    }
    const failures: { url: string; error: EtcdError }[] = [];
    for (const connection of this.#ranking.ordered(place)) {
      onTry?.(connection);
      publishRetry(method, connection.endpoint.url, failures.at(-1));
      try {
        return await this.#onEndpoint(connection, signal, deadline, attempt);
      } catch (thrown) {
        const error = EtcdError.from(thrown);
        // A stream that was given up before there was a connection was given up for want of one.
        const overdue = onTry !== undefined && error.code === "deadline-exceeded";
        if (error.code === "unavailable" || overdue) this.#failed(connection);
        if (error.mayHaveApplied || error.code !== "unavailable") throw withPlace(error, connection.endpoint.url);
        failures.push({ url: connection.endpoint.url, error });
      }
    }
    throw noEndpointError(failures);
  }

  /** A session that was open may turn out to be at its end: a request that it did not take goes to a fresh one. */
  async #onEndpoint<T>(
    connection: Connection,
    signal: AbortSignal | undefined,
    deadline: number,
    attempt: Attempt<T>,
  ): Promise<T> {
    if (signal?.aborted === true) throw abortedError(signal);
    const open = connection.session();
    if (!(open instanceof Promise)) {
      try {
        return await attempt(connection, open);
      } catch (thrown) {
        const error = EtcdError.from(thrown);
        if (error.mayHaveApplied || error.code !== "unavailable" || connection.session() === open) throw error;
      }
    }
    const session = connection.session();
    const fresh = session instanceof Promise ? await CallScope.before(session, this.#clock, signal, deadline) : session;
    return attempt(connection, fresh);
  }

  #unaryOn(
    connection: Connection,
    session: Http2Session,
    method: methods.AnyMethod,
    extra: CallHeaders | undefined,
    body: Uint8Array,
    signal: AbortSignal | undefined,
    deadline: number,
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      let answer: Uint8Array | undefined;
      const headers = requestHeaders(connection, method, extra, deadline - this.#clock.monotonic());
      const bytesBefore = session.bytesRead;
      const startedAt = this.#clock.monotonic();
      const call = startCall(session, headers, {
        onMessage: (message) => {
          if (answer === undefined) answer = message;
          else call.cancel(new EtcdError("internal", "the answer holds more than one message"));
        },
        onEnd: (error) => {
          scope.close();
          if (error !== undefined) return reject(explained(error, session, connection));
          if (answer === undefined) return reject(new EtcdError("internal", "the answer holds no message"));
          this.#answered(connection);
          resolve(answer);
        },
      });
      const scope = new CallScope(this.#clock, signal, deadline);
      scope.onEnd((error) => {
        if (error.code === "deadline-exceeded") {
          const silent = session.bytesRead === bytesBefore;
          const hurried = this.#clock.monotonic() - startedAt < MIN_SILENCE_MS;
          if (!hurried) this.#failed(connection);
          if (silent || !hurried) connection.suspect(session, silent && !hurried);
        }
        call.cancel(error);
      });
      publishRpc(method, connection.endpoint.url);
      call.send(body, true);
    });
  }

  #streamOn<I extends Message, O extends Message>(
    connection: Connection,
    session: Http2Session,
    method: methods.Method<I, O>,
    headers: CallHeaders | undefined,
    input: AsyncIterable<Init<I>>,
    signal: AbortSignal | undefined,
    control: StreamControl | undefined,
  ): AsyncIterable<O> {
    // Of what was sent and has had nothing in return, the oldest: a later request does not make the silence shorter.
    let unanswered = { bytesRead: session.bytesRead, at: this.#clock.monotonic() };
    const answers = new MessageQueue<O>({
      onFull: () => call.pause(),
      onDrained: () => call.resume(),
      onAbandoned: () => call.cancel(new EtcdError("aborted", "the reader left")),
    });
    const call = startCall(session, requestHeaders(connection, method, headers, undefined), {
      onMessage: (message) => {
        this.#answered(connection);
        answers.push(method.output.decode(message), message.byteLength);
      },
      onEnd: (error) => {
        scope.close();
        stopListening();
        if (error?.code === "unavailable") this.#failed(connection);
        answers.end(error && withPlace(explained(error, session, connection), connection.endpoint.url));
      },
    });
    // A server that goes away lets its streams run out their time; their owners have no time to lose.
    const stopListening = session.onGoaway(() => call.cancel(new EtcdError("unavailable", "the server is going away")));
    control?.attach(() => {
      this.#failed(connection);
      connection.retire(session);
    });
    const scope = new CallScope(this.#clock, signal, undefined);
    scope.onEnd((error) => {
      // Whoever aborts for want of an answer says so by the reason. The member is suspect then, and if nothing at all
      // arrived meanwhile the connection is done with.
      if (error.code === "deadline-exceeded") {
        this.#failed(connection);
        const silent = session.bytesRead === unanswered.bytesRead;
        connection.suspect(session, silent && this.#clock.monotonic() - unanswered.at >= MIN_STREAM_SILENCE_MS);
      }
      call.cancel(error);
    });
    publishRpc(method, connection.endpoint.url);
    const pump = async (): Promise<void> => {
      for await (const message of input) {
        const { bytesRead } = session;
        if (bytesRead !== unanswered.bytesRead) unanswered = { bytesRead, at: this.#clock.monotonic() };
        call.send(method.input.encode(message), false);
      }
      call.finishSending();
    };
    pump().catch((error: unknown) => call.cancel(EtcdError.from(error)));
    return answers;
  }
}

/** A watch is another member's than the keep-alives: one of the two always tells of the other's silence. */
function placeOf(method: methods.AnyMethod): CallPlace {
  return method === methods.watch ? "beside" : "first";
}

/** What is said of an endpoint that another try will not change. */
export const NO_HTTP2 = "it closed the connection without a word of HTTP/2";

/** Says more of a connection that broke before the other side had spoken HTTP/2. */
function explained(error: EtcdError, session: Http2Session, connection: Connection): EtcdError {
  if (error.code !== "unavailable" || session.spoke || connection.endpoint.secure) return error;
  const { mayHaveApplied } = error;
  return new EtcdError("unavailable", `${NO_HTTP2}: does it expect https://?`, {
    cause: error,
    mayHaveApplied,
  });
}

function withPlace(error: EtcdError, url: string): EtcdError {
  if (error.code !== "unavailable" && error.code !== "deadline-exceeded") return error;
  return new EtcdError(error.code, `${url}: ${error.message}`, {
    cause: error,
    mayHaveApplied: error.mayHaveApplied,
  });
}

function noEndpointError(failures: readonly { url: string; error: EtcdError }[]): EtcdError {
  const reasons = failures.map(({ url, error }) => `${url}: ${error.message}`).join("; ");
  return new EtcdError("unavailable", reasons, {
    cause: failures[0]?.error,
    mayHaveApplied: false,
  });
}

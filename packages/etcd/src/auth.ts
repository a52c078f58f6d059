import { AuthToken } from "./auth-token.ts";
import { CallScope } from "./call-scope.ts";
import { EtcdError, fromStatus } from "./errors.ts";
import type { WatchResponse } from "./gen/rpc_pb.ts";
import { GrpcStatus } from "./rpc/status.ts";
import { call, type CallHeaders, type Transport } from "./rpc-transport.ts";
import type { Clock } from "./runtime/clock.ts";
import { DEFAULT_TIMEOUT_MS } from "./transport.ts";
import * as methods from "./wire/methods.ts";

/** A user of etcd. The password is sent once per token, never logged, never part of an error. */
export interface AuthOptions {
  readonly user: string;
  readonly password: string;
}

/** How often a call is repeated whose token was refused: a member may be late to learn of a new one. */
const MAX_REPEATS = 2;
/** Milliseconds for one try to get a token, which another member may have to answer, and how many there are. */
const TRY_TIMEOUT_MS = 1500;
const MAX_TRIES = 3;

/**
 * Adds the token of a user to every call of another transport.
 *
 * The token is fetched before the first call, renewed in the middle of its life where it tells how long that is, and
 * fetched anew when etcd refuses it. A unary call that was refused for its token is repeated, which is safe because
 * etcd checks the token before anything else. A stream that was refused, or ended, for its token fails with
 * `unavailable`, so that its owner opens it again. So `unauthenticated` says that the password is wrong, and nothing
 * else.
 */
export class AuthTransport implements Transport {
  readonly #inner: Transport;
  readonly #auth: AuthOptions;
  readonly #clock: Clock;
  #held: AuthToken | undefined;
  /** The next token, while it is asked for. */
  #asked: Promise<AuthToken> | undefined;

  constructor(inner: Transport, auth: AuthOptions, clock: Clock) {
    this.#inner = inner;
    this.#auth = auth;
    this.#clock = clock;
  }

  readonly unary: Transport["unary"] = async (method, signal, timeoutMs, headers, input) => {
    const deadline = this.#clock.monotonic() + (timeoutMs ?? DEFAULT_TIMEOUT_MS);
    for (let repeats = 0; ; repeats++) {
      const token = await this.#token(signal, deadline);
      const leftMs = Math.max(1, Math.ceil(deadline - this.#clock.monotonic()));
      try {
        return await this.#inner.unary(method, signal, leftMs, withToken(headers, token), input);
      } catch (thrown) {
        const error = EtcdError.from(thrown);
        if (error.code !== "unauthenticated") throw error;
        this.#forget(token);
        if (repeats === MAX_REPEATS) throw refusedToken(error);
      }
    }
  };

  readonly stream: Transport["stream"] = async (method, signal, timeoutMs, headers, input, control) => {
    const token = await this.#token(signal, undefined);
    const response = await this.#inner.stream(method, signal, timeoutMs, withToken(headers, token), input, control);
    return { message: this.#watched(response.message, token) };
  };

  /** Passes the answers of a stream on, and forgets the token when the stream ends for its sake. */
  async *#watched<T>(messages: AsyncIterable<T>, token: AuthToken): AsyncGenerator<T> {
    let refusal: EtcdError | undefined;
    try {
      for await (const message of messages) {
        // A watch is refused by a message, and its stream stays open.
        const reason = (message as Partial<WatchResponse>).cancelReason ?? "";
        if (reason !== "") refusal = this.#refusal(token, fromStatus(GrpcStatus.unknown, reason));
        if (refusal !== undefined) break;
        yield message;
      }
    } catch (thrown) {
      const error = EtcdError.from(thrown);
      throw this.#refusal(token, error) ?? error;
    }
    if (refusal !== undefined) throw refusal;
  }

  /** What makes the stream's owner open it again, if the stream ended for its token, which is forgotten then. */
  #refusal(token: AuthToken, error: EtcdError): EtcdError | undefined {
    // Older versions say of a watch only that it is not permitted, whatever is wrong with its token.
    const denied = error.message.includes("permission denied") && !token.fresh(this.#clock.monotonic());
    if (error.code !== "unauthenticated" && !denied) return undefined;
    this.#forget(token);
    return refusedToken(error);
  }

  /** A token to go with a call that starts now, waited for no longer than the call may take. */
  #token(signal: AbortSignal | undefined, deadline: number | undefined): AuthToken | Promise<AuthToken> {
    const now = this.#clock.monotonic();
    const held = this.#held?.expired(now) === true ? undefined : this.#held;
    if (held !== undefined && !held.due(now)) return held;
    this.#asked ??= this.#ask();
    if (held === undefined) return CallScope.before(this.#asked, this.#clock, signal, deadline);
    // It will do until the next one is here, or until it is refused.
    this.#asked.catch(() => held.keep());
    return held;
  }

  async #ask(): Promise<AuthToken> {
    try {
      this.#held = new AuthToken(await this.#authenticate(), this.#clock);
      return this.#held;
    } finally {
      this.#asked = undefined;
    }
  }

  async #authenticate(): Promise<string> {
    const { user, password } = this.#auth;
    const request = { name: user, password };
    for (let tries = 1; ; tries++) {
      try {
        const { token } = await call(this.#inner, methods.authenticate, request, { timeoutMs: TRY_TIMEOUT_MS });
        return token;
      } catch (thrown) {
        const error = EtcdError.from(thrown);
        // As etcd's own client has it: a user may be given before authentication is switched on.
        if (error.message.includes("authentication is not enabled")) return "";
        if (error.code === "unauthenticated") {
          const why = `etcd refuses the password of user "${user}", or does not know that user`;
          throw new EtcdError("unauthenticated", why, { cause: error });
        }
        // One token too many does no harm.
        if (!error.mayHaveApplied || tries === MAX_TRIES) throw beforeCall(error);
      }
    }
  }

  #forget(token: AuthToken): void {
    if (this.#held === token) this.#held = undefined;
  }
}

/** A token was refused, which a later call with another one need not be. */
function refusedToken(error: EtcdError): EtcdError {
  return new EtcdError("unavailable", `etcd refuses its own token: ${error.message}`, {
    cause: error,
    mayHaveApplied: false,
  });
}

/** What kept us from getting a token says nothing about the call that needed it: that was not sent. */
function beforeCall(error: EtcdError): EtcdError {
  const code = error.code === "deadline-exceeded" ? "unavailable" : error.code;
  return new EtcdError(code, error.message, { cause: error, mayHaveApplied: false });
}

function withToken(headers: CallHeaders | undefined, { text }: AuthToken): CallHeaders {
  return text === "" ? { ...headers } : { ...headers, token: text };
}

import type { StreamResponse, Transport, UnaryResponse } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { CallScope } from "./call-scope.ts";
import { EtcdError, fromStatus } from "./errors.ts";
import { Auth, type WatchResponse } from "./gen/rpc_pb.ts";
import type { Clock } from "./runtime/clock.ts";

/** A user of etcd. The password is sent once per token, never logged, never part of an error. */
export interface AuthOptions {
  readonly user: string;
  readonly password: string;
}

type TokenState =
  | { readonly t: "none" }
  | { readonly t: "asking"; readonly token: Promise<string> }
  | { readonly t: "held"; readonly token: string };

/**
 * Adds the token of a user to every call of another transport.
 *
 * The token is fetched before the first call and again when etcd refuses it. A unary call that was refused for its
 * token is repeated once, which is safe because etcd checks the token before anything else; a stream is its owner's to
 * reopen.
 */
export class AuthTransport implements Transport {
  readonly #inner: Transport;
  readonly #auth: AuthOptions;
  readonly #clock: Clock;
  #state: TokenState = { t: "none" };

  constructor(inner: Transport, auth: AuthOptions, clock: Clock) {
    this.#inner = inner;
    this.#auth = auth;
    this.#clock = clock;
  }

  readonly unary: Transport["unary"] = async (method, signal, timeoutMs, header, input, contextValues) => {
    const attempt = (token: string): Promise<UnaryResponse<typeof method.input, typeof method.output>> =>
      this.#inner.unary(method, signal, timeoutMs, withToken(header, token), input, contextValues);
    const token = await this.#token(signal, timeoutMs);
    try {
      return await attempt(token);
    } catch (error) {
      if (!this.#refused(token, error)) throw error;
    }
    return attempt(await this.#token(signal, timeoutMs));
  };

  readonly stream: Transport["stream"] = async (method, signal, timeoutMs, header, input, contextValues) => {
    const token = await this.#token(signal, timeoutMs);
    const response = await this.#inner.stream(
      method,
      signal,
      timeoutMs,
      withToken(header, token),
      input,
      contextValues,
    );
    return { ...response, message: this.#watched(response.message, token) } as StreamResponse<
      typeof method.input,
      typeof method.output
    >;
  };

  /** Passes the answers of a stream on, and forgets the token when the stream ends for its sake. */
  async *#watched<T>(messages: AsyncIterable<T>, token: string): AsyncGenerator<T> {
    try {
      for await (const message of messages) {
        // A watch is refused by a message, and its stream stays open.
        const reason = (message as Partial<WatchResponse>).cancelReason ?? "";
        if (reason !== "") this.#refused(token, fromStatus(0, reason));
        yield message;
      }
    } catch (error) {
      this.#refused(token, error);
      throw error;
    }
  }

  /** The token, waited for no longer than the call may take. */
  #token(signal: AbortSignal | undefined, timeoutMs: number | undefined): string | Promise<string> {
    if (this.#state.t === "held") return this.#state.token;
    const asked = this.#state.t === "asking" ? this.#state.token : this.#ask();
    if (this.#state.t === "none") this.#state = { t: "asking", token: asked };
    const deadline = timeoutMs === undefined ? undefined : this.#clock.monotonic() + timeoutMs;
    return CallScope.before(asked, this.#clock, signal, deadline);
  }

  async #ask(): Promise<string> {
    try {
      const { user, password } = this.#auth;
      const { token } = await createClient(Auth, this.#inner).authenticate({
        name: user,
        password,
      });
      this.#state = { t: "held", token };
      return token;
    } catch (thrown) {
      this.#state = { t: "none" };
      const error = EtcdError.from(thrown);
      if (error.message.includes("authentication is not enabled")) {
        // As etcd's own client has it: a user may be given before authentication is switched on.
        this.#state = { t: "held", token: "" };
        return "";
      }
      if (error.code !== "unauthenticated") throw error;
      throw new EtcdError("unauthenticated", `etcd refuses the password of user "${this.#auth.user}"`, {
        cause: error,
      });
    }
  }

  /** Whether a call failed for its token, which is forgotten then. */
  #refused(token: string, error: unknown): boolean {
    if (EtcdError.from(error).code !== "unauthenticated") return false;
    if (this.#state.t === "held" && this.#state.token === token) this.#state = { t: "none" };
    return true;
  }
}

/** `header` is what Connect calls HeadersInit, a name that Node's types do not have. */
function withToken(header: unknown, token: string): Headers {
  const headers = new Headers(header as ConstructorParameters<typeof Headers>[0]);
  if (token !== "") headers.set("token", token);
  return headers;
}

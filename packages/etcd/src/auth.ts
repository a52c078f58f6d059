import type { StreamResponse, Transport, UnaryResponse } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { EtcdError } from "./errors.ts";
import { Auth } from "./gen/rpc_pb.ts";

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
  #state: TokenState = { t: "none" };

  constructor(inner: Transport, auth: AuthOptions) {
    this.#inner = inner;
    this.#auth = auth;
  }

  readonly unary: Transport["unary"] = async (method, signal, timeoutMs, header, input, contextValues) => {
    const attempt = async (): Promise<UnaryResponse<typeof method.input, typeof method.output>> => {
      const token = await this.#token();
      try {
        return await this.#inner.unary(method, signal, timeoutMs, withToken(header, token), input, contextValues);
      } catch (error) {
        this.#refused(token, error);
        throw error;
      }
    };
    try {
      return await attempt();
    } catch (error) {
      if (EtcdError.from(error).code !== "unauthenticated" || this.#state.t === "held") throw error;
      return attempt();
    }
  };

  readonly stream: Transport["stream"] = async (method, signal, timeoutMs, header, input, contextValues) => {
    const token = await this.#token();
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
      yield* messages;
    } catch (error) {
      this.#refused(token, error);
      throw error;
    }
  }

  #token(): string | Promise<string> {
    if (this.#state.t === "held" || this.#state.t === "asking") return this.#state.token;
    const token = this.#ask();
    this.#state = { t: "asking", token };
    return token;
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
      if (error.code !== "unauthenticated") throw error;
      throw new EtcdError("permission-denied", `etcd refuses the password of user "${this.#auth.user}"`, {
        cause: error,
      });
    }
  }

  #refused(token: string, error: unknown): void {
    const stale = this.#state.t === "held" && this.#state.token === token;
    if (stale && EtcdError.from(error).code === "unauthenticated") this.#state = { t: "none" };
  }
}

/** `header` is what Connect calls HeadersInit, a name that Node's types do not have. */
function withToken(header: unknown, token: string): Headers {
  const headers = new Headers(header as ConstructorParameters<typeof Headers>[0]);
  headers.set("token", token);
  return headers;
}

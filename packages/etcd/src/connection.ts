import * as http2 from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import type { Endpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";
import type { Clock } from "./runtime/clock.ts";

/** How to prove who we are, and whom we trust. All texts are PEM. */
export interface TlsOptions {
  /** Certificate authorities to trust instead of the system's. */
  readonly ca?: string | Uint8Array;
  /** Our certificate, with `key`, where the server wants one. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  /** The name the server's certificate must carry. Default: the host of the endpoint. */
  readonly serverName?: string;
}

/** One use of a connection: a session that is open, and what is known of it. */
export interface OpenSession {
  readonly http2: http2.ClientHttp2Session;
  readonly socket: net.Socket;
  /** Whether the other side has ever spoken HTTP/2. */
  readonly spoke: () => boolean;
}

type State =
  | { readonly t: "idle" }
  | {
      readonly t: "connecting";
      readonly opened: Promise<OpenSession>;
      readonly abandon: () => void;
    }
  | { readonly t: "open"; readonly session: OpenSession }
  | { readonly t: "closed" };

const WINDOW_BYTES = 4 * 1024 * 1024;
/** Megabytes Node may hold for one session; its default of 10 ends sessions that carry a large watch event. */
const SESSION_MEMORY_MB = 256;

/**
 * One HTTP/2 connection to one endpoint, made when it is first needed and again after it broke.
 *
 * It never waits before it connects again: whoever calls in a loop brings the pause.
 */
export class Connection {
  readonly endpoint: Endpoint;
  readonly #tls: TlsOptions | undefined;
  readonly #clock: Clock;
  readonly #connectTimeoutMs: number;
  #state: State = { t: "idle" };
  /** Every session that is not closed yet, those after a GOAWAY included. */
  readonly #sessions = new Set<OpenSession>();

  constructor(endpoint: Endpoint, options: { tls?: TlsOptions | undefined; clock: Clock; connectTimeoutMs: number }) {
    this.endpoint = endpoint;
    this.#tls = options.tls;
    this.#clock = options.clock;
    this.#connectTimeoutMs = options.connectTimeoutMs;
  }

  /** The open session, connecting first if need be. Throws `unavailable` with the reason in plain words. */
  session(): OpenSession | Promise<OpenSession> {
    switch (this.#state.t) {
      case "open": {
        const { session } = this.#state;
        // Its end may be known before its events are.
        return session.http2.closed || session.http2.destroyed ? this.#connect() : session;
      }
      case "connecting":
        return this.#state.opened;
      case "idle":
        return this.#connect();
      case "closed":
        throw new EtcdError("unavailable", "the client is closed", { mayHaveApplied: false });
    }
  }

  /** Gives up a session that does not answer, with all its streams. A newer session is left alone. */
  drop(session: OpenSession): void {
    if (this.#state.t === "open" && this.#state.session === session) this.#state = { t: "idle" };
    session.http2.destroy();
    session.socket.destroy();
  }

  /** Ends the connection for good. */
  close(): void {
    const state = this.#state;
    this.#state = { t: "closed" };
    if (state.t === "connecting") state.abandon();
    for (const session of this.#sessions) this.drop(session);
  }

  #connect(): Promise<OpenSession> {
    const socket = this.#openSocket();
    const opened = this.#opened(socket);
    const abandon = (): void => {
      socket.destroy(new EtcdError("unavailable", "the client was closed", { mayHaveApplied: false }));
    };
    this.#state = { t: "connecting", opened, abandon };
    // Whoever asked may have given up by the time this fails.
    opened.catch(() => undefined);
    return opened;
  }

  async #opened(socket: net.Socket): Promise<OpenSession> {
    try {
      await this.#connected(socket);
    } catch (error) {
      socket.destroy();
      if (this.#state.t === "connecting") this.#state = { t: "idle" };
      throw this.#connectError(error);
    }
    if (this.#state.t === "closed") {
      socket.destroy();
      throw new EtcdError("unavailable", "the client is closed", { mayHaveApplied: false });
    }
    const session = this.#startHttp2(socket);
    this.#state = { t: "open", session };
    return session;
  }

  #openSocket(): net.Socket {
    const { host, port, secure } = this.endpoint;
    const socket = secure
      ? tls.connect({
          host,
          port,
          ALPNProtocols: ["h2"],
          ...(net.isIP(host) === 0 && { servername: host }),
          ...tlsFields(this.#tls),
        })
      : net.connect({ host, port });
    return socket.setNoDelay(true);
  }

  /** Settles once the socket is connected (and TLS agreed on), or cannot be in time. */
  #connected(socket: net.Socket): Promise<void> {
    const event = this.endpoint.secure ? "secureConnect" : "connect";
    return new Promise((resolve, reject) => {
      const timeoutMs = this.#connectTimeoutMs;
      const cancelTimer = this.#clock.after(timeoutMs, () => {
        reject(
          new EtcdError("unavailable", `no connection within ${timeoutMs} ms`, {
            mayHaveApplied: false,
          }),
        );
      });
      socket.once(event, () => {
        cancelTimer();
        resolve();
      });
      // Kept after the promise settled: a socket error without a listener would end the process.
      socket.on("error", (error) => {
        cancelTimer();
        reject(error);
      });
      socket.once("close", () => {
        cancelTimer();
        reject(new Error("the connection was closed before it was ready"));
      });
    });
  }

  #startHttp2(socket: net.Socket): OpenSession {
    const session = http2.connect(this.endpoint.url, {
      createConnection: () => socket,
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    });
    let spoke = false;
    const open = { http2: session, socket, spoke: () => spoke };
    session.once("remoteSettings", () => (spoke = true));
    const retire = (): void => {
      if (this.#state.t === "open" && this.#state.session === open) this.#state = { t: "idle" };
    };
    this.#sessions.add(open);
    session.once("connect", () => session.setLocalWindowSize(WINDOW_BYTES));
    session.once("close", () => {
      this.#sessions.delete(open);
      retire();
    });
    // After a GOAWAY the streams that are open may finish, but a new one needs a new session.
    session.once("goaway", retire);
    // The streams report the error to their callers.
    session.on("error", retire);
    return open;
  }

  #connectError(error: unknown): EtcdError {
    if (error instanceof EtcdError) return error;
    const reason = error instanceof Error ? describeSocketError(error, this.endpoint) : String(error);
    return new EtcdError("unavailable", reason, { cause: error, mayHaveApplied: false });
  }
}

function tlsFields(options: TlsOptions | undefined): tls.ConnectionOptions {
  const pem = (text: string | Uint8Array): string | Buffer => (typeof text === "string" ? text : Buffer.from(text));
  return {
    ...(options?.ca !== undefined && { ca: pem(options.ca) }),
    ...(options?.cert !== undefined && { cert: pem(options.cert) }),
    ...(options?.key !== undefined && { key: pem(options.key) }),
    ...(options?.serverName !== undefined && { servername: options.serverName }),
  };
}

/** What an operator needs to hear about a connection that could not be made. */
function describeSocketError(error: Error & { code?: string }, endpoint: Endpoint): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return "connection refused: nothing listens there";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the name ${endpoint.host} cannot be resolved`;
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "no route to that host";
    case "EPROTO":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return /wrong.version.number|packet.length|unknown.protocol/i.test(error.message)
        ? "it does not speak TLS: is it an http:// endpoint?"
        : `TLS failed: ${error.message}`;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "the server's certificate is for another name";
    case "CERT_HAS_EXPIRED":
      return "the server's certificate has expired";
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return "the server's certificate is not signed by an authority we trust: is --cacert right?";
    case "ECONNRESET":
      return endpoint.secure
        ? "the connection was closed during the TLS handshake: is it an http:// endpoint?"
        : "the connection was reset";
    default:
      return error.message;
  }
}

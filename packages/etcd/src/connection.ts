import * as net from "node:net";
import type { Endpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";
import {
  type ConnectionEnd,
  publishConnectionClosed,
  publishConnectionFailed,
  publishConnectionOpened,
} from "./events.ts";
import { ClientSession } from "./http2/client-session.ts";
import type { Http2Session } from "./http2/http2.ts";
import type { Clock } from "./runtime/clock.ts";
import { assertTlsOptions, brokenTls, connectTls, describeTlsAlert, describeTlsError, type TlsOptions } from "./tls.ts";

type State =
  | { readonly t: "idle" }
  | {
      readonly t: "connecting";
      readonly opened: Promise<Http2Session>;
      readonly abandon: (why: string) => void;
    }
  | { readonly t: "open"; readonly session: Http2Session }
  | { readonly t: "closed"; readonly why: string };

/**
 * Looks at a session before anything else is done with it. Throws when it is not to be used.
 */
export type SessionCheck = (connection: Connection, session: Http2Session) => Promise<void>;

/** How a connection is made. */
export interface ConnectionOptions {
  readonly tls?: TlsOptions | undefined;
  readonly clock: Clock;
  /** Milliseconds until an attempt is given up. */
  readonly connectTimeoutMs: number;
  /** Decides of each new session whether it is handed out at all. Default: every one is. */
  readonly check?: SessionCheck | undefined;
}

/** A ping that tells whether a session is still there. */
interface Asked {
  /** When it was sent last, by the monotonic clock. */
  readonly at: number;
  readonly cancelTimer: () => void;
}

/** Milliseconds for the answer to a ping that tells whether a session is still there. */
const PING_TIMEOUT_MS = 1000;
/** Milliseconds between two pings: etcd ends a connection on which they come more than once in 5 s. */
const PING_PAUSE_MS = 6000;

/**
 * One HTTP/2 connection to one endpoint, made when it is first needed and again after it broke.
 *
 * It never waits before it connects again: whoever calls in a loop brings the pause.
 */
export class Connection {
  readonly endpoint: Endpoint;
  readonly #tls: TlsOptions;
  readonly #clock: Clock;
  readonly #connectTimeoutMs: number;
  readonly #check: SessionCheck | undefined;
  #state: State = { t: "idle" };
  /** Every session that is not closed yet, those after a GOAWAY included. */
  readonly #sessions = new Set<Http2Session>();
  /** Why sessions come to their end, as far as it is known before. */
  readonly #endings = new WeakMap<Http2Session, ConnectionEnd>();
  /** Sessions that were asked for a sign of life. */
  readonly #asked = new WeakMap<Http2Session, Asked>();

  /** Throws `invalid-argument` for options of TLS that cannot be. */
  constructor(endpoint: Endpoint, options: ConnectionOptions) {
    this.endpoint = endpoint;
    this.#tls = options.tls ?? {};
    assertTlsOptions(endpoint, this.#tls);
    this.#clock = options.clock;
    this.#connectTimeoutMs = options.connectTimeoutMs;
    this.#check = options.check;
  }

  /** The open session, connecting first if need be. Throws `unavailable` with the reason in plain words. */
  session(): Http2Session | Promise<Http2Session> {
    switch (this.#state.t) {
      case "open": {
        const { session } = this.#state;
        // Its end may be known before its events are.
        return session.closed ? this.#connect() : session;
      }
      case "connecting":
        return this.#state.opened;
      case "idle":
        return this.#connect();
      case "closed":
        throw closedError(this.#state.why);
    }
  }

  /** Gives up a session that does not answer, with all its streams. A newer session is left alone. */
  drop(session: Http2Session): void {
    if (this.#state.t === "open" && this.#state.session === session) this.#state = { t: "idle" };
    this.#endings.set(session, this.#state.t === "closed" ? "closed" : "silent");
    session.destroy();
  }

  /**
   * Takes note of a call without an answer in time. A session on which nothing arrived meanwhile is given up; another
   * one is asked for a sign of life, but once for many calls: a member without a quorum leaves all of them unanswered.
   */
  suspect(session: Http2Session, silent: boolean): void {
    if (silent || session.closed) return this.drop(session);
    const now = this.#clock.monotonic();
    if (now - (this.#asked.get(session)?.at ?? -Infinity) < PING_PAUSE_MS) return;
    const cancelTimer = this.#clock.after(PING_TIMEOUT_MS, () => this.drop(session));
    this.#asked.set(session, { at: now, cancelTimer });
    session.ping(cancelTimer);
  }

  /** Starts no more calls on a session; those that are open may go on. A newer session is left alone. */
  retire(session: Http2Session): void {
    if (this.#state.t === "open" && this.#state.session === session) this.#state = { t: "idle" };
    this.#endings.set(session, "suspect");
    session.close();
  }

  /** Ends the connection for good; `why` is what calls hear that want it all the same. */
  close(why: string = "the client is closed"): void {
    const state = this.#state;
    this.#state = { t: "closed", why };
    if (state.t === "connecting") state.abandon(why);
    for (const session of this.#sessions) this.drop(session);
  }

  #connect(): Promise<Http2Session> {
    const socket = this.#openSocket();
    const opened = this.#opened(socket);
    const abandon = (why: string): void => void socket.destroy(closedError(why));
    this.#state = { t: "connecting", opened, abandon };
    // Whoever asked may have given up by the time this fails.
    opened.catch(() => undefined);
    return opened;
  }

  async #opened(socket: net.Socket): Promise<Http2Session> {
    try {
      await this.#connected(socket);
    } catch (error) {
      socket.destroy();
      const failure = this.#connectError(error);
      if (this.#state.t === "connecting") {
        this.#state = { t: "idle" };
        publishConnectionFailed(this.endpoint.url, failure);
      }
      throw failure;
    }
    if (this.#state.t === "closed") {
      socket.destroy();
      throw closedError(this.#state.why);
    }
    const session = this.#startHttp2(socket);
    publishConnectionOpened(this.endpoint.url);
    if (this.#check !== undefined) await this.#checked(session, this.#check);
    this.#state = { t: "open", session };
    return session;
  }

  /** Nobody gets the session before this is done, so that nothing it would say is taken for the right member's word. */
  async #checked(session: Http2Session, check: SessionCheck): Promise<void> {
    try {
      await check(this, session);
    } catch (error) {
      this.drop(session);
      if (this.#state.t === "connecting") {
        this.#state = { t: "idle" };
        this.#endings.set(session, "rejected");
      }
      throw this.#connectError(error);
    }
    if (this.#state.t !== "closed") return;
    this.drop(session);
    throw closedError(this.#state.why);
  }

  #openSocket(): net.Socket {
    const { host, port, secure } = this.endpoint;
    try {
      const socket = secure ? connectTls(this.endpoint, this.#tls) : net.connect({ host, port });
      return socket.setNoDelay(true);
    } catch (error) {
      const failure = this.#connectError(error);
      publishConnectionFailed(this.endpoint.url, failure);
      throw failure;
    }
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

  #startHttp2(socket: net.Socket): Http2Session {
    // Before the session hears of it, whose streams would show OpenSSL's words, and not know that nothing was read.
    socket.on("error", (error) => {
      const alert = session.spoke ? undefined : describeTlsAlert(error, this.#tls);
      if (alert !== undefined) return session.destroy(refusedBefore(alert, error));
      const broken = brokenTls(error);
      if (broken !== undefined) session.destroy(new EtcdError("unavailable", broken, { cause: error }));
    });
    const retire = (): void => {
      if (this.#state.t === "open" && this.#state.session === session) this.#state = { t: "idle" };
    };
    const session: Http2Session = new ClientSession(socket, {
      // The calls that are open may finish, but a new one needs a new session.
      onClosed: retire,
      onDestroyed: () => {
        this.#sessions.delete(session);
        this.#asked.get(session)?.cancelTimer();
        retire();
        publishConnectionClosed(this.endpoint.url, this.#endings.get(session) ?? "lost");
      },
    });
    session.onGoaway(() => this.#endings.set(session, "goaway"));
    this.#sessions.add(session);
    return session;
  }

  #describe(error: Error): string {
    const { endpoint } = this;
    return (endpoint.secure && describeTlsError(error, endpoint, this.#tls)) || describeSocketError(error, endpoint);
  }

  #connectError(error: unknown): EtcdError {
    if (error instanceof EtcdError) return error;
    const reason = error instanceof Error ? this.#describe(error) : String(error);
    return refusedBefore(reason, error);
  }
}

function closedError(why: string): EtcdError {
  return new EtcdError("unavailable", why, { mayHaveApplied: false });
}

/** The error of a connection that was refused before anything was asked of it. */
function refusedBefore(reason: string, cause: unknown): EtcdError {
  return new EtcdError("unavailable", reason, { cause, mayHaveApplied: false });
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
    case "ECONNRESET":
      return "the connection was reset";
    default:
      return error.message;
  }
}

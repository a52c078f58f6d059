import { EtcdError } from "@tenure/etcd";
import type { Connection } from "../../../packages/etcd/dist/connection.js";
import type { Http2Session } from "../../../packages/etcd/dist/http2/http2.js";
import type { Chance } from "./chance.ts";
import type { Host } from "./host.ts";
import { Link, type Path } from "./link.ts";
import { cancel, type Scheduled, type Scheduler } from "./scheduler.ts";
import type { Service } from "./service.ts";
import { type RequestListener, SimSession } from "./session.ts";

type State =
  | { readonly t: "idle" }
  | { readonly t: "connecting"; readonly opened: Promise<Http2Session>; readonly fail: (reason: string) => void }
  | { readonly t: "open"; readonly session: Http2Session; readonly link: Link }
  | { readonly t: "closed" };

const CONNECT_TIMEOUT_MS = 1000;
const PING_TIMEOUT_MS = 1000;

/** What a {@link SimConnection} connects. */
export interface ConnectionOptions {
  readonly host: Host;
  readonly service: Service;
  readonly path: Path;
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly onRequest: RequestListener;
}

/**
 * Stands where the product has its connection to one endpoint: at most one session, made when it is needed and again
 * after it broke.
 */
export class SimConnection implements Pick<Connection, keyof Connection> {
  readonly endpoint: Connection["endpoint"];
  readonly #options: ConnectionOptions;
  #state: State = { t: "idle" };

  constructor(options: ConnectionOptions) {
    const host = options.service.member.name;
    this.endpoint = { url: `http://${host}:2379`, host, port: 2379, secure: false };
    this.#options = options;
  }

  /** For the product's transport, which knows the class of its own connections only. */
  get asConnection(): Connection {
    return this as unknown as Connection;
  }

  /** Calls under way. */
  get calls(): number {
    return [...this.#options.path.links].reduce((sum, link) => sum + (link.open ? link.calls : 0), 0);
  }

  session(): Http2Session | Promise<Http2Session> {
    switch (this.#state.t) {
      case "open":
        return this.#state.session;
      case "connecting":
        return this.#state.opened;
      case "idle":
        return this.#connect();
      case "closed":
        throw notSent("the client is closed");
    }
  }

  drop(session: Http2Session): void {
    session.destroy();
  }

  suspect(session: Http2Session, silent: boolean): void {
    if (silent || session.closed) return this.drop(session);
    session.ping(this.#options.host.after(PING_TIMEOUT_MS, () => this.drop(session)));
  }

  retire(session: Http2Session): void {
    if (this.#state.t === "open" && this.#state.session === session) this.#state = { t: "idle" };
    session.close();
  }

  close(): void {
    const state = this.#state;
    this.#state = { t: "closed" };
    if (state.t === "connecting") state.fail("the client is closed");
    for (const link of Array.from(this.#options.path.links)) link.drop();
  }

  #connect(): Promise<Http2Session> {
    const { host, path, service, scheduler, chance } = this.#options;
    const { promise, resolve, reject } = withResolvers<Http2Session>();
    // Whoever asked may have given up by the time this fails.
    promise.catch(() => undefined);
    let arrival: Scheduled | undefined;
    const settle = (next: State): void => {
      stopTimer();
      cancel(arrival);
      if (this.#state.t === "connecting") this.#state = next;
    };
    const fail = (reason: string): void => {
      settle({ t: "idle" });
      reject(notSent(reason));
    };
    const stopTimer = host.after(CONNECT_TIMEOUT_MS, () => fail("no connection in time"));
    if (!path.blocked) {
      const roundTripMs = 2 * (path.latencyMs + chance.fraction() * path.jitterMs);
      arrival = scheduler.after(roundTripMs, () => {
        host.deliver(() => {
          if (this.#state.t !== "connecting") return;
          if (service.member.down) return fail("connection refused");
          const open = this.#open();
          settle(open);
          resolve(open.session);
        });
      });
    }
    this.#state = { t: "connecting", opened: promise, fail };
    return promise;
  }

  #open(): Extract<State, { t: "open" }> {
    const { onRequest } = this.#options;
    const link = new Link(this.#options, () => {
      if (this.#state.t === "open" && this.#state.link === link) this.#state = { t: "idle" };
    });
    return { t: "open", session: new SimSession(link, onRequest), link };
  }
}

function notSent(reason: string): EtcdError {
  return new EtcdError("unavailable", reason, { mayHaveApplied: false });
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: EtcdError) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: EtcdError) => void = () => undefined;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

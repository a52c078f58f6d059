import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Election } from "../election.ts";
import type { Leader } from "../leader.ts";
import type { Term } from "../term.ts";

/** How a {@link LeaderGate} answers. */
export interface LeaderGateOptions {
  /**
   * Where a request goes while another node leads: that node's base URL, made from the value it campaigned with.
   * Undefined, and any text that is no http or https URL: the request is answered 503. Default: always 503.
   */
  readonly locate?: ((leader: Leader) => string | undefined) | undefined;
  /**
   * The path below which health checks are answered, such as `/-`: `/-/leader` and `/-/standby` (200 or 503),
   * `/-/livez`, `/-/readyz` and `/-/status`. Default: none.
   */
  readonly healthPath?: string | undefined;
  /** Seconds after which who got 503 may ask again. Default 1. */
  readonly retryAfterSeconds?: number | undefined;
}

/** What Fastify gives to a hook, as far as it is needed. */
export interface FastifyRequestLike {
  readonly raw: IncomingMessage;
}

/** What Fastify answers with, as far as it is needed. */
export interface FastifyReplyLike {
  readonly raw: ServerResponse;
  hijack(): unknown;
}

/** A part of an election that tells who leads. */
type FollowedElection = Pick<Election, "name" | "changes">;

/** The path a request asked for before a router took off where it is mounted. */
interface Mounted {
  readonly originalUrl?: string;
}

/**
 * Lets HTTP requests through while this node leads, and answers all others with 503 or a redirect to the leader.
 *
 * Each request is judged by the clock at the moment it comes: `term.held`. A request that takes longer than the term
 * must guard its writes, as any work does. Answers of a node that stands by close the connection, so that a balancer
 * with open connections finds the leader.
 */
export class LeaderGate implements Disposable {
  readonly #name: string;
  readonly #options: LeaderGateOptions;
  readonly #closing = new AbortController();
  #term: Term | undefined;
  #leader: Leader | null = null;
  /** Whether the election has been seen, so that it is known who leads. */
  #seen = false;

  /** Follows the election until it is disposed of, for redirects and health checks. */
  constructor(election: FollowedElection, options: LeaderGateOptions = {}) {
    this.#name = election.name;
    this.#options = options;
    void this.#follow(election);
  }

  /** Lets requests through from now on while this term is held. To be called at the start of `lead`. */
  open(term: Term): void {
    this.#term = term;
  }

  /** Whether a request that comes at this instant is let through. */
  get leading(): boolean {
    return this.#term?.held === true;
  }

  /** Stops following; requests are let through as before. Idempotent. */
  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  /** For `node:http`: a listener that is asked only while this node leads. */
  listener(inner: RequestListener): RequestListener {
    return (request, response) => {
      if (!this.#answered(request, response)) inner(request, response);
    };
  }

  /** For Express and others of its kind: `app.use(gate.middleware)`. */
  readonly middleware = (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    if (!this.#answered(request, response)) next();
  };

  /** For Fastify: `app.addHook("onRequest", gate.onRequest)`. */
  readonly onRequest = (request: FastifyRequestLike, reply: FastifyReplyLike): Promise<void> => {
    // The answer is written past Fastify, which must not write another.
    if (this.#answered(request.raw, reply.raw)) reply.hijack();
    return Promise.resolve();
  };

  async #follow(election: FollowedElection): Promise<void> {
    try {
      for await (const { leader } of election.changes({ signal: this.#closing.signal })) {
        this.#leader = leader;
        this.#seen = true;
      }
    } catch {
      // Refused, or the client is closed: it is not known any more who leads.
    }
    this.#leader = null;
    this.#seen = false;
  }

  /** Answers what is not for the application; whether it did. */
  #answered(request: IncomingMessage & Mounted, response: ServerResponse): boolean {
    const url = request.originalUrl ?? request.url ?? "/";
    const { healthPath } = this.#options;
    if (healthPath !== undefined && url.startsWith(`${healthPath}/`)) {
      this.#answerHealth(url.slice(healthPath.length + 1).split("?")[0] ?? "", response);
      return true;
    }
    if (this.leading) return false;
    this.#turnAway(url, response);
    return true;
  }

  #turnAway(url: string, response: ServerResponse): void {
    const target = this.#located();
    if (target === undefined || !/^https?:$/.test(protocolOf(target))) {
      const leader = this.#leader?.value ?? null;
      return this.#send(response, 503, { error: `this node does not lead ${this.#name}`, leader });
    }
    // Put together, not resolved: what a request names must not choose the host.
    const path = url.startsWith("/") ? url : "/";
    response.setHeader("Location", new URL(target).href.replace(/\/$/, "") + path);
    this.#send(response, 307, { leader: target });
  }

  /** Where the leader is. What it campaigned with may be anything, and must not bring this node down. */
  #located(): string | undefined {
    if (this.#leader === null || this.#leader.self) return undefined;
    try {
      return this.#options.locate?.(this.#leader);
    } catch {
      return undefined;
    }
  }

  #answerHealth(route: string, response: ServerResponse): void {
    const role = this.leading ? "leader" : this.#seen ? "standby" : "none";
    const leader = this.#leader && { key: this.#leader.key, value: this.#leader.value };
    const body = { election: this.#name, role, leader, token: this.leading ? String(this.#term?.token) : null };
    switch (route) {
      case "leader":
      case "primary":
        return this.#send(response, role === "leader" ? 200 : 503, body);
      case "standby":
      case "replica":
        return this.#send(response, role === "standby" ? 200 : 503, body);
      case "readyz":
        return this.#send(response, role === "none" ? 503 : 200, body);
      case "status":
        return this.#send(response, 200, body);
      case "livez":
        return this.#send(response, 200, { live: true });
      default:
        return this.#send(response, 404, { error: "there are leader, standby, readyz, livez and status" });
    }
  }

  #send(response: ServerResponse, status: number, body: object): void {
    response.statusCode = status;
    response.setHeader("Content-Type", "application/json; charset=utf-8");
    response.setHeader("Cache-Control", "no-store");
    if (status === 503) response.setHeader("Retry-After", String(this.#options.retryAfterSeconds ?? 1));
    if (status >= 300) response.setHeader("Connection", "close");
    response.end(`${JSON.stringify(body)}\n`);
  }
}

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : "";
}

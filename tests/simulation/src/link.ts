import type { EtcdServerError } from "@tenure/embed";
import type { Chance } from "./chance.ts";
import type { Host } from "./host.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Reply, ServerCall, Service } from "./service.ts";

/** The client's end of a call. */
export interface ClientCall {
  message(answer: unknown): void;
  /** The server ended the call, with an error or without. */
  end(error: EtcdServerError | undefined): void;
  /** The connection broke. */
  lost(): void;
}

/** The way between one process and one member. */
export interface Path {
  readonly latencyMs: number;
  /** Added to each message, at most. */
  jitterMs: number;
  /** Added to each message to the process: the way back is congested. */
  answersLateMs: number;
  /** No connection can be made. */
  blocked: boolean;
  /** The connections that were made and are not closed yet. */
  readonly links: Set<Link>;
}

/** What is added to messages when nothing is wrong. */
export function usualJitterMs({ latencyMs }: Pick<Path, "latencyMs">): number {
  return latencyMs / 2;
}

/** A way on which nothing is wrong. */
export function newPath(latencyMs: number): Path {
  return { latencyMs, jitterMs: usualJitterMs({ latencyMs }), answersLateMs: 0, blocked: false, links: new Set() };
}

/** Takes away what was wrong; connections that fell silent stay so. */
export function mend(path: Path): void {
  path.jitterMs = usualJitterMs(path);
  path.answersLateMs = 0;
  path.blocked = false;
}

/** How a connection loses messages without a word. */
export interface Losses {
  toServer: boolean;
  toClient: boolean;
}

interface CallOnLink {
  readonly client: ClientCall;
  server: ServerCall | undefined;
  /** Answers under way or waiting for a process that does not run. */
  inFlight: number;
  full: boolean;
}

/** Answers on their way on one call before the server waits. */
const WINDOW = 24;
/** Milliseconds after which a server gives up a connection that has gone silent. */
const SERVER_PATIENCE_MS = 20_000;

/** A call on a link, as the client uses it. */
export interface LinkCall {
  send(request: unknown): void;
  cancel(): void;
}

/** What a {@link Link} is made of. */
export interface LinkOptions {
  readonly host: Host;
  readonly service: Service;
  readonly path: Path;
  readonly scheduler: Scheduler;
  readonly chance: Chance;
}

/** One connection of a process to a member. Messages in one direction stay in order. */
export class Link {
  readonly host: Host;
  readonly service: Service;
  readonly path: Path;
  readonly losses: Losses = { toServer: false, toClient: false };
  /** Messages that arrived at the client. */
  received = 0;
  /** So many of the next answers to single requests get lost after the request was carried out. */
  answersToLose = 0;
  /** So many of the next single requests get lost. */
  requestsToLose = 0;
  readonly #scheduler: Scheduler;
  readonly #chance: Chance;
  readonly #calls = new Set<CallOnLink>();
  /** Calls the server has open, those the client has given up included. */
  readonly #served = new Set<ServerCall>();
  readonly #onClosed: () => void;
  #toServerAt = 0;
  #toClientAt = 0;
  #retired = false;
  #clientOpen = true;
  #serverOpen = true;

  /** @param onClosed the client can use it no more */
  constructor({ host, service, path, scheduler, chance }: LinkOptions, onClosed: () => void) {
    this.host = host;
    this.service = service;
    this.path = path;
    this.#scheduler = scheduler;
    this.#chance = chance;
    this.#onClosed = onClosed;
    service.member.onDown.add(this.#onServerDown);
    path.links.add(this);
  }

  get open(): boolean {
    return this.#clientOpen;
  }

  get calls(): number {
    return this.#calls.size;
  }

  /** Starts a call. `single`: one request, one answer. */
  start(method: string, single: boolean, client: ClientCall): LinkCall {
    const call: CallOnLink = { client, server: undefined, inFlight: 0, full: false };
    this.#calls.add(call);
    const lost = single && this.requestsToLose > 0;
    if (lost) this.requestsToLose--;
    this.#toServer(() => {
      if (lost) return;
      call.server = this.service.open(method, this.#replyOf(call, single));
      this.#served.add(call.server);
    });
    return {
      send: (request) => this.#toServer(() => call.server?.message(request)),
      cancel: () => {
        if (!this.#calls.delete(call)) return;
        this.#toServer(() => this.#closeCall(call.server));
        this.#dropIfDone();
      },
    };
  }

  /** Asks the other side for a sign of life. */
  ping(answered: () => void): void {
    this.#toServer(() => this.#toClient(answered));
  }

  /** From now on messages in these directions vanish without a word, for ever. */
  fallSilent(losses: Losses): void {
    this.losses.toServer ||= losses.toServer;
    this.losses.toClient ||= losses.toClient;
  }

  loseNothingMore(): void {
    this.answersToLose = 0;
    this.requestsToLose = 0;
  }

  /** The connection breaks: each side hears of it after its own time. */
  cut(): void {
    this.#scheduler.after(this.#delayMs(), () => this.host.deliver(() => this.#closeClient()));
    this.#scheduler.after(this.#delayMs(), () => this.#closeServer());
  }

  /** The client starts no more calls; when those under way have ended it closes the connection. */
  retire(): void {
    this.#retired = true;
    this.#dropIfDone();
  }

  /** The client gives the connection up; the server hears of it, at once or when it loses patience. */
  drop(): void {
    if (!this.#clientOpen) return;
    this.#closeClient();
    this.#forget();
  }

  /** The process has ended: its machine says so, or has no time to. */
  crash(): void {
    this.#clientOpen = false;
    this.#forget();
  }

  #dropIfDone(): void {
    if (this.#retired && this.#calls.size === 0) this.drop();
  }

  #forget(): void {
    const waitMs = this.losses.toServer ? SERVER_PATIENCE_MS : this.#delayMs();
    this.#scheduler.after(waitMs, () => this.#closeServer());
  }

  readonly #onServerDown = (): void => {
    this.#closeServer();
    this.#scheduler.after(this.#delayMs(), () => {
      if (!this.losses.toClient) this.host.deliver(() => this.#closeClient());
    });
  };

  #closeClient(): void {
    if (!this.#clientOpen) return;
    this.#clientOpen = false;
    this.#onClosed();
    const calls = [...this.#calls];
    this.#calls.clear();
    for (const { client } of calls) client.lost();
  }

  #closeServer(): void {
    if (!this.#serverOpen) return;
    this.#serverOpen = false;
    this.service.member.onDown.delete(this.#onServerDown);
    this.path.links.delete(this);
    for (const call of this.#served) call.close();
    this.#served.clear();
  }

  #replyOf(call: CallOnLink, single: boolean): Reply {
    const lost = single && this.answersToLose > 0;
    if (lost) this.answersToLose--;
    let ended = false;
    const end = (error?: EtcdServerError): void => {
      if (ended) return;
      ended = true;
      this.#closeCall(call.server);
      if (lost) return;
      this.#toClient(() => {
        if (!this.#calls.delete(call)) return;
        call.client.end(error);
        this.#dropIfDone();
      });
    };
    const send = (answer: unknown): boolean => {
      if (ended || lost) return true;
      call.inFlight++;
      this.#toClient(() => {
        call.inFlight--;
        if (call.full && call.inFlight < WINDOW / 2) {
          call.full = false;
          this.#toServer(() => call.server?.drain());
        }
        if (this.#calls.has(call)) call.client.message(answer);
      });
      call.full ||= call.inFlight >= WINDOW;
      return !call.full;
    };
    return { send, end };
  }

  #closeCall(call: ServerCall | undefined): void {
    if (call === undefined || !this.#served.delete(call)) return;
    call.close();
  }

  #toServer(run: () => void): void {
    this.#toServerAt = Math.max(this.#toServerAt, this.#scheduler.now + this.#delayMs());
    this.#scheduler.at(this.#toServerAt, () => {
      if (!this.#serverOpen || this.losses.toServer) return;
      this.service.member.deliver(() => {
        if (this.#serverOpen) run();
      });
    });
  }

  #toClient(run: () => void): void {
    if (!this.#serverOpen) return;
    const arrivesAt = this.#scheduler.now + this.#delayMs() + this.path.answersLateMs;
    this.#toClientAt = Math.max(this.#toClientAt, arrivesAt);
    this.#scheduler.at(this.#toClientAt, () => {
      if (!this.#clientOpen || this.losses.toClient) return;
      this.host.deliver(() => {
        if (!this.#clientOpen) return;
        this.received++;
        run();
      });
    });
  }

  #delayMs(): number {
    return this.path.latencyMs + this.#chance.fraction() * this.path.jitterMs;
  }
}

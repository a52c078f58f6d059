import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Clock, systemClock } from "@tenure/etcd/runtime";
import { COMMON_HEADERS } from "./answer.ts";
import type { EventLog, LoggedEvent } from "./event-log.ts";
import type { Service } from "./service.ts";

/** A client that listens. */
interface Listener {
  readonly response: ServerResponse;
  /** The service it wants to hear of; undefined: all. */
  readonly service: Service | undefined;
  /** The number of the last event it was sent. */
  sent: number;
}

/** Clients at a time; more are told to come back. */
export const MAX_LISTENERS = 256;
/** Shows both sides that the other one is there; whoever has not read by the next one is given up. */
const HEARTBEAT_MS = 15_000;
/** Clients served in one turn of the event loop, so that many of them keep nothing else waiting for long. */
const SERVED_AT_ONCE = 32;
const RETRY_MS = 1000;

/** Server-sent events: the newest state first, or what a client missed since it was here last. */
export class EventStreams {
  readonly #log: EventLog;
  readonly #state: (service: Service | undefined) => object;
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();
  #serving = false;
  #cancelHeartbeat: () => void;

  /** @param state what a client is told first, of one service or of all */
  constructor(log: EventLog, state: (service: Service | undefined) => object, clock: Clock = systemClock) {
    this.#log = log;
    this.#state = state;
    this.#clock = clock;
    this.#cancelHeartbeat = clock.after(HEARTBEAT_MS, this.#onHeartbeat);
    log.onEvent = () => this.#serveSoon();
  }

  get size(): number {
    return this.#listeners.size;
  }

  /** Whether there is no room for one more, on a connection that may have one already. */
  full(socket: Socket): boolean {
    if (this.#listeners.size >= MAX_LISTENERS) return true;
    for (const { response } of this.#listeners) if (response.req.socket === socket) return true;
    return false;
  }

  /** @param lastEventId what the client heard last, as it says */
  open(response: ServerResponse, service: Service | undefined, lastEventId: string | undefined): void {
    const known = lastEventId === undefined ? undefined : this.#log.sequenceOf(lastEventId);
    const listener: Listener = { response, service, sent: known ?? -1 };
    this.#listeners.add(listener);
    // An answer that waits behind another one on its connection does not hear of the end of that.
    const gone = (): void => void this.#listeners.delete(listener);
    for (const end of [response, response.req.socket]) end.once("close", gone);
    response.on("error", () => undefined);
    response.on("drain", () => this.#serve(listener));
    response.writeHead(200, { ...COMMON_HEADERS, "Content-Type": "text/event-stream; charset=utf-8" });
    response.write(`retry: ${RETRY_MS}\n\n`);
    this.#serve(listener);
  }

  close(): void {
    this.#cancelHeartbeat();
    for (const { response } of this.#listeners) response.destroy();
  }

  /** Not at once: whoever makes an event may be about to start or stop a program. */
  #serveSoon(): void {
    if (this.#serving || this.#listeners.size === 0) return;
    this.#serving = true;
    this.#inTurns((listener) => this.#serve(listener));
  }

  #inTurns(serve: (listener: Listener) => void): void {
    const waiting = Array.from(this.#listeners);
    const next = (): void => {
      // What comes from here on starts another round.
      this.#serving = false;
      for (const listener of waiting.splice(0, SERVED_AT_ONCE)) serve(listener);
      if (waiting.length > 0) setImmediate(next);
    };
    setImmediate(next);
  }

  /** Sends what is new, unless the client has yet to read what was sent before: then that is for later. */
  #serve(listener: Listener): void {
    const { response, service } = listener;
    if (response.destroyed || response.writableNeedDrain) return;
    const events = listener.sent < 0 ? undefined : this.#log.after(listener.sent);
    listener.sent = this.#log.newest;
    if (events === undefined) {
      const data = JSON.stringify(this.#state(service));
      response.write(`id: ${this.#log.idOf(listener.sent)}\nevent: state\ndata: ${data}\n\n`);
      return;
    }
    const wanted = events.filter(({ election }) => service === undefined || election === service.name);
    if (wanted.length > 0) response.write(wanted.map((event) => this.#text(event)).join(""));
  }

  #text({ type, data, sequence }: LoggedEvent): string {
    return `id: ${this.#log.idOf(sequence)}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
  }

  readonly #onHeartbeat = (): void => {
    this.#inTurns(({ response }) => {
      if (response.writableNeedDrain) response.destroy();
      else if (!response.destroyed) response.write(":\n\n");
    });
    this.#cancelHeartbeat = this.#clock.after(HEARTBEAT_MS, this.#onHeartbeat);
  };
}

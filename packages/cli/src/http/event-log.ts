import { type Clock, systemClock } from "@tenure/etcd/runtime";
import type { ServiceEvent } from "./service.ts";

/** An event with its place among all. */
export interface LoggedEvent extends ServiceEvent {
  readonly sequence: number;
}

/** Events kept for those who come back; older ones are forgotten. */
const MAX_EVENTS = 1024;

/** The latest events of this process, numbered, for whoever listens or comes back to listen. */
export class EventLog {
  /** Told that there is something new. */
  onEvent: () => void = () => undefined;
  readonly #events: LoggedEvent[] = [];
  /** Tells this process's numbers from those of one that ran before. */
  readonly #run: string;
  readonly #clock: Clock;
  #sequence = 0;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
    this.#run = clock.date().getTime().toString(36);
  }

  /** The number of the newest event, 0 before the first. */
  get newest(): number {
    return this.#sequence;
  }

  add(event: ServiceEvent): void {
    const data = { time: this.#clock.date().toISOString(), ...event.data };
    this.#events.push({ ...event, data, sequence: ++this.#sequence });
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
    this.onEvent();
  }

  /** All events after a number; undefined when some of them are forgotten already. */
  after(sequence: number): readonly LoggedEvent[] | undefined {
    const missing = this.#sequence - sequence;
    if (missing > this.#events.length) return undefined;
    return missing === 0 ? [] : this.#events.slice(-missing);
  }

  /** How an event is called by those who come back. */
  idOf(sequence: number): string {
    return `${this.#run}-${sequence}`;
  }

  /** The number that an id stands for; undefined when it is none of ours. */
  sequenceOf(id: string): number | undefined {
    const match = /^([0-9a-z]+)-(\d{1,15})$/.exec(id);
    const sequence = Number(match?.[2]);
    return match?.[1] === this.#run && sequence <= this.#sequence ? sequence : undefined;
  }
}

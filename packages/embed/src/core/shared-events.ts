import type { Event } from "@tenure/etcd/rpc";

import type { Change } from "./kvstore.ts";

/** The last event of a list, and the list before it. */
interface Last {
  readonly before: SharedEvents;
  readonly change: Change;
}

/**
 * A list of events, and the lists that begin with it. Watchers that want the same changes of a commit get the same
 * list, so that it is made once, and can be written once. The lists on the way to one are not made: of a commit of a
 * hundred thousand changes there are as many.
 */
export class SharedEvents {
  readonly #make: (change: Change) => Event;
  readonly #last: Last | undefined;
  #event: Event | undefined;
  #events: Event[] | undefined;
  #longer: Map<Change, SharedEvents> | undefined;

  /** The empty list; `make` makes the events of those to come. */
  constructor(make: (change: Change) => Event, last?: Last) {
    this.#make = make;
    this.#last = last;
  }

  /** The list with one more. */
  and(change: Change): SharedEvents {
    this.#longer ??= new Map();
    const known = this.#longer.get(change);
    if (known !== undefined) return known;
    const longer = new SharedEvents(this.#make, { before: this, change });
    this.#longer.set(change, longer);
    return longer;
  }

  /** The events, the same list each time. */
  get events(): Event[] {
    this.#events ??= this.#collect();
    return this.#events;
  }

  #collect(): Event[] {
    const events: Event[] = [];
    let list = this.#takeLast(events);
    while (list !== undefined) list = list.#takeLast(events);
    return events.reverse();
  }

  /** Adds the last event to others, and returns the list before it. */
  #takeLast(to: Event[]): SharedEvents | undefined {
    if (this.#last === undefined) return undefined;
    const { before, change } = this.#last;
    this.#event ??= this.#make(change);
    to.push(this.#event);
    return before;
  }
}

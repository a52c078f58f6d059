import { type Clock, systemClock } from "@tenure/etcd/runtime";

/** What is known of one address. */
interface Guesser {
  /** How often it may try yet. */
  readonly left: number;
  /** When that was counted. */
  readonly at: number;
}

const MAX_AT_ONCE = 10;
/** One more try is allowed after so long. */
const REFILL_MS = 1000;
/** Addresses known at a time; those that were silent for longest are forgotten. */
const MAX_ADDRESSES = 1024;

/** Bounds how many wrong tokens an address may try: ten at once, then one a second. */
export class Guesses {
  readonly #clock: Clock;
  /** The one heard of last is the last. */
  readonly #addresses = new Map<string, Guesser>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Takes one of an address's tries. Returns whether it had one. */
  take(address: string): boolean {
    const left = this.#left(address);
    if (left < 1) return false;
    this.#set(address, left - 1);
    return true;
  }

  /** The try was none: the token was right. */
  giveBack(address: string): void {
    this.#set(address, this.#left(address) + 1);
  }

  #left(address: string): number {
    const known = this.#addresses.get(address);
    if (known === undefined) return MAX_AT_ONCE;
    return Math.min(MAX_AT_ONCE, known.left + (this.#clock.now() - known.at) / REFILL_MS);
  }

  #set(address: string, left: number): void {
    this.#addresses.delete(address);
    if (left < MAX_AT_ONCE) this.#addresses.set(address, { left, at: this.#clock.now() });
    const [oldest] = this.#addresses.keys();
    if (this.#addresses.size > MAX_ADDRESSES && oldest !== undefined) this.#addresses.delete(oldest);
  }
}

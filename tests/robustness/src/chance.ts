import { type Random, seededRandom } from "@tenure/etcd/runtime";

/** Choices that are the same for the same seed. */
export class Chance {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** Whether something of this likelihood happens. */
  happens(likelihood: number): boolean {
    return this.#random.fraction() < likelihood;
  }

  /** A whole number from the first to the last. */
  whole(first: number, last: number): number {
    return first + Math.floor(this.#random.fraction() * (last - first + 1));
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.whole(0, items.length - 1)];
    if (item === undefined) throw new Error("there is nothing to choose from");
    return item;
  }

  /** The same items in another order. */
  shuffled<T>(items: readonly T[]): T[] {
    const rest = [...items];
    return items.map(() => rest.splice(this.whole(0, rest.length - 1), 1)).flat();
  }

  /** Choices of its own, so that what one makes of them does not change another's. */
  fork(): Chance {
    return new Chance(Number(this.#random.bits(31)));
  }
}

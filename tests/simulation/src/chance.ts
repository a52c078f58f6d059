import { type Random, seededRandom } from "@tenure/etcd/runtime";

/** Seeded chance. What has its own name has its own numbers, so that a change in one place leaves the others alone. */
export class Chance implements Random {
  readonly #seed: number;
  readonly #random: Random;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
  }

  /** Chance for one concern, independent of how often the others ask. */
  fork(name: string): Chance {
    // FNV-1a over the seed and the name.
    let hash = 0x811c9dc5 ^ this.#seed;
    for (const letter of name) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
    return new Chance(Math.imul(hash ^ (hash >>> 15), 0x85ebca6b));
  }

  fraction(): number {
    return this.#random.fraction();
  }

  bits(count: number): bigint {
    return this.#random.bits(count);
  }

  between(least: number, most: number): number {
    return least + this.fraction() * (most - least);
  }

  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number {
    return Math.floor(this.between(least, most + 1));
  }

  /** True with this probability. */
  happens(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.fraction() * items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }
}

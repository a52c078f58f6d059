import type { Variant } from "./stage.ts";

/** Nobody waits longer than this for one turn. */
const turnMsMax = 60_000;
/** Sizes grow tenfold from turn to turn: decides who takes part in the next one, by how long the turns before took. */
export class Patience {
  readonly #growthMin: number;
  readonly #took = new Map<string, { readonly beforeMs: number; readonly lastMs: number }>();

  /** @param growthMin how many times as long a turn takes at least as the one before; 10 where costs are linear */
  constructor(growthMin = 10) {
    this.#growthMin = growthMin;
  }

  /** Whether the variant's next turn probably ends in time: it grows at least as it did last. */
  has({ name }: Variant): boolean {
    const known = this.#took.get(name);
    if (known === undefined) return true;
    const growth = Math.max(this.#growthMin, known.beforeMs === 0 ? 0 : known.lastMs / known.beforeMs);
    return known.lastMs * growth <= turnMsMax;
  }

  /** Takes down how long the variant took for the size of this turn. */
  took({ name }: Variant, lastMs: number): void {
    this.#took.set(name, { beforeMs: this.#took.get(name)?.lastMs ?? 0, lastMs });
  }
}

import type { Control } from "./control.ts";
import type { Health } from "./health.ts";

/** Whether this node may stand for election: it is fit, as far as that is looked at, and nobody has paused it. */
export class Eligibility {
  readonly #health: Health | undefined;
  readonly #control: Control | undefined;

  constructor(health: Health | undefined, control: Control | undefined) {
    this.#health = health;
    this.#control = control;
  }

  get eligible(): boolean {
    return (this.#health?.healthy ?? true) && this.#control?.paused.holds !== true;
  }

  /** Resolves when it may stand, or when the signal fires. */
  async begins(signal: AbortSignal): Promise<void> {
    while (!this.eligible && !signal.aborted) {
      await this.#health?.becomes(true, signal);
      await this.#control?.paused.becomes(false, signal);
    }
  }

  /** Resolves when it may not stand any more, or when the signal fires, which has to come in the end. */
  async ends(signal: AbortSignal): Promise<void> {
    const unfit = this.#health?.becomes(false, signal);
    const paused = this.#control?.paused.becomes(true, signal);
    await Promise.race([unfit, paused].filter((each) => each !== undefined));
  }
}

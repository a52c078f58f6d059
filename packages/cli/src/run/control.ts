import { Condition } from "./condition.ts";
import { settledWithin } from "./process-tree.ts";

/** What is under way when the node ends is waited for so long: its answer tells what has just been done. */
const SETTLE_LIMIT_MS = 1000;

/** What operators want of one service on this node, for whoever runs it. */
export class Control {
  /** Whether this node is not to stand for election; a term that it has is not touched. */
  readonly paused: Condition = new Condition(false);
  readonly #underWay = new Set<Promise<unknown>>();
  #stop: AbortSignal | undefined;
  #stepDown: ((why: string) => void) | undefined;

  /** Somebody runs it, until this signal fires. */
  runUntil(stop: AbortSignal): void {
    this.#stop = stop;
  }

  /** Whether it is being stopped here, after which nobody heeds what is wanted of it. */
  get ending(): boolean {
    return this.#stop?.aborted === true;
  }

  /**
   * A term has begun, or is over.
   *
   * @param stepDown ends it as planned: the program is stopped, then the key deleted; undefined when there is none
   */
  leads(stepDown: ((why: string) => void) | undefined): void {
    this.#stepDown = stepDown;
  }

  /** Has the present term end, as planned. Returns whether there is one. */
  stepDown(why: string): boolean {
    this.#stepDown?.(why);
    return this.#stepDown !== undefined;
  }

  /** Work that the end of the node waits for a moment. Returns the same. */
  during<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    void work.catch(() => undefined).then(() => this.#underWay.delete(work));
    return work;
  }

  /** Resolves when nothing is under way any more, or a second has passed. */
  async settled(): Promise<void> {
    if (this.#underWay.size > 0) await settledWithin(Promise.allSettled(this.#underWay), SETTLE_LIMIT_MS);
  }
}

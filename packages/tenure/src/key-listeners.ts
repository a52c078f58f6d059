import { Listeners } from "./listeners.ts";
import { leaderOf, type Snapshot } from "./view.ts";

/**
 * Functions to be called with the snapshots of an election that may change how one key stands in it. A thousand
 * candidates in a process are not all woken for each of a thousand changes.
 */
export class KeyListeners {
  readonly #byKey = new Map<string, Listeners<Snapshot>>();

  add(key: string, listener: (snapshot: Snapshot) => void): void {
    const listeners = this.#byKey.get(key) ?? new Listeners();
    this.#byKey.set(key, listeners);
    listeners.add(listener);
  }

  /** Takes a listener off again. */
  remove(key: string, listener: (snapshot: Snapshot) => void): void {
    const listeners = this.#byKey.get(key);
    listeners?.remove(listener);
    if (listeners?.idle === true) this.#byKey.delete(key);
  }

  /** Calls those whose key was put or deleted, or came to the lead or out of it; all where that is not known. */
  tell(before: Snapshot | undefined, next: Snapshot): void {
    for (const key of this.#keys(before, next)) this.#byKey.get(key)?.emit(next);
  }

  #keys(before: Snapshot | undefined, next: Snapshot): Iterable<string> {
    if (before === undefined || next.touched === undefined) return Array.from(this.#byKey.keys());
    const keys = new Set(next.touched);
    const former = leaderOf(before);
    const leader = leaderOf(next);
    if (former?.key === leader?.key) return keys;
    if (former !== undefined) keys.add(former.key);
    if (leader !== undefined) keys.add(leader.key);
    return keys;
  }
}

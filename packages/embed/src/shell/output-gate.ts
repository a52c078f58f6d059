/**
 * Where answers wait until what they tell of cannot be lost any more.
 *
 * Requests are carried out in memory at once, so an answer may tell of a write that no disk has yet: its own, or one of
 * somebody else that it has read. Nothing of that may leave the process. Everything that answers a call goes through
 * the gate, errors and events included, and in the order in which it was made.
 */
export interface OutputGate {
  /** Whether what has happened so far is kept, and nobody waits: an answer may go without waiting. */
  readonly isOpen: boolean;
  /**
   * Calls `release` when everything is kept that has happened up to now, in the order of these calls. Never after that
   * has failed: it is not known what is kept then.
   */
  hold(release: () => void): void;
}

/** The gate of a server that keeps nothing: there is nothing to wait for. */
export const OPEN_GATE: OutputGate = {
  isOpen: true,
  hold: (release) => release(),
};

import { offAbort, onAbort } from "@tenure/etcd/runtime";

/** A signal, and what lets go of it. */
export interface HeldSignal {
  readonly signal: AbortSignal;
  /** To be called when nobody looks at the signal any more, which does not fire from then on. */
  readonly release: () => void;
}

/**
 * A signal that fires with the first of two, for its reason. AbortSignal.any leaves something on both for as long as
 * they live, and the one of a client sees each campaign, so this one takes itself off again.
 */
export function eitherSignal(given: AbortSignal | undefined, closing: AbortSignal): HeldSignal {
  if (given === undefined) return { signal: closing, release: () => undefined };
  const either = new AbortController();
  const release = (): void => {
    offAbort(given, onGiven);
    offAbort(closing, onClosing);
  };
  const abortFor = ({ reason }: { readonly reason: unknown }): void => {
    release();
    either.abort(reason);
  };
  const onGiven = (): void => abortFor(given);
  const onClosing = (): void => abortFor(closing);
  onAbort(given, onGiven);
  onAbort(closing, onClosing);
  if (given.aborted) onGiven();
  else if (closing.aborted) onClosing();
  return { signal: either.signal, release };
}

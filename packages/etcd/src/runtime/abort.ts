const listenersOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * The same as `addEventListener("abort", ...)`, for signals that thousands may listen to: Node looks through all
 * listeners for each one more, and keeps 100 bytes for it. One that fired already calls nobody.
 */
export function onAbort(signal: AbortSignal, listener: () => void): void {
  const known = listenersOf.get(signal);
  if (known !== undefined) {
    known.add(listener);
    return;
  }
  listenersOf.set(signal, new Set([listener]));
  signal.addEventListener("abort", tellAll);
}

/** Takes a listener off again that {@link onAbort} added. */
export function offAbort(signal: AbortSignal, listener: () => void): void {
  const listeners = listenersOf.get(signal);
  if (listeners === undefined) return;
  listeners.delete(listener);
  if (listeners.size > 0) return;
  listenersOf.delete(signal);
  signal.removeEventListener("abort", tellAll);
}

function tellAll(this: AbortSignal): void {
  const listeners = listenersOf.get(this);
  if (listeners === undefined) return;
  // A copy: a listener may take itself or others off, and those are not called any more.
  for (const listener of Array.from(listeners)) if (listeners.has(listener)) tell(listener);
  listenersOf.delete(this);
  this.removeEventListener("abort", tellAll);
}

/** What one of them throws is nobody's who hears it here, and shall not keep it from the others: as Node does it. */
function tell(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/**
 * An AbortController that is made when somebody asks for its signal. Making one takes Node 8 µs and more than a
 * kilobyte, and where there are thousands hardly any is asked for.
 */
export class LazyAbortController {
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  get aborted(): boolean {
    return this.#aborted !== undefined;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = { reason };
    this.#controller?.abort(reason);
  }
}

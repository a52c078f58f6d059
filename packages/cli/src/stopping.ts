const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** What a shell adds to a signal's number for the exit code of what it ended. */
const SIGNAL_EXIT_BASE = 128;
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** The user's wish to stop: a signal, or a reader of our output that left. */
export interface Stopping extends Disposable {
  /** Aborts at the first of them. */
  readonly signal: AbortSignal;
  /** 128 + the signal's number, once one came; 0 once the reader left. */
  readonly exitCode: number | undefined;
}

/** Listens for SIGINT, SIGTERM and SIGHUP. The second one ends the process at once: whoever sends it will not wait. */
export function listenForStop(): Stopping {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    const number = SIGNAL_NUMBERS[name as (typeof SIGNALS)[number]];
    if (exitCode !== undefined) process.exit(SIGNAL_EXIT_BASE + number);
    exitCode = SIGNAL_EXIT_BASE + number;
    controller.abort();
  };
  const onOutputError = (): void => {
    exitCode ??= 0;
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  process.stdout.on("error", onOutputError);
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    [Symbol.dispose]: () => {
      for (const name of SIGNALS) process.off(name, onSignal);
      process.stdout.off("error", onOutputError);
    },
  };
}

/** Awaits something the user may stop; undefined when that happened. */
export async function unlessStopped<T>(stopping: Stopping, work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (stopping.signal.aborted) return undefined;
    throw error;
  }
}

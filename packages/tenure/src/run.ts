import type { EtcdClient } from "@tenure/etcd";
import type { Election } from "./election.ts";
import { TenureError } from "./errors.ts";
import type { Leader } from "./leader.ts";
import type { Term } from "./term.ts";
import { Retry } from "./wait.ts";

/** What a long-lived node does in each role. */
export interface RunHandlers {
  /** What others see of this candidate. Default: `host-timestampMs`. */
  readonly value?: string | Uint8Array;
  /**
   * Works while leading. Must end soon after `term.signal` fired: the next term of this process waits for it. Returning
   * steps down and stands again, behind the others.
   */
  readonly lead: (term: Term) => Promise<void> | void;
  /**
   * Hears of every leader while this process does not lead, null while nobody does. Its signal fires at the next change
   * and when this process is elected; the next call waits until this one has settled, and skips what was overtaken.
   */
  readonly follow?: (leader: Leader | null, signal: AbortSignal) => Promise<void> | void;
}

/** The pause between two terms of one process: others come first, and a `lead` that returns at once does not spin. */
const RETRY_BOUNDS = { firstMs: 100, maxMs: 500 };

/** See {@link Election.run}. */
export async function runNode(
  election: Pick<Election, "campaign" | "observe">,
  etcd: EtcdClient,
  handlers: RunHandlers,
  callerSignal: AbortSignal | undefined,
): Promise<void> {
  const failed = new AbortController();
  const signal = callerSignal === undefined ? failed.signal : AbortSignal.any([callerSignal, failed.signal]);
  const following = followLeaders(election, handlers.follow, signal);
  following.done.catch((error: unknown) => failed.abort(error));
  const retry = new Retry(etcd.clock, etcd.random, RETRY_BOUNDS);
  try {
    while (!signal.aborted) {
      const term = await elected(election, handlers.value, signal);
      if (term === undefined) break;
      following.pause();
      await lead(term, handlers.lead, signal);
      following.resume();
      await retry.pause(signal);
    }
  } finally {
    failed.abort();
    await following.done.catch(() => undefined);
  }
  // Throws what `follow` threw, if that is what ended us.
  await following.done;
}

/** The next term, or undefined when the wait for it was aborted. */
async function elected(
  election: Pick<Election, "campaign">,
  value: string | Uint8Array | undefined,
  signal: AbortSignal,
): Promise<Term | undefined> {
  try {
    return await election.campaign(value, { signal });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** Leads one term to its end: `lead` has settled before the key is deleted. */
async function lead(term: Term, work: RunHandlers["lead"], signal: AbortSignal): Promise<void> {
  const stop = (): void => term.stop();
  signal.addEventListener("abort", stop);
  try {
    if (signal.aborted) stop();
    else await work(term);
  } catch (error) {
    // Once the term is over, failing is the usual way for work to stop.
    if (!term.signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    await resignQuietly(term);
  }
}

/** A store that does not answer is no reason to fail: the deletion goes on, and the key ends with its lease. */
async function resignQuietly(term: Term): Promise<void> {
  try {
    await term.resign();
  } catch (error) {
    if (TenureError.from(error).code !== "deadline-exceeded") throw error;
  }
}

interface Following {
  /** We lead: the call under way is told to stop, and no other is made. */
  readonly pause: () => void;
  readonly resume: () => void;
  readonly done: Promise<void>;
}

/** Calls `follow` for each leader, one call at a time, latest first, while not paused. */
function followLeaders(
  election: Pick<Election, "observe">,
  follow: RunHandlers["follow"],
  signal: AbortSignal,
): Following {
  if (follow === undefined) return { pause: () => undefined, resume: () => undefined, done: Promise.resolve() };
  let latest: { readonly leader: Leader | null } | undefined;
  let paused = false;
  let current = new AbortController();
  let calls: Promise<void> = Promise.resolve();
  let fail: (error: unknown) => void = () => undefined;
  const failure = new Promise<never>((_resolve, reject) => (fail = reject));

  const call = async (state: { readonly leader: Leader | null }): Promise<void> => {
    if (state !== latest || paused || signal.aborted) return;
    current = new AbortController();
    try {
      await follow(state.leader, current.signal);
    } catch (error) {
      if (!current.signal.aborted) fail(error);
    }
  };
  const next = (state: { readonly leader: Leader | null }): void => {
    latest = state;
    current.abort();
    calls = calls.then(() => call(state));
  };
  const watch = async (): Promise<void> => {
    try {
      for await (const leader of election.observe({ signal })) {
        // Ourselves: elected this moment, or a key of ours that is about to go.
        if (leader?.self === true) latest = undefined;
        else next({ leader });
      }
    } finally {
      current.abort();
    }
    await calls;
  };
  return {
    pause: () => {
      paused = true;
      current.abort();
    },
    resume: () => {
      paused = false;
      if (latest !== undefined) next({ leader: latest.leader });
    },
    done: Promise.race([watch(), failure]),
  };
}

import { systemClock } from "@tenure/etcd/runtime";
import { type Client, connect, type Election, TenureError, type Term } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { note, printable, printJson, printLine } from "../output.ts";
import type { Settings } from "../settings.ts";
import { listenForStop, type Stopping } from "../stopping.ts";

/** `tenure elect NAME [VALUE]`: campaigns, prints key and value, holds the term until it is told to stop. */
export async function elect(name: string, value: string | undefined, settings: Settings): Promise<number> {
  await using client = connect(settings.connect());
  const election = client.election(name, { ttlMs: settings.ttlMs });
  using stopping = listenForStop();
  const term = await untilElected(client, election, value, stopping, settings);
  if (term === undefined) return stopping.exitCode ?? ExitCode.internal;
  report(name, term, settings);
  await ended(term.signal, stopping.signal);
  const { code, message } = TenureError.from(term.signal.reason);
  // A term that was not lost, nor resigned by us, is to be transferred, which is done when we resign.
  const transferred = !stopping.signal.aborted && code === "not-leader";
  if (!stopping.signal.aborted && !transferred) {
    // At once: closing the client may take a while if the store is gone.
    note(`leadership lost: ${message}`);
    return ExitCode.leadershipLost;
  }
  await term.resign({ timeoutMs: RESIGN_TIMEOUT_MS });
  if (transferred) note(`stepped down: ${message}`);
  return ExitCode.ok;
}

/** Milliseconds to step down in; the key ends with its lease if the store does not answer. */
const RESIGN_TIMEOUT_MS = 3000;

/** The term, or undefined when the user stopped the wait. */
async function untilElected(
  client: Client,
  election: Election,
  value: string | undefined,
  stopping: Stopping,
  { timeoutMs }: Settings,
): Promise<Term | undefined> {
  const timeout = new AbortController();
  const cancelTimeout =
    timeoutMs === undefined ? undefined : systemClock.after(timeoutMs, () => timeout.abort(new Error("timeout")));
  const signal = AbortSignal.any([stopping.signal, timeout.signal]);
  try {
    // By its own limit, so that a store that never answers is named as the reason.
    await client.ready({ signal: stopping.signal, ...(timeoutMs !== undefined && { timeoutMs }) });
    return await election.campaign(value, { signal });
  } catch (error) {
    if (stopping.signal.aborted) return undefined;
    if (TenureError.from(error).code !== "aborted") throw error;
    throw new CommandError(ExitCode.notElected, `not elected within ${(timeoutMs ?? 0) / 1000} s`);
  } finally {
    cancelTimeout?.();
  }
}

function report(name: string, term: Term, settings: Settings): void {
  if (term.ttlMs > settings.ttlMs) {
    note(`etcd raised the TTL from ${settings.ttlMs / 1000} s to its minimum of ${term.ttlMs / 1000} s`);
  }
  const { key, value, token, leaseId } = term;
  if (settings.output === "table") {
    printLine(printable(key));
    printLine(printable(value));
  } else {
    const leader = { key, value, revision: token.toString(), lease: leaseId.toString(16) };
    printJson({ election: name, leader, revision: token.toString() });
  }
}

function ended(...signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of signals) {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    }
  });
}

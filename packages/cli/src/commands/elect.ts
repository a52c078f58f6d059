import { connect, TenureError, type Term } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { note, printable, printJson, printLine } from "../output.ts";
import type { Settings } from "../settings.ts";
import { listenForStop, type Stopping, unlessStopped } from "../stopping.ts";

/** `tenure elect NAME [VALUE]`: campaigns, prints key and value, holds the term until it is told to stop. */
export async function elect(name: string, value: string | undefined, settings: Settings): Promise<number> {
  await using client = connect(settings.connect);
  const election = client.election(name, { ttlMs: settings.ttlMs });
  using stopping = listenForStop();
  await unlessStopped(stopping, client.ready({ signal: stopping.signal }));
  if (stopping.exitCode !== undefined) return stopping.exitCode;
  const term = await campaign((signal) => election.campaign(value, { signal }), stopping, settings);
  if (term === undefined) return stopping.exitCode ?? ExitCode.internal;
  report(name, term, settings);
  await ended(term.signal, stopping.signal);
  if (!stopping.signal.aborted) throw lost(term);
  await term.resign();
  return ExitCode.ok;
}

/** The term, or undefined when the user stopped the wait. */
async function campaign(
  start: (signal: AbortSignal) => Promise<Term>,
  stopping: Stopping,
  settings: Settings,
): Promise<Term | undefined> {
  const { timeoutMs } = settings;
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  try {
    return await start(timeout === undefined ? stopping.signal : AbortSignal.any([stopping.signal, timeout]));
  } catch (error) {
    if (stopping.signal.aborted) return undefined;
    if (timeout?.aborted === true) {
      throw new CommandError(ExitCode.notElected, `not elected within ${(timeoutMs ?? 0) / 1000} s`);
    }
    throw error;
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

function lost(term: Term): CommandError {
  return new CommandError(ExitCode.leadershipLost, `leadership lost: ${TenureError.from(term.signal.reason).message}`);
}

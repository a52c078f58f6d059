import { channel } from "node:diagnostics_channel";
import { emitWarning } from "node:process";
import type { Clock } from "@tenure/etcd/runtime";
import { quoted } from "./errors.ts";
import { pause } from "./wait.ts";

/** Published on `tenure:lead-overdue` with each warning that `lead` goes on after its term. */
export interface LeadOverdueEvent {
  /** The election's name. */
  readonly election: string;
  /** The token of the term that is over. */
  readonly token: bigint;
  /** Milliseconds since the term ended. */
  readonly overdueMs: number;
}

/** What is reported of, and when. */
export interface OverdueOptions {
  readonly election: string;
  readonly token: bigint;
  readonly clock: Clock;
  /** Milliseconds that `lead` may take to end. */
  readonly drainMs: number;
  /** Fires when `lead` has settled. */
  readonly settled: AbortSignal;
  /** Fires when the client is closed: from then on nothing of ours keeps the process alive. */
  readonly closed: AbortSignal;
}

const overdueChannel = channel("tenure:lead-overdue");

/** To be called when a term ends: reports that `lead` is late, after `drainMs` and each time that this has doubled. */
export async function reportOverdue(options: OverdueOptions): Promise<void> {
  const { clock, drainMs, settled, closed } = options;
  const endedAt = clock.now();
  const done = AbortSignal.any([settled, closed]);
  await pause(clock, drainMs, settled);
  for (let waitMs = drainMs; !settled.aborted; waitMs *= 2) {
    report(options, Math.round(clock.now() - endedAt));
    await pause(clock, waitMs, done);
    if (closed.aborted) return;
  }
}

function report({ election, token }: OverdueOptions, overdueMs: number): void {
  emitWarning(
    `lead of the election ${quoted(election)} still runs ${overdueMs} ms after its term (token ${token}) ` +
      "ended: it must end when term.signal fires; until then this process deletes no key and does not stand again",
    { type: "TenureWarning", code: "TENURE_LEAD_IGNORES_SIGNAL" },
  );
  if (overdueChannel.hasSubscribers) {
    overdueChannel.publish({ election, token, overdueMs } satisfies LeadOverdueEvent);
  }
}

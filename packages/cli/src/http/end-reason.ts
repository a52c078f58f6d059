import { TenureError } from "tenure";
import type { Ending } from "../run/term-watch.ts";
import type { FailoverKind } from "./failover-times.ts";
import type { EndReason } from "./service.ts";

/**
 * Why a term ended, in one word.
 *
 * @param ending undefined when the program ended by itself, or did not start
 * @param signal the term's, from before it was resigned
 */
export function endReason(ending: Ending | undefined, hasRun: boolean, signal: AbortSignal): EndReason {
  if (ending === undefined) return hasRun ? "exited" : "refused";
  if (ending.t !== "lost") return ending.t;
  // Stopped in time, before anything was lost for sure.
  if (!signal.aborted) return "late";
  return TenureError.from(signal.reason).sessionEnd ?? "deleted";
}

/** The same as a kind of failover. */
export function endKind(ending: Ending | undefined): FailoverKind {
  if (ending === undefined) return "exit";
  return ending.t === "lost" ? "lost" : "planned";
}

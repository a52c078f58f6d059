import { channel } from "node:diagnostics_channel";
import { emitWarning } from "node:process";

/** Published on `tenure:guard:lost` when the guard of a client ended, and another one is started. */
export interface GuardLostEvent {
  /** The signal or the exit code, or why it could not be started. */
  readonly why: string;
}

const lostChannel = channel("tenure:guard:lost");
let warned = false;

/** Says that a guard ended: until the next one works, a death of this process costs a TTL. A warning comes once. */
export function reportGuardLost(why: string): void {
  if (lostChannel.hasSubscribers) lostChannel.publish({ why } satisfies GuardLostEvent);
  if (warned) return;
  warned = true;
  emitWarning(`the guard of this process ended (${why}); another one is started`, {
    type: "TenureWarning",
    code: "TENURE_GUARD_LOST",
  });
}

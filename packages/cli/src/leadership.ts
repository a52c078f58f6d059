import { type Election, isCandidate, type Leader } from "tenure";
import { CommandError, ExitCode } from "./exit-codes.ts";
import { note } from "./output.ts";

/** Refuses to depose what is no candidate but comes first under the election's name, as other clients see it. */
export function assertCandidate(election: Election, leader: Leader): void {
  if (isCandidate(election.prefix, leader.key, leader.leaseId)) return;
  throw new CommandError(
    ExitCode.configuration,
    `${leader.key} comes first under ${election.prefix} but is no candidate of this election; nothing was changed`,
  );
}

/** Says that a leader which is no Tenure node has been deposed without noticing. */
export function warnUnnoticed(leader: Leader): void {
  note(
    `${leader.key} is not a Tenure node's: other clients do not look at their own key, so its program may go on ` +
      "as if it led until it checks",
  );
}

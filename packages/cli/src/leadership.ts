import { type Election, isCandidate, type Leader } from "tenure";
import { CommandError, ExitCode } from "./exit-codes.ts";
import { note } from "./output.ts";

/** Refuses to depose what is no candidate but comes first under the election's name, as other clients see it. */
export function assertCandidate(election: Pick<Election, "prefix">, leader: Leader): void {
  if (isCandidate(election.prefix, leader.key, leader.leaseId)) return;
  throw new CommandError(
    ExitCode.configuration,
    `${leader.key} comes first under ${election.prefix} but is no candidate of this election; nothing was changed`,
  );
}

/** The candidate that is meant: by its key, else by its value. Throws CommandError 64 where that is not one. */
export function chosen(candidates: readonly Leader[], to: string, { name }: Pick<Election, "name">): Leader {
  const byKey = candidates.find(({ key }) => key === to);
  if (byKey !== undefined) return byKey;
  const [first, ...others] = candidates.filter(({ value }) => value === to);
  if (first === undefined) {
    throw new CommandError(ExitCode.usage, `no candidate of ${name} has ${JSON.stringify(to)} as its key or value`);
  }
  if (others.length === 0) return first;
  const keys = [first, ...others].map(({ key }) => key).join(", ");
  throw new CommandError(
    ExitCode.usage,
    `several candidates have the value ${JSON.stringify(to)}: give a key: ${keys}`,
  );
}

/** Says that a leader which is no Tenure node has been deposed without noticing. */
export function warnUnnoticed(leader: Leader): void {
  note(
    `${leader.key} is not a Tenure node's: other clients do not look at their own key, so its program may go on ` +
      "as if it led until it checks",
  );
}

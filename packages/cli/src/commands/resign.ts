import { compare, connect, isTenureLease, remove } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { assertCandidate, warnUnnoticed } from "../leadership.ts";
import { leadershipJson, note, printable, printJson, printLine } from "../output.ts";
import type { Settings } from "../settings.ts";

/** `tenure resign NAME`: makes whoever leads step down, by deleting its key if it still leads. */
export async function resign(name: string, settings: Settings): Promise<number> {
  await using client = connect(settings.connect());
  const { timeoutMs } = settings;
  const election = client.election(name);
  const { candidates, revision } = await election.state({ timeoutMs });
  const [leader] = candidates;
  if (leader === undefined) {
    if (settings.output !== "table") printJson(leadershipJson(name, null, revision));
    else note(`nobody leads ${name}`);
    return ExitCode.noLeader;
  }
  assertCandidate(election, leader);
  const answer = await client
    .txn()
    .if(compare.createRevision(leader.key, "=", leader.revision))
    .success(remove(leader.key))
    .commit({ timeoutMs });
  if (!answer.succeeded) {
    throw new CommandError(
      ExitCode.notElected,
      `${leader.value} stepped down by itself meanwhile; nothing was changed`,
    );
  }
  if (!isTenureLease(leader.leaseId)) warnUnnoticed(leader);
  if (settings.output !== "table") printJson(leadershipJson(name, leader, answer.header?.revision ?? revision));
  else {
    printLine(printable(leader.key));
    printLine(printable(leader.value));
  }
  return ExitCode.ok;
}

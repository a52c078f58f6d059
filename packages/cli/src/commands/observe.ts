import { connect } from "tenure";
import { ExitCode } from "../exit-codes.ts";
import { leadershipJson, printable, printJson, printLine } from "../output.ts";
import type { Settings } from "../settings.ts";
import { listenForStop, unlessStopped } from "../stopping.ts";

/** `tenure observe NAME`: a line for the current state and for each change, until it is told to stop. */
export async function observe(name: string, settings: Settings): Promise<number> {
  await using client = connect(settings.connect());
  const election = client.election(name);
  using stopping = listenForStop();
  await unlessStopped(
    stopping,
    client.ready({ signal: stopping.signal, ...(settings.timeoutMs && { timeoutMs: settings.timeoutMs }) }),
  );
  if (stopping.exitCode !== undefined) return stopping.exitCode;
  for await (const { leader, revision } of election.changes({ signal: stopping.signal })) {
    if (settings.output !== "table") printJson(leadershipJson(name, leader, revision));
    else {
      const who = leader === null ? "nobody leads" : `${leader.value}  token ${leader.revision}  ${leader.key}`;
      printLine(`${new Date().toISOString()}  ${printable(who)}`);
    }
  }
  return ExitCode.ok;
}

import { connect, type Election, type ElectionState, isTenureLease, type Leader, TenureError } from "tenure";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { assertCandidate, chosen, warnUnnoticed } from "../leadership.ts";
import { leaderJson, leadershipJson, note, printJson, printLine, table } from "../output.ts";
import type { Settings } from "../settings.ts";
import { listenForStop, unlessStopped } from "../stopping.ts";

/** Who leads now, and what it took. */
interface Outcome {
  readonly leader: Leader | null;
  readonly revision: bigint;
  /** Who led before, null when nothing was changed. */
  readonly from: Leader | null;
  /** Who stood between the two, and has to stand again. */
  readonly skipped: readonly Leader[];
}

/** `tenure transfer NAME --to KEY|VALUE`: has the leader hand over to a chosen candidate. */
export async function transfer(name: string, to: string, settings: Settings): Promise<number> {
  await using client = connect(settings.connect());
  using stopping = listenForStop();
  const election = client.election(name);
  const outcome = await unlessStopped(stopping, transferred(election, to, settings, stopping.signal));
  if (outcome === undefined) return stopping.exitCode ?? ExitCode.internal;
  const { leader, from, skipped } = outcome;
  if (from !== null && !isTenureLease(from.leaseId)) warnUnnoticed(from);
  if (settings.output !== "table") {
    printJson({
      ...leadershipJson(name, leader, outcome.revision),
      from: from && leaderJson(from),
      skipped: skipped.map(({ key }) => key),
    });
  }
  if (leader === null) {
    if (settings.output === "table") note(`nobody leads ${name}`);
    return ExitCode.noLeader;
  }
  if (from === null) note(`${leader.value} leads already; nothing was changed`);
  if (settings.output === "table") {
    const row = (role: string, { value, revision, key }: Leader): string[] => [role, value, String(revision), key];
    const rows = [row("leader", leader), ...(from === null ? [] : [row("before", from)])];
    printLine(table([["ROLE", "VALUE", "TOKEN", "KEY"], ...rows, ...skipped.map((each) => row("skipped", each))]));
  }
  return ExitCode.ok;
}

async function transferred(
  election: Election,
  to: string,
  { timeoutMs }: Settings,
  signal: AbortSignal,
): Promise<Outcome> {
  const { candidates, revision } = await election.state({ timeoutMs, signal });
  const [from] = candidates;
  if (from === undefined) return { leader: null, revision, from: null, skipped: [] };
  assertCandidate(election, from);
  const target = chosen(candidates, to, election);
  if (target === from) return { leader: from, revision, from: null, skipped: [] };
  const after = await requested(election, target, timeoutMs, signal);
  const skipped = candidates.slice(1, candidates.indexOf(target));
  return { leader: target, revision: after.revision, from, skipped };
}

/** Has it done, and reads what came of it. */
async function requested(
  election: Election,
  target: Leader,
  timeoutMs: number | undefined,
  signal: AbortSignal,
): Promise<ElectionState> {
  let failure: TenureError | undefined;
  try {
    await election.requestTransfer(target.key, { timeoutMs, signal });
  } catch (error) {
    failure = TenureError.from(error);
    if (failure.code !== "unavailable" && failure.code !== "deadline-exceeded") throw failure;
  }
  // After a failure this tells a store that cannot be reached from a leader that did not do it, or did it late.
  const state = await election.state({ signal });
  const [leader] = state.candidates;
  if (failure === undefined || leader?.key === target.key) return state;
  const now = leader === undefined ? "nobody leads now" : `${leader.value} leads now`;
  throw new CommandError(ExitCode.notElected, `${failure.message}; ${now}`);
}

import type { Candidate, Usage } from "./candidate.ts";
import { now } from "./clock.ts";
import type { History, Term, Violation } from "./history.ts";
import type { Witness } from "./witness.ts";

/** How much later than it happened the witness may see something, on a busy machine. */
const witnessLagMs = 1_500;
/** How long before a deletion a signal is due at the latest; a process that stood still then could not fire it. */
const dueBeforeMs = 1_000;
/** A third of the TTL until a watch that is cut off is left for another one, and 2 s for a busy machine. */
const toldWithinMs = 3_700;
/** How long a member that was stopped may take itself for etcd's leader. */
const staleLeaderMs = 2_000;
/** How a term ends whose key is away: a watch or a guarded write tells it. */
const keyGone = /was deleted|is gone/;
/** Samples of a process's use, one each second, of which the least counts. */
const restSamples = 30;
const growthBytesMax = 48 * 1024 * 1024;
const growthHandlesMax = 20;

/** All that was wrong until now. */
export function violationsOf(history: History, witness: Witness): Violation[] {
  return [
    ...overlaps(history, witness),
    ...tokenViolations(history.terms),
    ...keyViolations(history, witness),
    ...signalViolations(history, witness),
    ...registerViolations(witness),
    ...history.mishaps,
  ];
}

/**
 * Terms whose lease etcd revoked although it had renewed it: a member that led etcd before it was stopped believes, for
 * a moment after it goes on, that it still does and that the leases it knows have run out. No client can prevent this.
 */
export function staleRevocations(history: History, witness: Witness): Term[] {
  return history.terms.filter((term) => {
    const deletedAt = deletionOf(witness, term);
    if (deletedAt === undefined || !keyGone.test(term.why ?? "")) return false;
    if (term.key === undefined || history.takenKeys.has(term.key)) return false;
    return history.thaws.some((at) => at < deletedAt && deletedAt < at + staleLeaderMs);
  });
}

/** Two terms that were held at one instant: exact, since all processes read one clock. */
export function overlaps(history: History, witness: Witness): Violation[] {
  const held = history.terms.filter(({ firstHeldAt }) => firstHeldAt !== undefined);
  return held.flatMap((one, index) =>
    held.slice(index + 1).flatMap((other) => {
      const from = Math.max(one.firstHeldAt ?? 0, other.firstHeldAt ?? 0);
      const to = Math.min(one.lastHeldAt ?? 0, other.lastHeldAt ?? 0);
      const older = one.token < other.token ? one : other;
      if (from >= to || to <= knownAt(history, witness, older)) return [];
      const text = `${titleOf(one)} and ${titleOf(other)} were held together for at least ${(to - from).toFixed(1)} ms`;
      return [{ rule: "overlap", text }];
    }),
  );
}

// Whose key is taken away goes on believing until it is told, at the latest a moment after it can run again.
function knownAt(history: History, witness: Witness, term: Term): number {
  const deletedAt = deletionOf(witness, term);
  if (term.key === undefined || deletedAt === undefined || !takenAway(history, witness, term)) return 0;
  const stills = history.standStills.filter(({ process, from }) => process === term.process && from < deletedAt);
  return Math.max(deletedAt, ...stills.map(({ to }) => to)) + toldWithinMs;
}

/** Whether the key went without the process's doing, while its lease was good. */
function takenAway(history: History, witness: Witness, term: Term): boolean {
  if (term.key !== undefined && history.takenKeys.has(term.key)) return true;
  return staleRevocations(history, witness).includes(term);
}

function deletionOf(witness: Witness, { key, token }: Term): number | undefined {
  return witness.keys.find((each) => each.key === key && each.createRevision === token)?.deletedAt;
}

// By the instants at which they were held: when a process is told that it was elected is another matter.
function tokenViolations(terms: readonly Term[]): Violation[] {
  const twice = terms.filter((term, index) => terms.findIndex(({ token }) => token === term.token) < index);
  const inOrder = terms
    .filter(({ firstHeldAt }) => firstHeldAt !== undefined)
    .toSorted((a, b) => (a.firstHeldAt ?? 0) - (b.firstHeldAt ?? 0));
  const falling = inOrder.filter((term, index) => index > 0 && term.token <= (inOrder[index - 1]?.token ?? 0n));
  return [
    ...twice.map((term) => ({ rule: "token", text: `${titleOf(term)} was given before` })),
    ...falling.map((term) => ({ rule: "token", text: `${titleOf(term)} was held after a higher token` })),
  ];
}

// Whoever leads has a key in etcd, created by the revision that is its token, and all older keys are gone.
function keyViolations(history: History, witness: Witness): Violation[] {
  return history.terms.flatMap((term) => {
    const { firstHeldAt } = term;
    if (term.key === undefined || firstHeldAt === undefined || firstHeldAt > now() - witnessLagMs) return [];
    const own = witness.keys.find(({ key, createRevision }) => key === term.key && createRevision === term.token);
    if (own === undefined) return [{ rule: "key", text: `${titleOf(term)} was held, but etcd never had its key` }];
    const older = witness.keys.find(
      ({ createRevision, deletedAt }) =>
        createRevision < term.token && (deletedAt ?? Infinity) > firstHeldAt + witnessLagMs,
    );
    if (older === undefined) return [];
    return [{ rule: "key", text: `${titleOf(term)} was held while the older key ${older.key} stood` }];
  });
}

// The signal fires before etcd lets the key go, as long as the process can run.
function signalViolations(history: History, witness: Witness): Violation[] {
  return history.terms.flatMap((term) => {
    const deletedAt = deletionOf(witness, term);
    if (term.key === undefined || deletedAt === undefined || couldNotRun(history, term, deletedAt)) return [];
    const taken = takenAway(history, witness, term);
    if (term.overAt === undefined) {
      if (now() < deletedAt + toldWithinMs) return [];
      return [{ rule: "signal", text: `${titleOf(term)}: its key is gone and its signal never fired` }];
    }
    const lateMs = term.overAt - deletedAt;
    if (lateMs <= (taken ? toldWithinMs : 0)) return [];
    return [
      { rule: "signal", text: `${titleOf(term)}: its signal fired ${lateMs.toFixed(1)} ms after its key had gone` },
    ];
  });
}

function couldNotRun(history: History, term: Term, at: number): boolean {
  const diedAt = history.deaths.get(term.process);
  if (diedAt !== undefined && diedAt < at + toldWithinMs) return true;
  return history.standStills.some(
    ({ process, from, to }) => process === term.process && from < at + toldWithinMs && to > at - dueBeforeMs,
  );
}

/** Processes that used more and more while they ran: what holds after a fault held before it. */
export function growth(candidates: readonly Candidate[]): Violation[] {
  return candidates.flatMap(({ name, usages }) =>
    usages.flatMap((usage, run) => {
      // The first seconds are the start; between faults there is a moment of rest within so many seconds.
      const before = usage.slice(restSamples, 2 * restSamples);
      const after = usage.slice(2 * restSamples).slice(-restSamples);
      if (after.length < restSamples) return [];
      const least = (of: keyof Usage, samples: readonly Usage[]) => Math.min(...samples.map((sample) => sample[of]));
      const title = `${name}.${run + 1}`;
      const bytes = least("rss", after) - least("rss", before);
      const handles = least("handles", after) - least("handles", before);
      return [
        ...(bytes > growthBytesMax ? [{ rule: "memory", text: `${title} grew by ${bytes} bytes` }] : []),
        ...(handles > growthHandlesMax ? [{ rule: "handles", text: `${title} has ${handles} more handles` }] : []),
      ];
    }),
  );
}

// etcd's own order of the guarded writes: never one of an older term after one of a newer.
function registerViolations(witness: Witness): Violation[] {
  let highest = 0n;
  return witness.writes.flatMap(({ token, revision }) => {
    if (token >= highest) {
      highest = token;
      return [];
    }
    return [{ rule: "fence", text: `revision ${revision}: a write of token ${token} after one of ${highest}` }];
  });
}

function titleOf({ process, token }: Term): string {
  return `token ${token} of ${process}`;
}

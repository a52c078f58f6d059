/**
 * The guard of a supervisor: a process that kills what the supervisor started, when the supervisor cannot.
 *
 * It is told what lives, and until when, over a pipe. When the pipe ends the supervisor is dead: the guard kills all
 * trees at once, and when it has seen that nothing of them lives, revokes the lease, so that others need not wait for
 * its end. When the deadline of a service passes the supervisor is frozen or blocked: the guard kills the trees of the
 * service, and leaves the lease to run out, as the supervisor may go on any moment. So it can make a term shorter,
 * never longer.
 *
 * @module
 */
import { systemClock } from "@tenure/etcd/runtime";
import { guardParent, type OtherMessage } from "tenure/guard";
import { removeCgroup } from "./cgroup.ts";
import { killTree, type TreeMark } from "./census.ts";
import { type GuardReport, type Moment, type RunMessage, untilMoment } from "./guard-protocol.ts";
import { Log } from "./log.ts";

/** What could not be killed within this is left to live; its lease has run out by then unless its TTL is very long. */
const KILL_LIMIT_MS = 60_000;

interface Tree {
  readonly owner: string;
  readonly mark: TreeMark;
}

/** What several services share that lead on one lease. */
interface Deadline {
  readonly at: Moment;
  /** Those who have not been told of another one since. */
  readonly owners: Set<string>;
  cancel: () => void;
}

const trees = new Map<string, Tree>();
const deadlines = new Map<string, Deadline>();
const log = new Log();

function receive(other: OtherMessage): void {
  const message = other as RunMessage;
  if (message.t === "tree") trees.set(message.tree.id, { owner: message.owner, mark: message.tree });
  else if (message.t === "gone") trees.delete(message.id);
  else setDeadline(message.owners, message.at);
}

function setDeadline(owners: readonly string[], at: Moment | null): void {
  for (const owner of owners) release(owner);
  if (at === null) return;
  const deadline: Deadline = { at, owners: new Set(owners), cancel: () => undefined };
  for (const owner of owners) deadlines.set(owner, deadline);
  arm(deadline);
}

/** Whatever deadline a service has does not count for it any more. */
function release(owner: string): void {
  const deadline = deadlines.get(owner);
  deadlines.delete(owner);
  deadline?.owners.delete(owner);
  if (deadline?.owners.size === 0) deadline.cancel();
}

function arm(deadline: Deadline): void {
  deadline.cancel = systemClock.after(Math.max(0, untilMoment(deadline.at)), () => {
    // If we were the ones who stood still, a later deadline may lie in the pipe: that is read before this runs.
    setImmediate(() => {
      if (deadline.owners.size === 0) return;
      if (untilMoment(deadline.at) > 0) arm(deadline);
      else for (const owner of deadline.owners) void fire(owner);
    });
  });
}

async function fire(owner: string): Promise<void> {
  release(owner);
  process.stdout.write(`${JSON.stringify({ t: "fired", owner } satisfies GuardReport)}\n`);
  await kill([...trees.values()].filter((tree) => tree.owner === owner));
}

/** Kills trees; false when something of them may be left. */
async function kill(each: readonly Tree[]): Promise<boolean> {
  const unseen = { dead: false, found: true };
  const outcomes = await Promise.all(each.map(({ mark }) => killTree(mark, KILL_LIMIT_MS).catch(() => unseen)));
  for (const { mark } of each) if (mark.cgroup !== undefined) removeCgroup(mark.cgroup);
  return outcomes.every(({ dead }) => dead);
}

await guardParent({
  receive,
  finish: () => {
    for (const owner of deadlines.keys()) release(owner);
    return kill([...trees.values()]);
  },
  note: (text) => log.note(text),
});

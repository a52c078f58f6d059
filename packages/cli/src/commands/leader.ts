import { connect, isCandidate } from "tenure";
import { ExitCode } from "../exit-codes.ts";
import { leadershipJson, note, printable, printJson, printLine, table } from "../output.ts";
import type { Settings } from "../settings.ts";

/** `tenure leader NAME`: who leads. */
export async function leader(name: string, settings: Settings): Promise<number> {
  await using client = connect(settings.connect());
  const { candidates, revision } = await client.election(name).state({ timeoutMs: settings.timeoutMs });
  const first = candidates[0] ?? null;
  if (settings.output !== "table") printJson(leadershipJson(name, first, revision));
  else if (first === null) note(`nobody leads ${name}`);
  else {
    printLine(
      table([
        ["VALUE", "TOKEN", "KEY"],
        [first.value, first.revision.toString(), first.key],
      ]),
    );
  }
  if (first === null) return ExitCode.noLeader;
  return ExitCode.ok;
}

/** `tenure status NAME`: the leader and its standbys in order of succession. */
export async function status(name: string, settings: Settings): Promise<number> {
  await using client = connect(settings.connect());
  const { timeoutMs } = settings;
  const election = client.election(name);
  const { candidates, revision } = await election.state({ timeoutMs });
  const rows = await Promise.all(
    candidates.map(async (candidate, position) => {
      const lease = await client.etcd.lease.timeToLive(candidate.leaseId, { timeoutMs });
      return { position, candidate, ttlSeconds: Number(lease.TTL) };
    }),
  );
  if (settings.output !== "table") {
    printJson({
      ...leadershipJson(name, candidates[0] ?? null, revision),
      candidates: rows.map(({ position, candidate, ttlSeconds }) => ({
        position,
        key: candidate.key,
        value: candidate.value,
        revision: candidate.revision.toString(),
        lease: candidate.leaseId.toString(16),
        ttlSeconds,
      })),
    });
    return ExitCode.ok;
  }
  if (rows.length === 0) {
    printLine(printable(`nobody stands for ${name}`));
    return ExitCode.ok;
  }
  const line = (row: (typeof rows)[number]): string[] => [
    roleOf(row.position, isCandidate(election.prefix, row.candidate.key, row.candidate.leaseId)),
    row.candidate.value,
    row.candidate.revision.toString(),
    row.ttlSeconds < 0 ? "gone" : `${row.ttlSeconds} s`,
    row.candidate.key,
  ];
  printLine(table([["ROLE", "VALUE", "TOKEN", "LEASE", "KEY"], ...rows.map(line)]));
  return ExitCode.ok;
}

/** A key of something else under the election's name holds a place in the queue, as etcd's other clients see it. */
function roleOf(position: number, candidate: boolean): string {
  if (!candidate) return "foreign key";
  if (position === 0) return "leader";
  return position === 1 ? "next" : "standby";
}

import type { Difference } from "./compare.ts";
import type { Operation } from "./operation.ts";

/** A difference between the embedded server and etcd that stays: a row of the table in `docs/embed.md`. */
export interface KnownDifference {
  readonly etcd: string;
  readonly here: string;
  /** Why it stays. */
  readonly why: string;
  /** Whether it is the one that was seen. Without it a comparison leaves it out, or does not bring it about. */
  readonly matches?: (operation: Operation, difference: Difference) => boolean;
}

/** Every difference that stays. */
export const knownDifferences: readonly KnownDifference[] = [
  {
    etcd: "starts at revision 1, or where its data ends",
    here:
      "the same with a data directory, but that begins at the clock's microseconds; without one each start takes a " +
      "new cluster id and begins so; a revision below the first reads as the start of history",
    why: "fencing tokens rise even where nothing was kept",
  },
  {
    etcd: "a cluster, with raft, data on disk, quotas and alarms",
    here: "one process; no quota, so that only `Alarm` raises one; no automatic compaction",
    why: "what that is for is etcd's part",
  },
  {
    etcd: "a member has the name it was given, `default` if none",
    here: "its one member is named `tenure-embed`",
    why: "by it `tenure doctor` tells it from etcd",
  },
  {
    etcd: "adds members, prepares downgrades",
    here: "status 12, naming the method",
    why: "one process has no other members",
  },
  {
    etcd: "has users and roles in its snapshots",
    here: "has only keys and leases in them",
    why: "etcd could not read our passwords",
  },
  {
    etcd: "JSON gateway, metrics",
    here: "not there",
    why: "clients of the API do without",
  },
  {
    etcd: "hashes with `Hash` everything in its file",
    here: "hashes the keys alone; `HashKV` is the same as etcd's for the same history",
    why: "there is no such file",
  },
  {
    etcd: "tells the size of its file (`dbSize`)",
    here: "tells how much its keys and their history take",
    why: "a file has room to spare",
  },
  {
    etcd: "answers `HashKV` for a revision that it compacted at with what it hashed then, as long as it remembers that",
    here: "hashes what is left at that revision",
    why: "a compaction need not read all there is",
  },
  {
    etcd: "v3election tells a waiting candidate whose key has gone that it leads (etcd#19597)",
    here: "refuses it: `election: not leader`",
    why: "nobody may be told so",
  },
  {
    etcd: "v3election's `Observe` takes the first put it sees for the leader's (etcd#18163)",
    here: "reads who leads then",
    why: "an event may be outdated",
  },
  {
    etcd: "v3lock deletes the key of a waiter that leaves by its name",
    here: "compares its create revision",
    why: "it may be another's by then",
  },
  {
    etcd: "3.5.30 lets whoever may read one key watch all keys from it on",
    here: "cancels the watch",
    why: "as 3.5.33 does",
    matches: (operation) => "watchOnce" in operation && operation.watchOnce["rangeEnd"] === "\u0000",
  },
  {
    etcd:
      "with an alarm for space up, 3.5.30 takes puts in nested transactions, and checks no permissions of " + "changes",
    here: "refuses and checks",
    why: "as 3.5.33 does; an alarm is no permission",
  },
  {
    etcd: "lets a request wait whose token its member does not know yet",
    here: "refuses it",
    why: "there is no other member that could",
  },
  {
    etcd: "signs tokens (JWT) with RSA, ECDSA and HMAC",
    here: "with Ed25519 as well (`EdDSA`)",
    why: "its keys are short, and Node.js has it",
  },
  {
    etcd:
      "3.5 starts with a public key that does not belong to the private one, and ignores what it does " +
      "not know in `--auth-token`",
    here: "does not start",
    why: "a mistake is told where it was made",
  },
  {
    etcd: "takes a password that a client has hashed with bcrypt (`hashedPassword`)",
    here: "does not look at it",
    why: "Node.js has no bcrypt",
  },
  {
    etcd: "serves a watch of the past from a loop, up to 100 ms late",
    here: "serves it at once",
    why: "nobody gains by waiting",
  },
  {
    etcd: "answers a keep-alive of an expired lease after its revocation",
    here: "ends the lease on the spot and answers TTL 0",
    why: "it need not wait for a cluster",
  },
  {
    etcd: "expires at most 500 leases in half a second",
    here: "expires all that are due",
    why: "the limit spares raft",
  },
  {
    etcd: "etcd 3.4 answers a progress request without a watch on the stream",
    here: "stays silent",
    why: "as etcd 3.5 does",
  },
  {
    etcd: "etcd 3.4 sends no header with its answer about alarms",
    here: "sends one",
    why: "as etcd 3.5 does",
  },
  {
    etcd: "lists the keys of a lease in any order",
    here: "in the order of their bytes",
    why: "an order can be relied on",
  },
  {
    etcd: "lists alarms in any order",
    here: "in the order in which they were raised",
    why: "an order can be relied on",
  },
  {
    etcd: "sorts by value, version or revision so that equal ones come in any order when there are more than twelve",
    here: "equal ones come in the order of their keys",
    why: "an order can be relied on",
  },
  {
    etcd: "ends (a panic) on a read with an unknown sort target, before 3.6",
    here: "refuses it with status 3",
    why: "as etcd 3.6 does",
  },
  {
    etcd:
      "ends (a panic) on a transaction that deletes all keys from one on and puts one of them with " +
      "`ignore_value` or `ignore_lease`",
    here: "carries it out",
    why: "a test must not end the server",
  },
  {
    etcd: "who may read a range that ends before it begins hangs on the order in which permissions were given",
    here: "whoever may read its first key",
    why: "there is nothing in such a range",
  },
  {
    etcd: "takes requests of 1.5 MiB in the reckoning of its version and with the ids of its cluster",
    here: "takes what etcd 3.4 takes; etcd 3.5 takes a few bytes more",
    why: "nobody is that close to the limit",
  },
  {
    etcd: "refuses compressed messages it cannot read",
    here: "refuses every compressed message, with status 12",
    why: "clients of etcd do not compress unless told to",
  },
];

/** The known difference that a seen one is, by what etcd does. */
export function explanationOf(operation: Operation, difference: Difference): string | undefined {
  return knownDifferences.find(({ matches }) => matches?.(operation, difference))?.etcd;
}

import type { Random } from "@tenure/etcd/runtime";
import { quoted, TenureError } from "./errors.ts";

// oxlint-disable-next-line no-control-regex -- control characters are what this looks for
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f]/;
const LEASE_ID = /^-?[0-9a-f]+$/;

/** The low bits of every lease id we choose, so that our candidates can be told from others. */
const LEASE_TAG = 0x7e_9e_7en;
const LEASE_TAG_BITS = 24n;
/** With the tag these make a positive 63-bit number. */
const LEASE_RANDOM_BITS = 39;

/**
 * The prefix of all keys of an election, as etcd's Go client forms it: the name and a slash.
 *
 * @param name not empty, without control characters; used byte for byte
 * @param namespace put before the name as it is; the name's leading slashes are dropped then
 * @throws TenureError `invalid-argument`
 */
export function electionPrefix(name: string, namespace = ""): string {
  const trimmed = namespace === "" ? name : name.replace(/^\/+/, "");
  if (trimmed === "") throw new TenureError("invalid-argument", "the election's name is empty");
  for (const [what, text] of [["name", name] as const, ["namespace", namespace] as const]) {
    if (CONTROL_CHARACTERS.test(text)) {
      throw new TenureError("invalid-argument", `the ${what} ${quoted(text)} has a control character in it`);
    }
    if (!text.isWellFormed()) {
      throw new TenureError("invalid-argument", `the ${what} ${quoted(text)} is not valid Unicode`);
    }
  }
  return `${namespace}${trimmed}/`;
}

/** The key of the candidate with this lease. */
export function candidateKey(prefix: string, leaseId: bigint): string {
  return `${prefix}${leaseId.toString(16)}`;
}

/** Whether a key under the prefix may be a candidate: one hexadecimal segment, on a lease. */
export function isCandidate(prefix: string, key: string, leaseId: bigint): boolean {
  return leaseId !== 0n && key.startsWith(prefix) && LEASE_ID.test(key.slice(prefix.length));
}

/** A new lease id: positive, random, tagged as ours. */
export function newLeaseId(random: Random): bigint {
  return (random.bits(LEASE_RANDOM_BITS) << LEASE_TAG_BITS) | LEASE_TAG;
}

/**
 * Whether a lease carries our tag, so that its candidate is a Tenure node (one other lease in 16 million does, too).
 */
export function isTenureLease(leaseId: bigint): boolean {
  return (leaseId & ((1n << LEASE_TAG_BITS) - 1n)) === LEASE_TAG;
}

import type { Json, Operation } from "./operation.ts";

/** One place where two answers are not the same. */
export interface Difference {
  /** Like `answer.kvs.0.version`. */
  readonly path: string;
  readonly embed: Json | undefined;
  readonly etcd: Json | undefined;
}

/** Lists whose order has no meaning, by the method that answers them and the field. */
const unordered: Readonly<Record<string, string>> = {
  "Lease.LeaseTimeToLive": "keys",
  "Lease.LeaseLeases": "leases",
  "Maintenance.Alarm": "alarms",
  "Maintenance.Status": "errors",
};
/** Seconds by which the time left of a lease may differ: both round. */
const ttlTolerance = 2;

/** Compares what the two servers said to one operation. */
export function differences(operation: Operation, embed: Json, etcd: Json): Difference[] {
  const call = "call" in operation ? operation.call : "";
  return [...differ(call, "", embed, etcd)];
}

function* differ(call: string, path: string, embed: Json | undefined, etcd: Json | undefined): Generator<Difference> {
  if (embed === etcd) return;
  const field = path.slice(path.lastIndexOf(".") + 1);
  if (isList(embed) && isList(etcd)) {
    const [ours, theirs] = unordered[call] === field ? [sorted(embed), sorted(etcd)] : [embed, etcd];
    const length = Math.max(ours.length, theirs.length);
    for (let i = 0; i < length; i++) yield* differ(call, `${path}.${i}`, ours[i], theirs[i]);
  } else if (isObject(embed) && isObject(etcd)) {
    for (const name of new Set([...Object.keys(embed), ...Object.keys(etcd)])) {
      yield* differ(call, path === "" ? name : `${path}.${name}`, embed[name], etcd[name]);
    }
  } else if (!(call === "Lease.LeaseTimeToLive" && field === "TTL" && isNear(embed, etcd))) {
    yield { path, embed, etcd };
  }
}

function sorted(list: readonly Json[]): Json[] {
  return list.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function isList(json: Json | undefined): json is readonly Json[] {
  return Array.isArray(json);
}

function isObject(json: Json | undefined): json is { readonly [name: string]: Json } {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function isNear(a: Json | undefined, b: Json | undefined): boolean {
  return typeof a === "number" && typeof b === "number" && a > 0 && b > 0 && Math.abs(a - b) <= ttlTolerance;
}

import type { Json, JsonMessage } from "./operation.ts";
import { key, largest, lease, type Pools, range, revision, value, weighted } from "./pools.ts";

/** Operations of a transaction that is too large by one. */
const tooManyOps = 129;
const deepest = 3;

export function rangeRequest(pools: Pools): JsonMessage {
  const { chance, revision: now } = pools;
  const request: Record<string, Json> = range(chance);
  if (chance.happens(0.3))
    request["limit"] = weighted<Json>(chance, [
      [9, chance.whole(1, 5)],
      [1, -1],
      [1, largest],
    ]);
  if (chance.happens(0.35)) request["revision"] = revision(pools);
  if (chance.happens(0.35))
    request["sortOrder"] = weighted(chance, [
      [30, chance.whole(1, 2)],
      [1, 3],
      [1, -1],
    ]);
  if (chance.happens(0.35)) request["sortTarget"] = chance.whole(1, 4);
  for (const bound of ["minModRevision", "maxModRevision", "minCreateRevision", "maxCreateRevision"]) {
    if (chance.happens(0.08)) request[bound] = chance.happens(0.1) ? -1 : Math.max(1, now - chance.whole(-1, 25));
  }
  for (const flag of ["serializable", "keysOnly", "countOnly"]) if (chance.happens(0.12)) request[flag] = true;
  return request;
}

export function putRequest(pools: Pools): JsonMessage {
  const { chance } = pools;
  const request: Record<string, Json> = { key: key(chance) };
  if (chance.happens(0.9)) request["value"] = value(chance);
  if (chance.happens(0.3)) request["lease"] = lease(pools);
  if (chance.happens(0.3)) request["prevKv"] = true;
  if (chance.happens(0.08)) {
    request["ignoreValue"] = true;
    if (chance.happens(0.8)) delete request["value"];
  }
  if (chance.happens(0.08)) {
    request["ignoreLease"] = true;
    if (chance.happens(0.8)) delete request["lease"];
  }
  return request;
}

export function deleteRequest({ chance }: Pools): JsonMessage {
  const request = chance.happens(0.6) ? { key: key(chance) } : range(chance);
  return chance.happens(0.4) ? { ...request, prevKv: true } : request;
}

export function compactRequest(pools: Pools): JsonMessage {
  const request: JsonMessage = { revision: revision(pools) };
  return pools.chance.happens(0.3) ? { ...request, physical: true } : request;
}

export function txnRequest(pools: Pools): JsonMessage {
  const request = txn(pools, 0);
  const text = JSON.stringify(request);
  // Together they may end etcd (a panic), which overlooks that such a deletion takes the key away.
  const isDeadly =
    /"requestDeleteRange":{[^}]*"rangeEnd":"\\u0000"/.test(text) && /"ignore(Value|Lease)":true/.test(text);
  return isDeadly ? txnRequest(pools) : request;
}

function txn(pools: Pools, depth: number): JsonMessage {
  const { chance } = pools;
  const list = (most: number, make: () => Json): Json[] => Array.from({ length: chance.whole(0, most) }, make);
  const request: Record<string, Json> = {
    compare: list(2, () => compare(pools)),
    success: list(3, () => op(pools, depth)),
    failure: list(2, () => op(pools, depth)),
  };
  if (chance.happens(0.01)) {
    const branch = chance.pick(["success", "failure", "compare"]);
    const make = (): Json => (branch === "compare" ? { key: "a" } : { requestRange: { key: "a" } });
    request[branch] = Array.from({ length: tooManyOps - chance.whole(0, 2) }, make);
  }
  return request;
}

function op(pools: Pools, depth: number): Json {
  const { chance } = pools;
  return weighted<() => Json>(chance, [
    [10, () => ({ requestPut: putRequest(pools) })],
    [8, () => ({ requestRange: rangeOfTxn(pools) })],
    [4, () => ({ requestDeleteRange: deleteRequest(pools) })],
    [depth < deepest ? 4 : 0, () => ({ requestTxn: txn(pools, depth + 1) })],
    [0.2, () => ({})],
  ])();
}

/** A revision below 0 is compacted in a transaction once anything is, and etcd's past before it was emptied counts. */
function rangeOfTxn(pools: Pools): JsonMessage {
  const { revision: at, ...request } = rangeRequest(pools);
  const isIn = at !== undefined && !(at === -1 && pools.compacted === 0);
  return isIn ? { ...request, revision: at } : request;
}

function compare(pools: Pools): Json {
  const { chance, revision: now } = pools;
  const target = weighted(chance, [
    [40, chance.whole(0, 4)],
    [1, 5],
  ]);
  const someRevision = chance.happens(0.3) ? 0 : Math.max(0, now - chance.whole(0, 20));
  const given: readonly (readonly [name: string, value: Json])[] = [
    ["version", chance.whole(0, 4)],
    ["createRevision", someRevision],
    ["modRevision", someRevision],
    ["value", chance.pick(["x", "y", ""])],
    ["lease", chance.happens(0.5) ? 0 : lease(pools)],
  ];
  const [name, sought] = (chance.happens(0.03) ? chance.pick(given) : given[target]) ?? ["version", 1];
  // Ids that the servers chose have no order that both have.
  const isNamed = typeof sought === "string" && sought.startsWith("lease:");
  const result = isNamed
    ? chance.pick([0, 3])
    : weighted(chance, [
        [40, chance.whole(0, 3)],
        [1, 4],
      ]);
  const where = chance.happens(0.75) ? { key: key(chance) } : range(chance);
  return { ...where, target, result, ...(chance.happens(0.97) && { [name]: sought }) };
}

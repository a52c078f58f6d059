import { deleteRequest, putRequest, rangeRequest, txnRequest } from "./generate-kv.ts";
import type { Json, JsonMessage, Operation } from "./operation.ts";
import { lease, type Pools, revision, weighted } from "./pools.ts";

const noSpace = 1;
const corrupt = 2;
const activate = 1;
const deactivate = 2;
/** Members that raise alarms: 0 is nobody, and none of these is there. */
const members = [0, 7, 8] as const;

/** What only an etcd without a past can be asked, so that both have the same history: hashes, alarms, members. */
export function upkeepOperation(pools: Pools): Operation[] {
  const { chance } = pools;
  return weighted<() => Operation[]>(chance, [
    [12, () => [call("Maintenance.HashKV", hashRequest(pools))]],
    [2, () => [call("Maintenance.Status", {})]],
    [1, () => [call("Maintenance.Defragment", {})]],
    [0.7, () => [call("Maintenance.MoveLeader", { targetID: 404 })]],
    [0.7, () => [call("Cluster.MemberRemove", { ID: 404 })]],
    [0.7, () => [call("Cluster.MemberUpdate", { ID: 404, peerURLs: ["http://localhost:1"] })]],
    [0.7, () => [call("Cluster.MemberPromote", { ID: 404 })]],
    [0.7, () => [call("Cluster.MemberAdd", { peerURLs: chance.pick([[], ["nonsense"], ["http://a:1/path"]]) })]],
    [4, () => underAlarms(pools)],
  ])();
}

/** Not at a revision of a compaction: a known difference. */
function hashRequest(pools: Pools): JsonMessage {
  if (pools.chance.happens(0.3)) return {};
  const at = revision(pools);
  return pools.compactions.has(at) ? {} : { revision: at };
}

/** Raises alarms, tries what they forbid, and ends them. Events have come before and wait until after it. */
function underAlarms(pools: Pools): Operation[] {
  const { chance } = pools;
  const alarm = (action: number): Operation =>
    call("Maintenance.Alarm", { action, memberID: chance.pick(members), alarm: chance.whole(0, 2) });
  const first = call("Maintenance.Alarm", { action: activate, alarm: chance.pick([noSpace, corrupt]) });
  const during = Array.from({ length: chance.whole(3, 10) }, () =>
    weighted<() => Operation>(chance, [
      [6, () => call("KV.Put", withoutLarge(putRequest(pools)))],
      [3, () => call("KV.Range", rangeRequest(pools))],
      [3, () => call("KV.DeleteRange", deleteRequest(pools))],
      [6, () => call("KV.Txn", flatTxn(pools))],
      [2, () => call("Lease.LeaseGrant", { ID: lease(pools), TTL: 600 })],
      [2, () => call("Lease.LeaseRevoke", { ID: lease(pools) })],
      [2, () => ({ keepAlive: [lease(pools)], on: 0 })],
      [1, () => call("Maintenance.Status", {})],
      [1, () => call("Maintenance.HashKV", {})],
      [3, () => alarm(chance.whole(0, 2))],
    ])(),
  );
  const ends = members.flatMap((memberID) =>
    [noSpace, corrupt].map((kind) => call("Maintenance.Alarm", { action: deactivate, memberID, alarm: kind })),
  );
  return [{ settle: true }, first, ...during, ...ends, { settle: true }];
}

/** Nested ones are a known difference then. */
function flatTxn(pools: Pools): JsonMessage {
  const request = txnRequest(pools);
  return JSON.stringify(request).includes('"requestTxn"') ? flatTxn(pools) : request;
}

function withoutLarge(request: JsonMessage): JsonMessage {
  return typeof request["value"] === "object" ? { ...request, value: "x" } : request;
}

function call(name: string, request: Readonly<Record<string, Json>>): Operation {
  return { call: name, on: 0, request };
}

import { deleteRequest, putRequest, rangeRequest, txnRequest } from "./generate-kv.ts";
import type { Json, JsonMessage, Operation } from "./operation.ts";
import { key, lease, type Pools, range, weighted } from "./pools.ts";

const names = ["u1", "u2", "u3"] as const;
const roles = ["r1", "r2", "r3"] as const;
const passwords = ["p1", "p2", ""] as const;

/**
 * Whoever empties etcd afterwards signs in as `root` with this password, so no operation takes that away while
 * authentication is on.
 */
export const rootPassword = "root";

/** What turns authentication on, and signs everybody in. */
export function authOpening({ chance }: Pools): Operation[] {
  return [
    call("UserAdd", { name: "root", password: rootPassword }),
    ...names.slice(1).map((name) => call("UserAdd", { name, password: "p1" })),
    ...roles.slice(1).map((name) => call("RoleAdd", { name })),
    ...roles.slice(1).map((name) => call("RoleGrantPermission", { name, perm: permission(chance) })),
    call("UserGrantRole", { user: "u2", role: "r2" }),
    call("AuthEnable", {}),
    call("UserGrantRole", { user: "root", role: "root" }),
    call("AuthEnable", {}),
    ...["root", ...names.slice(1)].map((name) => signIn(name, name === "root" ? rootPassword : "p1")),
  ];
}

/** One step where authentication is on, most of the time. */
export function authOperation(pools: Pools): Operation {
  const operation = anyOperation(pools);
  return hasInvertedRange(operation) ? authOperation(pools) : operation;
}

/** Calls of the Auth service that change nothing. */
const reads = /^Auth\.(Authenticate|UserGet|UserList|RoleGet|RoleList|AuthStatus)$/;

/**
 * Some steps where tokens are signed: each change of users or roles makes those of before useless, so most of the time
 * everybody signs in again. Others come from nobody who signed in.
 */
export function jwtOperations(pools: Pools): Operation[] {
  const { chance } = pools;
  if (chance.happens(0.15)) return [signOperation(pools)];
  const operation = authOperation(pools);
  const changes = "call" in operation && operation.call.startsWith("Auth.") && !reads.test(operation.call);
  if (!changes || chance.happens(0.2)) return [operation];
  return [operation, signIn("root", rootPassword), ...["u1", "u2", "u3"].map((name) => signIn(name, "p1")), status()];
}

/** What tells the revision of the auth store. */
export function status(): Operation {
  return { ...call("AuthStatus", {}), by: "token:root" } as Operation;
}

/** A token that is perhaps a good one. */
function signOperation({ chance, authRevision }: Pools): Operation {
  const username = weighted<Json>(chance, [
    [10, chance.pick(names)],
    [3, "root"],
    [1, chance.pick(["", 7])],
  ]);
  const revision = weighted<Json>(chance, [
    [10, authRevision],
    [2, authRevision + chance.pick([-1, 1])],
    [1, chance.pick(["1", null])],
  ]);
  const time = weighted<JsonMessage>(chance, [
    [8, { exp: 600 }],
    [1, {}],
    [1, { exp: -5 }],
    [1, { exp: 600, [chance.pick(["iat", "nbf"])]: chance.pick([-5, 600]) }],
    [1, { exp: chance.pick(["soon", null]) }],
  ]);
  const head = weighted<Json>(chance, [
    [10, { alg: "HS256", typ: "JWT" }],
    [1, chance.pick([{ alg: "HS384" }, { alg: "none" }, {}, null])],
  ]);
  const as = `token:${typeof username === "string" && username !== "" ? username : "u1"}`;
  return { sign: { username, revision, ...time }, head, as };
}

/** Whether a range ends before it begins: who may read that, etcd decides by the shape of a tree. */
function hasInvertedRange(json: unknown): boolean {
  if (typeof json !== "object" || json === null) return false;
  const { key: start, rangeEnd: end } = json as { key?: unknown; rangeEnd?: unknown };
  if (typeof start === "string" && typeof end === "string" && end > "\u0000" && end <= start) return true;
  return Object.values(json).some(hasInvertedRange);
}

function anyOperation(pools: Pools): Operation {
  const { chance } = pools;
  const by = weighted<Json>(chance, [
    [6, "token:root"],
    [4, "token:u1"],
    [6, "token:u2"],
    [1, "token:none"],
    [1, null],
  ]);
  const as = (operation: Operation): Operation => (by === null ? operation : ({ ...operation, by } as Operation));
  const name = (): string =>
    weighted(chance, [
      [20, chance.pick(names)],
      [2, "root"],
      [1, ""],
    ]);
  const role = (): string =>
    weighted(chance, [
      [20, chance.pick(roles)],
      [2, "root"],
      [1, ""],
    ]);
  const ordinary = (): string => chance.pick(names);
  return weighted<() => Operation>(chance, [
    [10, () => as(kv("KV.Put", withoutLarge(putRequest(pools))))],
    [10, () => as(kv("KV.Range", rangeRequest(pools)))],
    [5, () => as(kv("KV.DeleteRange", deleteRequest(pools)))],
    [10, () => as(kv("KV.Txn", txnRequest(pools)))],
    [2, () => as(kv("Lease.LeaseGrant", { ID: lease(pools), TTL: 600 }))],
    [1, () => as(kv("Lease.LeaseRevoke", { ID: lease(pools) }))],
    [2, () => as(kv("Lease.LeaseTimeToLive", { ID: lease(pools), keys: chance.happens(0.7) }))],
    [0.5, () => as(kv("Lease.LeaseLeases", {}))],
    [0.5, () => as({ keepAlive: [lease(pools)], on: 0 })],
    [3, () => as({ watchOnce: range(chance), on: 1 })],
    [0.3, () => as(kv("KV.Compact", { revision: Math.max(1, pools.revision - chance.whole(0, 10)) }))],
    [0.5, () => as(kv("Maintenance.Alarm", {}))],
    [6, () => signIn(ordinary(), chance.pick(passwords))],
    [1, () => signIn("root", chance.happens(0.9) ? rootPassword : "p1")],
    [2, () => as(call("UserAdd", { name: chance.happens(0.05) ? "" : ordinary(), ...newPassword(pools) }))],
    [0.5, () => as(call("UserDelete", { name: name() }))],
    [1, () => as(call("UserChangePassword", { name: ordinary(), password: chance.pick(passwords) }))],
    [3, () => as(call("UserGrantRole", { user: name(), role: role() }))],
    [1.5, () => as(call("UserRevokeRole", { name: name(), role: role() }))],
    [2, () => as(call("UserGet", { name: name() }))],
    [1, () => as(call("UserList", {}))],
    [1, () => as(call("RoleAdd", { name: role() }))],
    [0.5, () => as(call("RoleDelete", { role: role() }))],
    [2, () => as(call("RoleGet", { role: role() }))],
    [1, () => as(call("RoleList", {}))],
    [4, () => as(call("RoleGrantPermission", { name: role(), perm: permission(chance) }))],
    [2, () => as(call("RoleRevokePermission", { role: role(), ...range(chance) }))],
    [1, () => as(call("AuthStatus", {}))],
    [0.6, () => as(call("AuthEnable", {}))],
    [0.15, () => as(call("AuthDisable", {}))],
  ])();
}

function call(method: string, request: JsonMessage): Operation {
  return { call: `Auth.${method}`, on: 0, request };
}

function kv(name: string, request: JsonMessage): Operation {
  return { call: name, on: 1, request };
}

function signIn(name: string, password: string): Operation {
  return { call: "Auth.Authenticate", on: 0, request: { name, password }, as: `token:${name}` };
}

function newPassword({ chance }: Pools): Record<string, Json> {
  if (chance.happens(0.15)) return { options: { noPassword: true } };
  return { password: chance.pick(passwords) };
}

function permission(chance: Pools["chance"]): Json {
  const where = chance.happens(0.5) ? { key: key(chance) } : range(chance);
  const { rangeEnd, ...rest } = where as { rangeEnd?: Json; key: Json };
  return { permType: chance.whole(0, 2), ...rest, ...(rangeEnd !== undefined && { rangeEnd }) };
}

function withoutLarge(request: JsonMessage): JsonMessage {
  return typeof request["value"] === "object" ? { ...request, value: "x" } : request;
}

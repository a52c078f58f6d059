import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { Auth, KV, Permission_Type as PermissionType } from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";
import {
  AuthUsers,
  bytes,
  invalidToken,
  ok,
  type Outcome,
  outcomeOf,
  permissionDenied,
  putTxn,
  rootPassword,
  userEmpty,
} from "./auth-users.ts";
import type { Harness } from "./harness.ts";

const authFailed = { status: "3", message: "etcdserver: authentication failed, invalid user ID or password" };
const userNotFound = { status: "9", message: "etcdserver: user name not found" };
const roleNotFound = { status: "9", message: "etcdserver: role name not found" };
const invalidManagement = { status: "3", message: "etcdserver: invalid auth management" };

/** Users, roles and tokens. Each case turns authentication on for itself and off again. */
export function authCases(h: Harness): void {
  describe("auth", () => {
    it("cannot be enabled before there is a user root with the role root", async () => {
      const raw = h.raw();
      const enable = async (): Promise<Outcome> => outcomeOf(await raw.unary(Auth.method.authEnable, {}));
      expect(await enable()).toEqual({ status: "9", message: "etcdserver: root user does not exist" });
      await using users = await AuthUsers.create(h);
      await users.must(Auth.method.userRevokeRole, { name: "root", role: "root" });
      expect(await enable()).toEqual({ status: "9", message: "etcdserver: root user does not have root role" });
      const answer = await raw.unary(Auth.method.authenticate, { name: "root", password: rootPassword });
      expect(outcomeOf(answer)).toEqual({ status: "9", message: "etcdserver: authentication is not enabled" });
    });

    it("refuses users and roles that are there, or not, or have no name", async () => {
      await using users = await AuthUsers.create(h);
      await users.add("ann", { key: "a" });
      const calls = callsOf(users);
      expect(await calls.userAdd({ name: "ann" })).toEqual(refused("9", "user name already exists"));
      expect(await calls.userAdd({ name: "" })).toEqual(userEmpty);
      expect(await calls.userGet({ name: "bob" })).toEqual(userNotFound);
      expect(await calls.userDelete({ name: "bob" })).toEqual(userNotFound);
      expect(await calls.userChangePassword({ name: "bob", password: "b" })).toEqual(userNotFound);
      expect(await calls.userGrantRole({ user: "bob", role: "ann" })).toEqual(userNotFound);
      expect(await calls.userGrantRole({ user: "ann", role: "none" })).toEqual(roleNotFound);
      expect(await calls.userGrantRole({ user: "ann", role: "ann" })).toEqual(ok);
      expect(await calls.userRevokeRole({ name: "ann", role: "root" })).toEqual(
        refused("9", "role is not granted to the user"),
      );
      expect(await calls.roleAdd({ name: "ann" })).toEqual(refused("9", "role name already exists"));
      expect(await calls.roleAdd({ name: "" })).toEqual(refused("3", "role name is empty"));
      expect(await calls.roleGet({ role: "root" })).toEqual(roleNotFound);
      expect(await calls.roleDelete({ role: "none" })).toEqual(roleNotFound);
      expect(await calls.roleGrantPermission({ name: "none", perm: { key: bytes("a") } })).toEqual(roleNotFound);
      const empty = { key: bytes("b"), rangeEnd: bytes("a") };
      expect(await calls.roleGrantPermission({ name: "ann", perm: empty })).toEqual(invalidManagement);
      expect(await calls.roleRevokePermission({ role: "ann", key: bytes("b") })).toEqual(
        refused("9", "permission is not granted to the role"),
      );
    });

    it("refuses a password of more than 72 bytes", async () => {
      await using users = await AuthUsers.create(h);
      const answer = await users.call(Auth.method.userAdd, { name: "ann", password: "p".repeat(73) });
      expect(answer).toEqual({ status: "2", message: "bcrypt: password length exceeds 72 bytes" });
    });

    it("lists users and roles by name, and what a role permits by key", async () => {
      await using users = await AuthUsers.create(h);
      await users.add("ann", { key: "b", type: "read" }, { key: "a", rangeEnd: "c" }, { key: "b", type: "write" });
      const raw = h.raw();
      const list = await raw.unary(Auth.method.userList, {});
      expect(list.messages[0]).toMatchObject({ users: ["ann", "root"] });
      const role = await raw.unary(Auth.method.roleGet, { role: "ann" });
      expect(role.messages[0]).toMatchObject({
        perm: [
          { key: bytes("a"), rangeEnd: bytes("c"), permType: PermissionType.READWRITE },
          { key: bytes("b"), rangeEnd: new Uint8Array(0), permType: PermissionType.WRITE },
        ],
      });
    });

    it("counts its changes", async () => {
      await using users = await AuthUsers.create(h);
      const raw = h.raw();
      const revision = async (): Promise<bigint> => {
        const { messages } = await raw.unary(Auth.method.authStatus, {});
        return (messages[0] as unknown as { authRevision: bigint }).authRevision;
      };
      const before = await revision();
      await users.add("ann", { key: "a" });
      expect(await revision()).toBe(before + 4n);
    });

    it("lets root do everything, and nobody else without a token", async () => {
      await using users = await AuthUsers.create(h);
      const key = bytes(h.name());
      await users.enable();
      const root = await users.root();
      expect(await users.call(KV.method.put, { key }, root)).toEqual(ok);
      for (const headers of [{}, { token: "none.1" }, { token: "nonsense" }]) {
        const expected = "token" in headers ? invalidToken : userEmpty;
        expect(await users.call(KV.method.put, { key }, headers)).toEqual(expected);
        expect(await users.call(KV.method.range, { key }, headers)).toEqual(expected);
        expect(await users.call(KV.method.deleteRange, { key }, headers)).toEqual(expected);
        expect(await users.call(KV.method.txn, putTxn(key), headers)).toEqual(expected);
        expect(await users.call(KV.method.compact, { revision: 1n }, headers)).toEqual(expected);
        expect(await users.call(Auth.method.userList, {}, headers)).toEqual(expected);
      }
    });

    it("takes the token under the name authorization as well", async () => {
      await using users = await AuthUsers.create(h);
      await users.enable();
      const { token } = await users.root();
      expect(await users.call(KV.method.range, { key: bytes("a") }, { authorization: token })).toEqual(ok);
    });

    it("refuses wrong passwords, unknown users, and users without a password", async () => {
      await using users = await AuthUsers.create(h);
      await users.must(Auth.method.userAdd, { name: "certified", options: { noPassword: true } });
      await users.must(Auth.method.userAdd, { name: "empty", password: "" });
      await users.enable();
      const authenticate = (name: string, password: string): Promise<Outcome> =>
        users.call(Auth.method.authenticate, { name, password });
      expect(await authenticate("root", "wrong")).toEqual(authFailed);
      expect(await authenticate("bob", "bob")).toEqual(authFailed);
      expect(await authenticate("certified", "")).toEqual({
        status: "2",
        message: "auth: authentication failed, password was given for no password user",
      });
      expect(await authenticate("empty", "")).toEqual(ok);
    });

    it("keeps itself for root, but for what users ask about themselves", async () => {
      await using users = await AuthUsers.create(h);
      await users.add("ann");
      await users.enable();
      const [ann, root] = [await users.signedIn("ann"), await users.root()];
      const calls = callsOf(users, ann);
      expect(await calls.userGet({ name: "ann" })).toEqual(ok);
      expect(await calls.userGet({ name: "root" })).toEqual(permissionDenied);
      expect(await calls.roleGet({ role: "ann" })).toEqual(ok);
      expect(await calls.roleGet({ role: "root" })).toEqual(permissionDenied);
      expect(await calls.userChangePassword({ name: "ann", password: "new" })).toEqual(permissionDenied);
      expect(await users.call(Auth.method.authDisable, {}, ann)).toEqual(permissionDenied);
      const rootCalls = callsOf(users, root);
      expect(await rootCalls.userDelete({ name: "root" })).toEqual(invalidManagement);
      expect(await rootCalls.userRevokeRole({ name: "root", role: "root" })).toEqual(invalidManagement);
      expect(await rootCalls.roleDelete({ role: "root" })).toEqual(invalidManagement);
    });

    it("ends the tokens of a user who is deleted or has another password", async () => {
      await using users = await AuthUsers.create(h);
      await users.add("ann", { key: "a" });
      await users.enable();
      const root = callsOf(users, await users.root());
      const read = (headers: Readonly<Record<string, string>>): Promise<Outcome> =>
        users.call(KV.method.range, { key: bytes("a") }, headers);
      const before = await users.signedIn("ann");
      expect(await read(before)).toEqual(ok);
      expect(await root.userChangePassword({ name: "ann", password: "new" })).toEqual(ok);
      expect(await read(before)).toEqual(invalidToken);
      const after = await users.signedIn("ann", "new");
      expect(await root.roleDelete({ role: "ann" })).toEqual(ok);
      expect(await read(after)).toEqual(permissionDenied);
      expect(await root.userDelete({ name: "ann" })).toEqual(ok);
      expect(await read(after)).toEqual(invalidToken);
    });
  });
}

function refused(status: string, text: string): Outcome {
  return { status, message: `etcdserver: ${text}` };
}

/** Methods of the Auth service by name. */
function callsOf(users: AuthUsers, headers: Readonly<Record<string, string>> = {}) {
  const call =
    <M extends DescMethod>(method: M) =>
    (request: MessageInitShape<M["input"]>): Promise<Outcome> =>
      users.call(method, request, headers);
  return {
    userAdd: call(Auth.method.userAdd),
    userGet: call(Auth.method.userGet),
    userDelete: call(Auth.method.userDelete),
    userChangePassword: call(Auth.method.userChangePassword),
    userGrantRole: call(Auth.method.userGrantRole),
    userRevokeRole: call(Auth.method.userRevokeRole),
    roleAdd: call(Auth.method.roleAdd),
    roleGet: call(Auth.method.roleGet),
    roleDelete: call(Auth.method.roleDelete),
    roleGrantPermission: call(Auth.method.roleGrantPermission),
    roleRevokePermission: call(Auth.method.roleRevokePermission),
  };
}

import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { Cluster, KV, Lease, type LeaseGrantResponse, Maintenance, Watch, type WatchResponse } from "@tenure/etcd/rpc";
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
  userEmpty,
} from "./auth-users.ts";
import type { Harness } from "./harness.ts";

/** Who may do what. Each case turns authentication on for itself and off again. */
export function permissionCases(h: Harness): void {
  describe("permissions", () => {
    it("permits keys, ranges, prefixes and all keys from one on, for reading or writing", async () => {
      await using users = await AuthUsers.create(h);
      const p = `${h.name()}/`;
      await users.add(
        "ann",
        { key: `${p}one` },
        { key: `${p}r`, type: "read" },
        { key: `${p}w`, type: "write" },
        { key: `${p}b`, rangeEnd: `${p}d` },
        { key: `${p}d`, rangeEnd: `${p}f`, type: "read" },
        { key: "\u007f", rangeEnd: "\0" },
      );
      await users.enable();
      const ann = await users.signedIn("ann");
      const may = async (method: DescMethod, key: string, rangeEnd = ""): Promise<boolean> => {
        const range = method === KV.method.put ? {} : { rangeEnd: bytes(rangeEnd) };
        const outcome = await users.call(method, { key: bytes(key), ...range }, ann);
        expect([ok, permissionDenied]).toContainEqual(outcome);
        return outcome.status === "0";
      };
      const { range, put, deleteRange } = KV.method;
      expect(await Promise.all([may(range, `${p}one`), may(put, `${p}one`), may(range, `${p}on`)])).toEqual([
        true,
        true,
        false,
      ]);
      expect(await Promise.all([may(range, `${p}r`), may(put, `${p}r`)])).toEqual([true, false]);
      expect(await Promise.all([may(range, `${p}w`), may(put, `${p}w`), may(deleteRange, `${p}w`)])).toEqual([
        false,
        true,
        true,
      ]);
      // Ranges that adjoin count as one.
      expect(await Promise.all([may(range, `${p}b`, `${p}f`), may(range, `${p}b`, `${p}f\0`)])).toEqual([true, false]);
      expect(await Promise.all([may(deleteRange, `${p}b`, `${p}d`), may(deleteRange, `${p}c`, `${p}e`)])).toEqual([
        true,
        false,
      ]);
      expect(await Promise.all([may(range, "\u007f", "\0"), may(range, "~", "\0"), may(range, "\0", "\0")])).toEqual([
        true,
        false,
        false,
      ]);
    });

    it("wants reading permission for previous values", async () => {
      await using users = await AuthUsers.create(h);
      const key = bytes(h.name());
      await users.add("ann", { key: key.toString(), type: "write" });
      await users.enable();
      const ann = await users.signedIn("ann");
      expect(await users.call(KV.method.put, { key }, ann)).toEqual(ok);
      expect(await users.call(KV.method.put, { key, prevKv: true }, ann)).toEqual(permissionDenied);
      expect(await users.call(KV.method.deleteRange, { key, prevKv: true }, ann)).toEqual(permissionDenied);
      expect(await users.call(KV.method.deleteRange, { key }, ann)).toEqual(ok);
    });

    it("looks at all of a transaction: compares, both branches, and nested ones", async () => {
      await using users = await AuthUsers.create(h);
      const name = h.name();
      const [own, read, foreign] = [bytes(`${name}/own`), bytes(`${name}/read`), bytes(`${name}/foreign`)];
      await users.add("ann", { key: `${name}/own` }, { key: `${name}/read`, type: "read" });
      await users.enable();
      const ann = await users.signedIn("ann");
      type Txn = MessageInitShape<typeof KV.method.txn.input>;
      const txn = (request: Txn): Promise<Outcome> => users.call(KV.method.txn, request, ann);
      const allowed: readonly Txn[] = [
        {},
        putTxn(own),
        { compare: [{ key: read }], ...putTxn(own) },
        { success: [{ request: { case: "requestTxn", value: putTxn(own) } }] },
      ];
      const denied: readonly Txn[] = [
        putTxn(read),
        { compare: [{ key: foreign }], ...putTxn(own) },
        { failure: [{ request: { case: "requestPut", value: { key: foreign } } }] },
        { success: [{ request: { case: "requestRange", value: { key: foreign } } }] },
        { success: [{ request: { case: "requestDeleteRange", value: { key: read } } }] },
        { success: [{ request: { case: "requestTxn", value: putTxn(foreign) } }] },
        { failure: [{ request: { case: "requestTxn", value: { compare: [{ key: foreign }] } } }] },
      ];
      for (const request of allowed) expect(await txn(request)).toEqual(ok);
      for (const request of denied) expect(await txn(request)).toEqual(permissionDenied);
    });

    it("cancels a watch that is not permitted, and leaves the others of its stream", async () => {
      await using users = await AuthUsers.create(h);
      const name = h.name();
      await users.add("ann", { key: name });
      await users.enable();
      const raw = h.raw();
      const ann = await users.signedIn("ann");
      const firstAnswer = async (call: ReturnType<typeof raw.open>, key: string, count = 1): Promise<WatchResponse> => {
        call.send({ requestUnion: { case: "createRequest", value: { key: bytes(key) } } });
        return (await call.received(count))[count - 1] as WatchResponse;
      };
      const call = raw.open(Watch.method.watch, ann);
      const denied = { watchId: -1n, created: true, canceled: true };
      expect(await firstAnswer(call, "foreign")).toMatchObject({
        ...denied,
        cancelReason: "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
      });
      expect(await firstAnswer(call, name, 2)).toMatchObject({ created: true, canceled: false });
      expect(await users.call(KV.method.put, { key: bytes(name) }, ann)).toEqual(ok);
      expect((await call.received(3))[2]).toMatchObject({ events: [{ kv: { key: bytes(name) } }] });
      expect(await firstAnswer(raw.open(Watch.method.watch), name)).toMatchObject({
        ...denied,
        cancelReason: "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
      });
      expect(await firstAnswer(raw.open(Watch.method.watch, { token: "none.1" }), name)).toMatchObject({
        ...denied,
        cancelReason: "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
      });
    });

    it("keeps a lease from those who may not put all its keys", async () => {
      await using users = await AuthUsers.create(h);
      const name = h.name();
      await users.add("ann", { key: `${name}/ann` }, { key: `${name}/shared`, type: "read" });
      await users.add("bob", { key: `${name}/bob` }, { key: `${name}/shared` });
      await users.enable();
      const [ann, bob, root] = [await users.signedIn("ann"), await users.signedIn("bob"), await users.root()];
      const raw = h.raw();
      const grant = await raw.unary(Lease.method.leaseGrant, { TTL: 60n }, ann);
      const { ID } = grant.messages[0] as LeaseGrantResponse;
      const put = (key: string, headers: Readonly<Record<string, string>>): Promise<Outcome> =>
        users.call(KV.method.put, { key: bytes(`${name}/${key}`), lease: ID }, headers);
      const calls = async (headers: Readonly<Record<string, string>>): Promise<readonly Outcome[]> => [
        await keepAlive(raw, ID, headers),
        await users.call(Lease.method.leaseTimeToLive, { ID }, headers),
        await users.call(Lease.method.leaseTimeToLive, { ID, keys: true }, headers),
        await users.call(Lease.method.leaseRevoke, { ID }, headers),
      ];
      expect(await put("ann", ann)).toEqual(ok);
      expect(await put("bob", bob)).toEqual(permissionDenied);
      expect(await calls(bob)).toEqual([permissionDenied, ok, permissionDenied, permissionDenied]);
      expect(await put("shared", root)).toEqual(ok);
      expect(await calls(ann)).toEqual([permissionDenied, ok, ok, permissionDenied]);
      expect(await calls(root)).toEqual([ok, ok, ok, ok]);
    });

    it("wants a token for everything about leases, members and alarms", async () => {
      await using users = await AuthUsers.create(h);
      await users.add("ann");
      await users.enable();
      const ann = await users.signedIn("ann");
      const calls = async (headers: Readonly<Record<string, string>>): Promise<readonly Outcome[]> => [
        await users.call(Lease.method.leaseGrant, { TTL: 2n }, headers),
        await users.call(Lease.method.leaseRevoke, { ID: 1n }, headers),
        await users.call(Lease.method.leaseTimeToLive, { ID: 1n }, headers),
        await keepAlive(h.raw(), 1n, headers),
        await users.call(Cluster.method.memberList, {}, headers),
        await users.call(Maintenance.method.alarm, {}, headers),
      ];
      const notFound = { status: "5", message: "etcdserver: requested lease not found" };
      expect(await calls(ann)).toEqual([ok, notFound, ok, ok, ok, ok]);
      expect(await calls({})).toEqual(Array.from({ length: 6 }, () => userEmpty));
      // Whoever has a token may still not list the leases of others.
      expect(await users.call(Lease.method.leaseLeases, {})).toEqual(userEmpty);
      expect(await calls({ token: "none.1" })).toEqual(Array.from({ length: 6 }, () => invalidToken));
    });

    it("keeps maintenance for root", async () => {
      await using users = await AuthUsers.create(h);
      await users.add("ann");
      await users.enable();
      const [ann, root] = [await users.signedIn("ann"), await users.root()];
      const calls = async (headers: Readonly<Record<string, string>>): Promise<readonly Outcome[]> => [
        await users.call(Maintenance.method.status, {}, headers),
        await users.call(Maintenance.method.alarm, { action: 2, alarm: 1 }, headers),
        await users.call(Maintenance.method.defragment, {}, headers),
        await users.call(Maintenance.method.hash, {}, headers),
        await users.call(Maintenance.method.hashKV, {}, headers),
        await users.call(Cluster.method.memberPromote, { ID: 1n }, headers),
      ];
      // Some of these refusals come in etcd's inner words.
      const inner = { status: "2", message: "auth: permission denied" };
      expect(await calls(ann)).toEqual([permissionDenied, permissionDenied, inner, inner, inner, permissionDenied]);
      const memberNotFound = { status: "5", message: "etcdserver: member not found" };
      expect(await calls(root)).toEqual([ok, ok, ok, ok, ok, memberNotFound]);
    });

    it("lets a candidate campaign who may use the election's keys only", async () => {
      await using users = await AuthUsers.create(h);
      const name = h.name();
      await users.add("ann", { key: `${name}/`, rangeEnd: `${name}0` });
      await users.enable();
      const client = h.client({ auth: { user: "ann", password: "ann" } });
      const term = await client.election(name).campaign("a");
      await term.proclaim("b");
      expect(await client.election(name).leader()).toMatchObject({ value: "b" });
      await term.resign();
      await client.close();
    });
  });
}

/** One keep-alive on a stream of its own. */
async function keepAlive(
  raw: ReturnType<Harness["raw"]>,
  ID: bigint,
  headers: Readonly<Record<string, string>>,
): Promise<Outcome> {
  const call = raw.open(Lease.method.leaseKeepAlive, headers);
  call.send({ ID });
  await Promise.race([call.received(1), call.answer]);
  call.stream.end();
  return outcomeOf(await call.answer);
}

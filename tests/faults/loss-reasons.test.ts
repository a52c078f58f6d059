import { connect, type Term, TenureError } from "tenure";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { patienceMs } from "./witness.ts";

const ttlMs = 2000;

let etcd: RealEtcd;

beforeAll(async () => {
  etcd = await startEtcd();
});
afterAll(() => etcd.stop());

/** Why a term ended, once it has. */
async function reasonOf({ signal }: Term): Promise<TenureError> {
  await until(() => signal.aborted, { what: "signal", timeoutMs: patienceMs });
  const reason: unknown = signal.reason;
  if (reason instanceof TenureError) return reason;
  throw new Error("the signal has no reason", { cause: reason });
}

// Go's session closes a channel, and nothing says whether the lease expired, was revoked, or may not be renewed.
describe("the reason that a term's signal carries (etcd#8181, etcd#10821)", () => {
  it("says that the lease expired, when it could not be kept alive", async () => {
    await using link = await startProxy(etcd.endpoint);
    await using client = connect({ endpoints: [link.endpoint] });
    const term = await client.election("expired", { ttlMs }).campaign("a");
    link.blackhole();
    const reason = await reasonOf(term);
    link.heal();
    expect(reason).toMatchObject({ code: "leadership-lost", sessionEnd: "expired" });
    expect(reason.message).toContain(term.leaseId.toString(16));
  });

  it("says that the key was deleted, and names it", async () => {
    await using client = connect({ endpoints: [etcd.endpoint] });
    const term = await client.election("deleted", { ttlMs }).campaign("a");
    await client.etcd.kv.delete(term.key);
    const reason = await reasonOf(term);
    expect(reason).toMatchObject({ code: "leadership-lost", message: `the key ${term.key} was deleted` });
    expect(reason.sessionEnd).toBeUndefined();
  });

  it("says that it stepped down, when it did: that is another code", async () => {
    await using client = connect({ endpoints: [etcd.endpoint] });
    const term = await client.election("resigned", { ttlMs }).campaign("a");
    await term.resign();
    expect(await reasonOf(term)).toMatchObject({ code: "not-leader" });
    await expect(term.proclaim("b")).rejects.toMatchObject({ code: "not-leader" });
  });

  it("says that the store does not let us keep the lease alive any more", async () => {
    await using guarded = await startEtcd();
    const commands = ["user add root:pw", "user grant-role root root", "user add ada:pw", "role add ada"];
    commands.push("user grant-role ada ada", "role grant-permission ada readwrite --prefix a/", "auth enable");
    for (const command of commands) await guarded.etcdctl(...command.split(" "));
    const client = connect({ endpoints: [guarded.endpoint], auth: { user: "ada", password: "pw" } });
    const term = await client.election("a", { ttlMs: 6000 }).campaign("a");
    const { code } = await guarded.etcdctl("--user=root:pw", "role", "revoke-permission", "ada", "a/", "a0");
    expect(code).toBe(0);
    expect(await reasonOf(term)).toMatchObject({ code: "leadership-lost", sessionEnd: "auth" });
    await client.close();
  });
});

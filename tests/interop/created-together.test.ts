import { connect, put } from "tenure";
import { describe, expect, it } from "vitest";
import { startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";

/** Ids whose keys are in another order than the ids: one hexadecimal digit, and two. */
const FIRST_KEY = 0x10n;
const SECOND_KEY = 0xfn;
const LEASE_SECONDS = 60n;

describe("candidates whose keys were created in one transaction", () => {
  it("stand in the order of their keys, to reads, observers, standbys and etcdctl", async () => {
    await using etcd = await startEtcd();
    await using client = connect({ endpoints: [etcd.endpoint] });
    const { kv, lease } = client.etcd;
    for (const id of [SECOND_KEY, FIRST_KEY]) await lease.grant(LEASE_SECONDS, { id });
    const observer = client.election("tie").observe();
    expect((await observer.next()).value).toBeNull();
    await client
      .txn()
      .success(put("tie/f", "second", { leaseId: SECOND_KEY }), put("tie/10", "first", { leaseId: FIRST_KEY }))
      .commit();

    expect((await settled(observer.next(), { what: "leader" })).value).toMatchObject({ value: "first" });
    expect(await client.election("tie").leader()).toMatchObject({ value: "first" });
    const standing = await client.election("tie").candidates();
    expect(standing.map(({ value }) => value)).toEqual(["first", "second"]);
    expect(new Set(standing.map(({ revision }) => revision)).size).toBe(1);
    const oldest = ["get", "tie/", "--prefix", "--sort-by=CREATE", "--order=ASCEND", "--limit=1"];
    expect((await etcd.etcdctl(...oldest)).stdout).toBe("tie/10\nfirst\n");

    const campaign = client.election("tie").campaign("third");
    await until(async () => (await client.election("tie").candidates()).length === 3, { what: "standby" });
    await kv.delete("tie/10");
    expect((await settled(observer.next(), { what: "next leader" })).value).toMatchObject({ value: "second" });
    expect((await etcd.etcdctl(...oldest)).stdout).toBe("tie/f\nsecond\n");
    await kv.delete("tie/f");
    expect((await settled(campaign, { what: "standby" })).held).toBe(true);
    await observer.return();
  });
});

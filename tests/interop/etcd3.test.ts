import { Etcd3 } from "etcd3";
import { describe, expect, it } from "vitest";
import { settled } from "../support/until.ts";
import { etcd3Prefix } from "./support/etcd3.ts";
import { stage } from "./support/stage.ts";
import { stand } from "./support/tenure.ts";

describe("npm etcd3", () => {
  const on = stage([]);

  function etcd3(): Etcd3 {
    const client = new Etcd3({ hosts: on.etcd.endpoint });
    on.use({ [Symbol.asyncDispose]: () => Promise.resolve(client.close()) });
    return client;
  }

  it("writes its lease in decimal after election/NAME/; Tenure takes the lease from the key's record", async () => {
    const name = on.name();
    const campaign = etcd3().election(name.slice(etcd3Prefix.length)).campaign("etcd3");
    await settled(campaign.wait(), { what: "election by etcd3" });
    const leader = await on.client().election(name).leader();
    const suffix = leader?.key.slice(name.length + 1) ?? "";
    expect(suffix).toMatch(/^\d+$/);
    expect(leader?.leaseId).toBe(BigInt(suffix));
    expect(await campaign.getCampaignKey()).toBe(leader?.key);
    await campaign.resign();
  });

  it("never meets Tenure in an election of the same name; with the namespace election/ it does", async () => {
    const name = on.name().slice(etcd3Prefix.length);
    const apart = await on.client().election(name).campaign("mine");
    const campaign = etcd3().election(name).campaign("etcd3");
    await settled(campaign.wait(), { what: "election by etcd3" });
    expect(apart.held).toBe(true); // both lead, each its own

    const together = on.client({ namespace: etcd3Prefix }).election(name);
    expect(await together.leader()).toMatchObject({ value: "etcd3" });
    const mine = stand(together, "mine");
    await on.queue(`${etcd3Prefix}${name}`, "etcd3", "mine");
    expect(mine.isElected).toBe(false);
    await campaign.resign();
    await settled(mine.elected, { what: "election of mine" });
  });

  it("tells a campaign that it resigned while waiting that it is elected; Tenure sees nobody", async () => {
    const name = on.name();
    const election = on.client().election(name);
    const term = await election.campaign("mine");
    const campaign = etcd3().election(name.slice(etcd3Prefix.length)).campaign("etcd3");
    const elected = new Promise<void>((resolve) => void campaign.on("elected", resolve));
    campaign.on("error", () => undefined);
    await on.queue(name, "mine", "etcd3");
    await campaign.resign();
    await on.queue(name, "mine");
    await term.resign();
    await settled(elected, { what: "false news" });
    expect(await election.leader()).toBeNull();
  });

  it("locks on the bare key, which no election of the same name sees", async () => {
    const name = on.name();
    const client = etcd3();
    const term = await on.client().election(name).campaign("mine");
    const lock = await client.lock(name).acquire();
    expect(term.held).toBe(true);
    await on.queue(name, "mine");
    await lock.release();
  });
});

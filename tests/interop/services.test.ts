import { describe, expect, it } from "vitest";
import { settled } from "../support/until.ts";
import { base64, call, grant, type LeaderKey } from "./support/services.ts";
import { stage, tells } from "./support/stage.ts";
import { observe, stand } from "./support/tenure.ts";

describe("the v3election service", () => {
  const on = stage([]);

  function campaign(name: string, lease: string, value: string): Promise<LeaderKey> {
    const request = { name: base64(name), lease, value: base64(value) };
    const answer = call<{ readonly leader: LeaderKey }>(on.etcd, "/v3/election/campaign", request);
    return settled(
      answer.then(({ leader }) => leader),
      { what: "election by the service" },
    );
  }

  it("keeps no lease alive: its leader goes when the lease it was given runs out", async () => {
    const name = on.name();
    const lease = await grant(on.etcd, 2);
    await campaign(name, lease, "service");
    const term = await settled(on.client().election(name).campaign("mine"), { what: "term" });
    expect(term.held).toBe(true);
  });

  it("without a lease it grants one of 60 s", async () => {
    const client = on.client();
    const { lease } = await campaign(on.name(), "0", "service");
    expect((await client.etcd.lease.timeToLive(BigInt(lease))).grantedTTL).toBe(60n);
  });

  it("refuses to proclaim and succeeds to resign, without effect, once Tenure leads", async () => {
    const name = on.name();
    const client = on.client();
    const leader = await campaign(name, await grant(on.etcd, 60), "service");
    const mine = stand(client.election(name), "mine");
    await on.queue(name, "service", "mine");
    await call(on.etcd, "/v3/election/resign", { leader });
    const term = await settled(mine.term, { what: "term" });

    const proclaim = call(on.etcd, "/v3/election/proclaim", { leader, value: base64("late") });
    await expect(proclaim).rejects.toThrow("election: not leader");
    await call(on.etcd, "/v3/election/resign", { leader });
    await term.proclaim("mine again");
    expect(term.held).toBe(true);
  });

  it("tells a waiting candidate whose lease is gone that it is elected, and then that nobody leads", async () => {
    const name = on.name();
    const client = on.client();
    const term = await client.election(name).campaign("mine");
    const lease = await grant(on.etcd, 60);
    const phantom = campaign(name, lease, "service");
    await on.queue(name, "mine", "service");
    await client.etcd.lease.revoke(BigInt(lease));
    await on.queue(name, "mine");
    await term.resign();

    expect((await phantom).lease).toBe(lease);
    expect(await client.election(name).leader()).toBeNull();
    const leader = call(on.etcd, "/v3/election/leader", { name: base64(name) });
    await expect(leader).rejects.toThrow("election: no leader");
  });

  it("proclaims and resigns for Tenure's term, given its key, token and lease", async () => {
    const name = on.name();
    const term = await on.client().election(name).campaign("mine");
    const observer = observe(on.client().election(name));
    const leader = {
      name: base64(name),
      key: base64(term.key),
      rev: term.token.toString(),
      lease: term.leaseId.toString(),
    };
    await call(on.etcd, "/v3/election/proclaim", { leader, value: base64("by the service") });
    await tells(observer, "by the service");
    expect(term.held).toBe(true);

    const ended = new Promise((resolve) => {
      term.signal.addEventListener("abort", () => resolve(term.signal.reason), { once: true });
    });
    await call(on.etcd, "/v3/election/resign", { leader });
    expect(await settled(ended, { what: "end of the term" })).toMatchObject({ code: "leadership-lost" });
    await tells(observer, "by the service", "null");
  });
});

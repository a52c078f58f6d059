import { describe, expect, it } from "vitest";
import { settled } from "../support/until.ts";
import { goKind, skipGo, startGo, type GoProcess } from "./support/go.ts";
import { stage, tells } from "./support/stage.ts";
import { observe, stand } from "./support/tenure.ts";

const session = "s";

describe.skipIf(skipGo)("Go's concurrency package", () => {
  const on = stage([goKind]);

  async function go({ ttlSeconds = 30, lease }: { ttlSeconds?: number; lease?: bigint } = {}): Promise<GoProcess> {
    const started = on.use(await startGo(on.etcd.endpoint));
    await started.do({ do: "session", session, ttlSeconds, ...(lease === undefined ? {} : { lease }) });
    return started;
  }

  it("has Rev() for what Tenure calls the token, and it rises over the terms of both", async () => {
    const prefix = on.name();
    const election = on.client().election(prefix);
    const first = await go();
    const { key, rev, lease } = await campaigned(first, prefix, "go");
    const leader = await election.leader();
    expect(leader).toMatchObject({ key, revision: rev });
    expect(key).toBe(`${prefix}/${leader?.leaseId.toString(16)}`);
    expect(lease).toBe(0n); // not told by campaign

    const mine = stand(election, "mine");
    await on.queue(prefix, "go", "mine");
    await first.do({ do: "resign", session, prefix });
    const term = await settled(mine.term, { what: "term" });
    expect(term.token).toBeGreaterThan(rev);

    const again = first.start({ do: "campaign", session, prefix, value: "go again" });
    await on.queue(prefix, "mine", "go again");
    await term.resign();
    expect((await settled(again.answer, { what: "election of Go" })).rev).toBeGreaterThan(term.token);
  });

  it("ResumeElection in another Go process goes on with a term that Tenure waits behind", async () => {
    const prefix = on.name();
    const election = on.client().election(prefix);
    const observer = observe(on.client().election(prefix));
    const first = await go();
    const { key, rev } = await campaigned(first, prefix, "go");
    const mine = stand(election, "mine");
    const [leader] = await on.queue(prefix, "go", "mine");
    await first.kill();

    const second = await go({ lease: leader?.leaseId ?? 0n });
    await second.do({ do: "resume", session, prefix, key, rev });
    await second.do({ do: "proclaim", session, prefix, value: "resumed" });
    await tells(observer, "go", "resumed");
    expect((await election.leader())?.revision).toBe(rev);
    expect(mine.isElected).toBe(false);
    await second.do({ do: "resign", session, prefix });
    await settled(mine.elected, { what: "election of mine" });
  });

  it("ResumeElection on Tenure's key: proclaim on its lease is a new value, resign ends the term", async () => {
    const prefix = on.name();
    const election = on.client().election(prefix);
    const term = await election.campaign("mine");
    const other = await go({ lease: term.leaseId });
    await other.do({ do: "resume", session, prefix, key: term.key, rev: term.token });
    await other.do({ do: "proclaim", session, prefix, value: "by Go" });
    const observer = observe(election);
    await tells(observer, "by Go");
    expect(term.held).toBe(true);
    expect(term.value).toBe("mine"); // what it proclaimed itself

    const ended = over(term.signal);
    await other.do({ do: "resign", session, prefix });
    expect(await ended).toMatchObject({ code: "leadership-lost" });
    expect(await election.leader()).toBeNull();
  });

  it("ResumeElection on Tenure's key with another session: proclaim takes the key over and ends the term", async () => {
    const prefix = on.name();
    const term = await on.client().election(prefix).campaign("mine");
    const other = await go();
    await other.do({ do: "resume", session, prefix, key: term.key, rev: term.token });
    const ended = over(term.signal);
    await other.do({ do: "proclaim", session, prefix, value: "by Go" });
    expect(await ended).toMatchObject({ code: "leadership-lost" });
  });

  it("a Go leader does not see that its key was deleted; only its guard fails", async () => {
    const prefix = on.name();
    const client = on.client();
    const first = await go();
    const { key } = await campaigned(first, prefix, "go");
    const mine = stand(client.election(prefix), "mine");
    await on.queue(prefix, "go", "mine");
    await client.etcd.kv.delete(key);
    await settled(mine.elected, { what: "election of mine" });

    expect(first.doneSessions.size).toBe(0);
    await expect(first.do({ do: "proclaim", session, prefix, value: "still" })).rejects.toThrow("election: not leader");
    expect((await mine.term).held).toBe(true);
  });

  it("a Go candidate that lost its lease while it waited is told that it is elected; Tenure sees nobody", async () => {
    const prefix = on.name();
    const client = on.client();
    const term = await client.election(prefix).campaign("mine");
    const other = await go();
    const phantom = other.start({ do: "campaign", session, prefix, value: "go" });
    const [, waiting] = await on.queue(prefix, "mine", "go");
    await client.etcd.lease.revoke(waiting?.leaseId ?? 0n);
    await on.queue(prefix, "mine");
    await term.resign();

    await settled(phantom.answer, { what: "end of Go's campaign" });
    expect(await client.election(prefix).leader()).toBeNull();
    expect((await other.do({ do: "leader", session, prefix })).key).toBe("");
  });

  it("a waiting Go candidate may proclaim, which changes nothing but its value", async () => {
    const prefix = on.name();
    const term = await on.client().election(prefix).campaign("mine");
    const other = await go();
    const campaign = other.start({ do: "campaign", session, prefix, value: "go" });
    await on.queue(prefix, "mine", "go");
    await other.do({ do: "proclaim", session, prefix, value: "go, waiting" });
    await on.queue(prefix, "mine", "go, waiting");
    expect(term.held).toBe(true);
    await term.resign();
    await settled(campaign.answer, { what: "election of Go" });
  });

  it("a key of a killed Go process, and of an orphaned session, goes with the lease", async () => {
    const prefix = on.name();
    const election = on.client().election(prefix);
    const killed = await go({ ttlSeconds: 2 });
    await campaigned(killed, prefix, "killed");
    await killed.kill();
    const first = await settled(election.campaign("mine"), { what: "first term" });
    await first.resign();

    const orphaned = await go({ ttlSeconds: 2 });
    await campaigned(orphaned, prefix, "orphaned");
    await orphaned.do({ do: "orphan", session });
    expect((await election.leader())?.value).toBe("orphaned");
    await settled(election.campaign("mine"), { what: "second term" });
  });
});

function campaigned(go: GoProcess, prefix: string, value: string): ReturnType<GoProcess["do"]> {
  return go.do({ do: "campaign", session, prefix, value });
}

/** The reason a signal fires with. */
function over(signal: AbortSignal): Promise<unknown> {
  const fired = new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
  return settled(fired, { what: "end of the term" });
}

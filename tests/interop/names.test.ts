import { describe, expect, it } from "vitest";
import { settled } from "../support/until.ts";
import { goKind, skipGo, startGo, type GoProcess } from "./support/go.ts";
import { call } from "./support/services.ts";
import { stage } from "./support/stage.ts";
import { stand } from "./support/tenure.ts";

const session = "s";

describe.skipIf(skipGo)("names, with Go", () => {
  const on = stage([goKind]);

  async function go(lease?: bigint): Promise<GoProcess> {
    const started = on.use(await startGo(on.etcd.endpoint));
    await started.do({ do: "session", session, ttlSeconds: 30, ...(lease === undefined ? {} : { lease }) });
    return started;
  }

  it.each([
    { what: "a slash at the end", namespace: "", name: "trailing/", prefix: "trailing/" },
    { what: "a slash at the start", namespace: "", name: "/leading", prefix: "/leading" },
    { what: "a namespace", namespace: "/ns/-", name: "process", prefix: "/ns/-process" },
    { what: "a namespace and a slash at the start", namespace: "/ns/", name: "/election", prefix: "/ns/election" },
    { what: "letters beyond ASCII", namespace: "", name: "élection ☃", prefix: "élection ☃" },
  ])("are the same with $what", async ({ namespace, name, prefix }) => {
    const election = on.client({ namespace }).election(name);
    const peer = await go();
    const { key } = await peer.do({ do: "campaign", session, prefix, value: "go" });
    expect(await election.leader()).toMatchObject({ key, value: "go" });
    const mine = stand(election, "mine");
    await on.queue(prefix, "go", "mine");
    await peer.do({ do: "resign", session, prefix });
    const term = await settled(mine.term, { what: "term" });
    expect((await peer.do({ do: "leader", session, prefix })).key).toBe(term.key);
  });

  it("a candidate on a negative lease id is one like others", async () => {
    const prefix = on.name();
    await call(on.etcd, "/v3/lease/grant", { TTL: "30", ID: "-5" });
    const peer = await go(-5n);
    const { key } = await peer.do({ do: "campaign", session, prefix, value: "go" });
    expect(key).toBe(`${prefix}/-5`);
    const mine = stand(on.client().election(prefix), "mine");
    const [leader] = await on.queue(prefix, "go", "mine");
    expect(leader?.leaseId).toBe(-5n);
    await peer.do({ do: "resign", session, prefix });
    await settled(mine.elected, { what: "election of mine" });
  });

  it("that are nested: Tenure refuses to stand and names the key; Go waits for the other election", async () => {
    const outer = on.name();
    const inner = `${outer}/inner`;
    const peer = await go();
    const { key } = await peer.do({ do: "campaign", session, prefix: inner, value: "inner" });
    const refused = on.client().election(outer).campaign("mine");
    await expect(refused).rejects.toMatchObject({
      code: "nested-election",
      message: expect.stringContaining(JSON.stringify(key)) as string,
    });

    const second = await go();
    const waiting = second.start({ do: "campaign", session, prefix: outer, value: "outer" });
    await on.queue(outer, "inner", "outer");
    await peer.do({ do: "resign", session, prefix: inner });
    await settled(waiting.answer, { what: "election of Go" });
  });

  it("that are nested, later: the term goes on, and so does its succession", async () => {
    const outer = on.name();
    const term = await on.client().election(outer).campaign("mine");
    const next = stand(on.client().election(outer), "next");
    await on.queue(outer, "mine", "next");
    const peer = await go();
    await peer.do({ do: "campaign", session, prefix: `${outer}/inner`, value: "inner" });
    await term.proclaim("mine again");
    expect(term.held).toBe(true);
    await term.resign();
    await settled(next.elected, { what: "election of the next" });
  });

  it("under which lies a key without a lease: Tenure refuses to stand and names it; Go waits for it", async () => {
    const prefix = on.name();
    const client = on.client();
    await client.etcd.kv.put(`${prefix}/config`, "of another program");
    await expect(client.election(prefix).campaign("mine")).rejects.toMatchObject({ code: "nested-election" });
    const peer = await go();
    const waiting = peer.start({ do: "campaign", session, prefix, value: "go" });
    await on.queue(prefix, "of another program", "go");
    await client.etcd.kv.delete(`${prefix}/config`);
    await settled(waiting.answer, { what: "election of Go" });
  });
});

import { startEmbed } from "@tenure/embed";
import { connect, type Leader, type Term } from "tenure";
import { describe, expect, it } from "vitest";
import { fromStatus } from "../../packages/etcd/src/errors.ts";
import { startProxy } from "../support/proxy.ts";
import { startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { faultyTransport, isDeletion } from "./faulty-store.ts";

/** Status codes of gRPC. */
const UNKNOWN = 2;
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;

const ended = (term: Term): Promise<void> =>
  new Promise((resolve) => term.signal.addEventListener("abort", () => resolve(), { once: true }));

describe("a store that refuses for a moment", () => {
  it.each([
    [RESOURCE_EXHAUSTED, "etcdserver: too many requests"],
    [UNKNOWN, "raft proposal dropped"],
  ])("does not keep a resigned leader's key on a lease that lives on: %s %s", async (code, message) => {
    await using store = await startEmbed();
    let refusals = 1;
    const transport = faultyTransport(store.endpoint, (method, request) => {
      if (isDeletion(method, request) && refusals-- > 0) throw fromStatus(code, message);
    });
    await using client = connect({ transport });
    await using other = connect({ endpoints: [store.endpoint] });
    const keeps = await client.election("keeps-the-lease").campaign();
    const term = await client.election("a").campaign("first");
    const next = other.election("a").campaign("second");
    await term.resign();
    expect((await settled(next, { what: "the next leader" })).value).toBe("second");
    expect(keeps.held).toBe(true);
  });

  it("a deletion that is refused for good gives the lease up instead of leaving an absent leader", async () => {
    await using store = await startEmbed();
    const transport = faultyTransport(store.endpoint, (method, request) => {
      if (isDeletion(method, request)) throw fromStatus(PERMISSION_DENIED, "etcdserver: permission denied");
    });
    await using client = connect({ transport });
    await using other = connect({ endpoints: [store.endpoint] });
    const keeps = await client.election("keeps-the-lease", { ttlMs: 2000 }).campaign();
    const term = await client.election("a", { ttlMs: 2000 }).campaign("first");
    const next = other.election("a").campaign("second");
    await term.resign();
    await keeps.resign();
    expect((await settled(next, { what: "the next leader" })).value).toBe("second");
  });

  it("a proclaim that finds the lease gone ends the term at once", async () => {
    await using store = await startEmbed();
    let gone = false;
    const transport = faultyTransport(store.endpoint, (method) => {
      if (gone && method === "Txn") throw fromStatus(NOT_FOUND, "etcdserver: requested lease not found");
    });
    await using client = connect({ transport });
    const term = await client.election("a").campaign("v");
    gone = true;
    await expect(term.proclaim("w")).rejects.toMatchObject({ code: "leadership-lost" });
    expect(term.held).toBe(false);
    expect(term.signal.aborted).toBe(true);
    gone = false;
  });

  it("observers and nodes go on when etcd forgets its tokens in a restart", async () => {
    await using etcd = await startEtcd();
    for (const command of ["user add root:pw", "user grant-role root root", "auth enable"]) {
      await etcd.etcdctl(...command.split(" "));
    }
    const options = { endpoints: [etcd.endpoint], auth: { user: "root", password: "pw" } };
    await using leading = connect(options);
    await using looking = connect(options);
    const term = await leading.election("o", { ttlMs: 30_000 }).campaign("a");
    const stop = new AbortController();
    const seen: (string | undefined)[] = [];
    const observer = (async () => {
      for await (const leader of looking.election("o").observe({ signal: stop.signal })) seen.push(leader?.value);
    })();
    const node = looking
      .election("o", { ttlMs: 30_000 })
      .run({ value: "b", lead: ended, follow: () => undefined }, { signal: stop.signal });
    await until(() => seen.length === 1, { what: "the leader" });
    await etcd.restart();
    await until(
      () =>
        term.proclaim("again").then(
          () => true,
          () => false,
        ),
      { what: "etcd", timeoutMs: 20_000 },
    );
    await until(() => seen.at(-1) === "again", { what: "the proclaim after the restart", timeoutMs: 20_000 });
    stop.abort();
    await settled(Promise.all([observer, node]), { what: "the end of both" });
  });
});

describe("a client in use", () => {
  it("keeps its connection, and its term, when a caller is in a hurry", async () => {
    await using store = await startEmbed();
    await using proxy = await startProxy(store.endpoint);
    const client = connect({ endpoints: [proxy.endpoint] });
    const election = client.election("a", { ttlMs: 3000 });
    const term = await election.campaign("v");
    proxy.delay(50);
    for (let reads = 0; reads < 100; reads++) {
      await expect(election.leader({ timeoutMs: 30 })).rejects.toMatchObject({ code: "deadline-exceeded" });
    }
    expect(term.held).toBe(true);
    proxy.heal();
    await client.close();
  });

  it("ends every wait when only the etcd client underneath is closed", async () => {
    await using store = await startEmbed();
    const client = connect({ endpoints: [store.endpoint] });
    await using other = connect({ endpoints: [store.endpoint] });
    await other.election("a").campaign("first");
    const campaign = client.election("a").campaign("second");
    const observer = (async () => {
      for await (const leader of client.election("a").observe()) void leader;
    })();
    await until(async () => (await other.election("a").candidates()).length === 2, { what: "the standby" });
    await client.etcd.close();
    await expect(settled(campaign, { what: "the campaign" })).rejects.toMatchObject({ code: "aborted" });
    await settled(observer, { what: "the observer" });
    await client.close();
  });

  it("keeps its place in the election while it stands again", async () => {
    await using store = await startEmbed();
    await using client = connect({ endpoints: [store.endpoint] });
    await using other = connect({ endpoints: [store.endpoint] });
    const first = await other.election("a").campaign("first");
    const waiting = client.election("a").campaign("second");
    const candidates = (): Promise<readonly Leader[]> => other.election("a").candidates();
    await until(async () => (await candidates()).length === 2, { what: "the standby" });
    await other.etcd.kv.delete((await candidates())[1]?.key ?? "");
    // At any moment between the loss and the next stand.
    for (let tries = 0; (await candidates()).length < 2; tries++) {
      await expect(client.election("a").campaign("third")).rejects.toMatchObject({ code: "invalid-argument" });
    }
    await first.resign();
    expect((await settled(waiting, { what: "the standby" })).value).toBe("second");
  });

  it("that is closed under run waits for lead before the key goes", async () => {
    await using store = await startEmbed();
    const client = connect({ endpoints: [store.endpoint] });
    await using other = connect({ endpoints: [store.endpoint] });
    let finish = (): void => undefined;
    const story: string[] = [];
    const node = client.election("a").run({
      lead: async (term) => {
        story.push("leads");
        await ended(term);
        story.push("told");
        await new Promise<void>((resolve) => (finish = resolve));
        story.push("settled");
      },
    });
    await until(() => story.length === 1, { what: "the term" });
    const next = other
      .election("a")
      .campaign("next")
      .then(() => story.push("next elected"));
    await until(async () => (await other.election("a").candidates()).length === 2, { what: "the standby" });
    const closed = client.close();
    await until(() => story.length === 2, { what: "the end of the term" });
    expect((await other.election("a").candidates()).length).toBe(2);
    finish();
    await settled(Promise.all([node, closed, next]), { what: "the end of all" });
    expect(story).toEqual(["leads", "told", "settled", "next elected"]);
  });
});

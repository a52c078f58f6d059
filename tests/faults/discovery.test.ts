import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { promises as dns } from "node:dns";
import { connect, type Term } from "tenure";
import { describe, expect, it } from "vitest";
import { startDns } from "../support/dns-server.ts";
import { startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { startMembers } from "./members.ts";
import { patienceMs, testTimeoutMs } from "./witness.ts";

const ttlMs = 3000;

/** What a channel says from now on. */
function heard<T>(name: string): { readonly events: T[] } & Disposable {
  const events: T[] = [];
  const listener = (message: unknown): void => void events.push(message as T);
  subscribe(name, listener);
  return { events, [Symbol.dispose]: () => void unsubscribe(name, listener) };
}

/** A node that leads, and the terms it has had. */
function running(client: ReturnType<typeof connect>, name: string) {
  const terms: Term[] = [];
  const stop = new AbortController();
  const lead = async (term: Term): Promise<void> => {
    terms.push(term);
    await new Promise((resolve) => term.signal.addEventListener("abort", resolve));
  };
  const node = client.election(name, { ttlMs }).run({ lead }, { signal: stop.signal });
  return {
    terms,
    stop: () => {
      stop.abort();
      return settled(node, { what: "end of the node", timeoutMs: patienceMs });
    },
  };
}

/** Proclaims, again if need be: etcd may be between two leaders of its own. */
async function proclaimed(term: Term | undefined): Promise<void> {
  const attempt = async (): Promise<boolean> => {
    await term?.proclaim("still here");
    return true;
  };
  await until(attempt, { what: "proclaim", timeoutMs: patienceMs });
}

describe("a client that discovers the members", { timeout: testTimeoutMs }, () => {
  it("keeps its term when the only member it was given is killed", async () => {
    using added = heard<{ endpoint: string }>("tenure:endpoint:added");
    await using members = await startMembers();
    const [given = "", ...others] = members.endpoints;
    await using client = connect({ endpoints: [given], discoverMembers: true });
    const { terms, stop } = running(client, "discovered");
    await until(() => terms.length === 1, { what: "term", timeoutMs: patienceMs });
    await until(() => added.events.length === 2, { what: "the other members", timeoutMs: patienceMs });
    expect(new Set(added.events.map(({ endpoint }) => endpoint))).toEqual(new Set(others));
    const [term] = terms;

    await members.kill(0);
    const enough = performance.now() + 2 * ttlMs;
    await until(() => term?.signal.aborted === true || performance.now() > enough, {
      what: "end",
      timeoutMs: 4 * ttlMs,
    });
    expect([term?.held, term?.signal.aborted, terms.length]).toEqual([true, false, 1]);
    await proclaimed(term);
    await using elsewhere = connect({ endpoints: others });
    expect((await elsewhere.election("discovered").leader())?.revision).toBe(term?.token);
    await stop();
  });

  it("needs no more rights than its election does", async () => {
    using added = heard<{ endpoint: string }>("tenure:endpoint:added");
    await using members = await startMembers();
    const [given = "", second, third] = members.endpoints;
    for (const [command, ...args] of [
      ["user", "add", "root:r"],
      ["user", "grant-role", "root", "root"],
      ["role", "add", "worker"],
      ["role", "grant-permission", "worker", "readwrite", "jobs/", "--prefix"],
      ["user", "add", "worker:w"],
      ["user", "grant-role", "worker", "worker"],
      ["auth", "enable"],
    ] as const) {
      await members.etcdctl(command, ...args);
    }
    const auth = { user: "worker", password: "w" };
    await using client = connect({ endpoints: [given], discoverMembers: true, auth });
    const term = await client.election("jobs/nightly", { ttlMs: 60_000 }).campaign("a");
    await until(() => added.events.length === 2, { what: "the other members", timeoutMs: patienceMs });
    expect(new Set(added.events.map(({ endpoint }) => endpoint))).toEqual(new Set([second, third]));
    await members.kill(0);
    await proclaimed(term);
    expect(term.held).toBe(true);
  });

  it("never uses what leads to another cluster, and lives on", async () => {
    using added = heard<{ endpoint: string }>("tenure:endpoint:added");
    using rejected = heard<{ endpoint: string; reason: string }>("tenure:endpoint:rejected");
    using sent = heard<{ endpoint: string; method: string }>("tenure:rpc");
    await using other = await startEtcd();
    await using members = await startMembers({
      advertised: (member, endpoint) => (member === 1 ? other.endpoint : endpoint),
    });
    const [given = "", , third = ""] = members.endpoints;
    await using client = connect({ endpoints: [given], discoverMembers: true });
    const { terms, stop } = running(client, "misled");
    await until(() => terms.length === 1, { what: "term", timeoutMs: patienceMs });
    await until(() => added.events.length === 1 && rejected.events.length === 1, {
      what: "look at the other members",
      timeoutMs: patienceMs,
    });
    expect(added.events).toMatchObject([{ endpoint: third }]);
    expect(rejected.events).toMatchObject([{ endpoint: other.endpoint }]);

    const [term] = terms;
    // The other cluster is there, and the way to it is known: it is not gone when there is need.
    await members.kill(0);
    const enough = performance.now() + 2 * ttlMs;
    await until(() => term?.signal.aborted === true || performance.now() > enough, {
      what: "end",
      timeoutMs: 4 * ttlMs,
    });
    expect([term?.held, term?.signal.aborted, terms.length]).toEqual([true, false, 1]);
    await proclaimed(term);
    expect(rejected.events).toHaveLength(1);
    const there = sent.events.filter(({ endpoint }) => endpoint === other.endpoint);
    expect(new Set(there.map(({ method }) => method))).toEqual(new Set(["etcdserverpb.Watch/Watch"]));
    expect((await other.etcdctl("get", "--prefix", "", "--keys-only")).stdout).toBe("");
    await stop();
  });
});

describe("a client whose endpoints DNS names", { timeout: testTimeoutMs }, () => {
  it("keeps its term when they are replaced by others", async () => {
    await using server = await startDns();
    await using members = await startMembers();
    const [first, second] = members.endpoints.map((endpoint) => ({
      name: "localhost",
      port: Number(new URL(endpoint).port),
      priority: 0,
      weight: 0,
    }));
    const name = "_etcd-client._tcp.example.test";
    const resolver = new dns.Resolver();
    resolver.setServers([server.address]);
    server.records.set(name, first === undefined ? [] : [first]);
    await using client = connect({ discoverySrv: { domain: "example.test", resolver } });
    const { terms, stop } = running(client, "named");
    await until(() => terms.length === 1, { what: "term", timeoutMs: patienceMs });
    const asked = server.asked.length;

    server.records.set(name, second === undefined ? [] : [second]);
    await members.kill(0);
    const [term] = terms;
    const enough = performance.now() + 2 * ttlMs;
    await until(() => term?.signal.aborted === true || performance.now() > enough, {
      what: "end",
      timeoutMs: 4 * ttlMs,
    });
    expect([term?.held, term?.signal.aborted, terms.length]).toEqual([true, false, 1]);
    await proclaimed(term);
    expect(server.asked.length).toBeGreaterThan(asked);
    await stop();
  });
});

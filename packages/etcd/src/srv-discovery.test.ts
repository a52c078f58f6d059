import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { EtcdError } from "./errors.ts";
import { ManualClock } from "./runtime/manual-clock.ts";
import { type Random, seededRandom } from "./runtime/random.ts";
import { resolveSrvEndpoints, type SrvOptions, type SrvRecord } from "./srv-discovery.ts";
import { failure } from "./testing/failure.ts";
import { clientOf, closeClients, deadEndpoint, FakeServer, WAIT } from "./testing/fake-server.ts";

const SECURE = "_etcd-client-ssl._tcp.example.com";
const PLAIN = "_etcd-client._tcp.example.com";
const CHANNELS = ["endpoint:added", "endpoint:removed", "discovery:failed"];

/** What was published: the channel's last word, the endpoint or the source, and why. */
let told: string[] = [];
const onMessage = (message: unknown, name: string | symbol): void => {
  const { endpoint, source, why, reason } = message as Record<string, string | undefined>;
  told.push([String(name).split(":").at(-1), endpoint ?? source, why ?? reason].filter(Boolean).join(" "));
};

beforeEach(() => {
  told = [];
  for (const name of CHANNELS) subscribe(`tenure:${name}`, onMessage);
});
afterEach(closeClients);
afterEach(() => {
  for (const name of CHANNELS) unsubscribe(`tenure:${name}`, onMessage);
});

/** A DNS that knows these records, or fails, and what it was asked for. */
class Dns {
  readonly asked: string[] = [];
  readonly records: Record<string, readonly SrvRecord[]>;
  failure: Error | undefined;

  constructor(records: Record<string, readonly SrvRecord[]>) {
    this.records = records;
  }

  resolveSrv(name: string): Promise<readonly SrvRecord[]> {
    this.asked.push(name);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const records = this.records[name];
    return records === undefined ? Promise.reject(dnsError("ENOTFOUND")) : Promise.resolve(records);
  }
}

function dnsError(code: string): Error {
  return Object.assign(new Error(`querySrv ${code}`), { code });
}

function record(name: string, port: number, priority = 0, weight = 0): SrvRecord {
  return { name, port, priority, weight };
}

/** The record of a server of this machine. */
function recordOf(server: FakeServer | string, priority = 0): SrvRecord {
  const { hostname, port } = new URL(typeof server === "string" ? server : server.endpoint);
  return record(hostname, Number(port), priority);
}

function discovering(dns: Dns, options: { tls?: object } & Partial<SrvOptions> = {}) {
  const { tls, ...srv } = options;
  const clock = new ManualClock();
  const discoverySrv = { domain: "example.com", resolver: dns, ...srv };
  const client = clientOf([], clock, { discoverySrv, ...(tls !== undefined && { tls }) });
  return { client, clock, put: () => client.kv.put("k", "v") };
}

const resolved = (records: readonly SrvRecord[], random?: Random): Promise<string[]> =>
  resolveSrvEndpoints({ domain: "example.com", resolver: new Dns({ [PLAIN]: records }) }, false, random);

describe("endpoints in DNS", () => {
  it("are asked for by the first call, once, and not before", async () => {
    await using server = await FakeServer.start();
    const dns = new Dns({ [PLAIN]: [recordOf(server)] });
    const { put } = discovering(dns);
    expect(dns.asked).toEqual([]);
    await Promise.all([put(), put()]);
    await put();
    expect(dns.asked).toEqual([SECURE, PLAIN]);
    expect(server.paths).toEqual(["Put", "Put", "Put"]);
    expect(told).toEqual([`added ${server.endpoint}`]);
  });

  it("are those with TLS where there are any, and no others with options of TLS", async () => {
    const both = { [SECURE]: [record("a", 1)], [PLAIN]: [record("b", 2)] };
    const ask = (records: Dns["records"], secure: boolean): Promise<string[]> =>
      resolveSrvEndpoints({ domain: "example.com", resolver: new Dns(records) }, secure);
    expect(await ask(both, false)).toEqual(["https://a:1"]);
    expect(await ask({ [PLAIN]: [record("b", 2)] }, false)).toEqual(["http://b:2"]);
    expect((await failure(ask({ [PLAIN]: [record("b", 2)] }, true))).message).toBe(`DNS has no SRV record ${SECURE}`);
    const dns = new Dns({ [PLAIN]: [record("b", 2)] });
    expect((await failure(discovering(dns, { tls: {} }).put())).message).toContain(SECURE);
    expect(dns.asked).toEqual([SECURE]);
  });

  it("have a name of their own where the domain has several clusters", async () => {
    const dns = new Dns({});
    const error = await failure(discovering(dns, { serviceName: "blue", domain: "Example.com." }).put());
    expect(dns.asked).toEqual(["_etcd-client-ssl-blue._tcp.Example.com", "_etcd-client-blue._tcp.Example.com"]);
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(error.message).toBe(`DNS has no SRV record ${dns.asked.join(", nor ")}`);
  });

  it("are tried by priority, and within one by chance according to weight", async () => {
    const records = [record("c", 3, 20), record("b", 2, 10), record("a.", 1, 0)];
    expect(await resolved(records)).toEqual(["http://a:1", "http://b:2", "http://c:3"]);
    const weighted = [record("seldom", 1, 0, 1), record("often", 2, 0, 9), record("hardly", 3, 0, 0)];
    const random = seededRandom(1);
    const first = { seldom: 0, often: 0, hardly: 0 };
    for (let round = 0; round < 1000; round++) {
      const [url = ""] = await resolved(weighted, random);
      first[new URL(url).hostname as keyof typeof first]++;
    }
    expect(first.often).toBeGreaterThan(800);
    expect(first.seldom).toBeGreaterThan(30);
    expect(first.hardly).toBeLessThan(30);
  });

  it.each([
    ["says that there is no such service", [record("", 0)]],
    ["names what is no host", [record("user@host", 1), record("h", 0), record("a b", 1)]],
    ["has none", []],
  ])("are missing where DNS %s", async (_what, records) => {
    expect((await failure(resolved(records))).message).toBe(`DNS has no SRV record ${SECURE}, nor ${PLAIN}`);
  });

  it.each([
    ["ESERVFAIL", "querySrv ESERVFAIL"],
    ["ETIMEOUT", "no answer in time"],
  ])("are not taken from the records without TLS when DNS fails to tell of those with it: %s", async (code, says) => {
    const dns = new Dns({ [PLAIN]: [record("b", 2)] });
    dns.failure = dnsError(code);
    const error = await failure(discovering(dns).put());
    expect(error).toMatchObject({ code: "unavailable", mayHaveApplied: false });
    expect(error.message).toBe(`DNS does not tell the SRV record ${SECURE}: ${says}`);
    expect(dns.asked).toEqual([SECURE]);
  });

  it("are waited for no longer than the call may take", async () => {
    const silent = { resolveSrv: () => new Promise<never>(() => undefined) };
    const { client, clock } = discovering(new Dns({}), { resolver: silent });
    const call = failure(client.kv.put("k", "v", { timeoutMs: 700 }));
    await vi.waitFor(() => expect(clock.due).toEqual([700, 3000]), WAIT);
    clock.advance(700);
    expect(await call).toMatchObject({ code: "deadline-exceeded", mayHaveApplied: false });
    clock.advance(2300);
    await vi.waitFor(() => expect(told).toHaveLength(1), WAIT);
    expect(told).toEqual([`failed srv DNS does not tell the SRV record ${SECURE}: no answer in time`]);
  });

  it("that were not found are asked for again after a growing pause, and told of once", async () => {
    await using server = await FakeServer.start();
    const dns = new Dns({});
    const { put, clock } = discovering(dns);
    const rounds = (): number => dns.asked.length / 2;
    await failure(put());
    expect((await failure(put())).message).toContain("DNS has no SRV record");
    expect(rounds()).toBe(1);
    // The pause is jittered to a half at least, which the test's chance takes.
    for (const pauseMs of [500, 1000, 2000, 4000, 8000, 15_000, 15_000]) {
      const before = rounds();
      clock.advance(pauseMs - 1);
      await failure(put());
      expect(rounds()).toBe(before);
      clock.advance(1);
      await failure(put());
      expect(rounds()).toBe(before + 1);
    }
    expect(told).toEqual([`failed srv DNS has no SRV record ${SECURE}, nor ${PLAIN}`]);
    dns.records[PLAIN] = [recordOf(server)];
    clock.advance(30_000);
    await put();
    expect(server.paths).toEqual(["Put"]);
  });

  it("are asked for again when all have failed, and those that are not named any more are given up", async () => {
    await using first = await FakeServer.start();
    await using second = await FakeServer.start();
    const dead = await deadEndpoint();
    const dns = new Dns({ [PLAIN]: [recordOf(first), recordOf(dead, 1)] });
    const { put, clock } = discovering(dns);
    const { endpoint } = first;
    await put();
    dns.records[PLAIN] = [recordOf(second)];
    clock.advance(500);
    await put();
    expect(dns.asked).toHaveLength(2);
    await first[Symbol.asyncDispose]();
    await vi.waitFor(async () => {
      // That the connection is lost is heard a little later.
      await put();
      expect(second.paths).toEqual(["Put"]);
    }, WAIT);
    expect(told.slice(2)).toEqual([
      `added ${second.endpoint}`,
      `removed ${endpoint} unlisted`,
      `removed ${dead} unlisted`,
    ]);
    await second[Symbol.asyncDispose]();
    const { message } = await failure(put());
    for (const gone of [endpoint, dead]) expect(message).not.toContain(gone);
  });

  it("stay as they are when DNS fails later", async () => {
    const server = await FakeServer.start();
    const { endpoint } = server;
    const dns = new Dns({ [PLAIN]: [recordOf(server)] });
    const { put, clock } = discovering(dns);
    await put();
    await server[Symbol.asyncDispose]();
    dns.failure = dnsError("ESERVFAIL");
    clock.advance(1000);
    expect((await failure(put())).message).toContain(`${endpoint}: `);
    await vi.waitFor(() => expect(told.at(-1)).toContain("failed srv"), WAIT);
    await vi.waitFor(async () => {
      expect((await failure(put())).message).toContain(`${endpoint}: connection refused`);
    }, WAIT);
  });

  it("with TLS are never given up for some without", async () => {
    const dead = (await deadEndpoint()).replace("http:", "https:");
    await using plain = await FakeServer.start();
    const dns = new Dns({ [SECURE]: [recordOf(dead)] });
    const { put, clock } = discovering(dns);
    await failure(put());
    delete (dns.records as Record<string, unknown>)[SECURE];
    dns.records[PLAIN] = [recordOf(plain)];
    clock.advance(1000);
    await failure(put());
    await vi.waitFor(() => expect(told.at(-1)).toBe(`failed srv DNS has no SRV record ${SECURE}`), WAIT);
    await failure(put());
    expect(plain.sessionsSeen).toBe(0);
  });

  it.each([
    ["", undefined],
    ["a b", undefined],
    ["http://example.com", undefined],
    ["example..com", undefined],
    ["u:p@example.com", undefined],
    ["example.com", ""],
    ["example.com", "a.b"],
    ["example.com", "x".repeat(47)],
  ])("are refused for the domain %j and the name %j before anybody is asked", (domain, serviceName) => {
    const make = (): unknown => discovering(new Dns({}), { domain, serviceName });
    expect(make).toThrow(expect.objectContaining({ code: "invalid-argument" }) as EtcdError);
  });

  it("are refused beside others, or with options of TLS that cannot be", () => {
    const discoverySrv = { domain: "example.com" };
    const make = (options: object) => (): unknown => clientOf([], undefined, { discoverySrv, ...options });
    expect(make({ endpoints: ["a"] })).toThrow("endpoints and discoverySrv are both given");
    expect(make({ tls: { key: "k" } })).toThrow("a key is given without its certificate");
  });
});

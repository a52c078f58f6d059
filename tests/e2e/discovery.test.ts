import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DnsServer, startDns } from "../support/dns-server.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { type Env, elected, linesOf, startTenure, tenure } from "./tenure.ts";

const DOMAIN = "example.test";
const SECURE = `_etcd-client-ssl._tcp.${DOMAIN}`;
const PLAIN = `_etcd-client._tcp.${DOMAIN}`;

let etcd: RealEtcd;
let dns: DnsServer;
/** Has a command ask our DNS. */
let env: Env;

beforeAll(async () => {
  [etcd, dns] = await Promise.all([startEtcd(), startDns()]);
  const port = Number(new URL(etcd.endpoint).port);
  for (const name of [PLAIN, `_etcd-client-blue._tcp.${DOMAIN}`]) {
    dns.records.set(name, [{ name: "localhost", port, priority: 0, weight: 0 }]);
  }
  const code = `import { setServers } from "node:dns"; setServers(["${dns.address}"]);`;
  env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(code)}` };
});
afterAll(async () => {
  await Promise.all([etcd.stop(), dns[Symbol.asyncDispose]()]);
});

/** A command that must fail: its exit code and the one line that it shows. */
async function refusal(args: readonly string[], more: Env = {}): Promise<{ code: number | null; errors: string[] }> {
  const { code, stderr } = await tenure(args, { ...env, ...more });
  return { code, errors: linesOf(stderr) };
}

describe("endpoints that DNS names", () => {
  it.each([
    ["by a flag", ["--discovery-srv", DOMAIN], {}, PLAIN],
    ["by a variable", [], { TENURE_DISCOVERY_SRV: DOMAIN }, PLAIN],
    ["by etcdctl's variable", [], { ETCDCTL_DISCOVERY_SRV: DOMAIN }, PLAIN],
    ["by a flag that goes before a variable", ["--discovery-srv", DOMAIN], { TENURE_ENDPOINTS: "http://h:1" }, PLAIN],
    [
      "by the name of a service",
      ["--discovery-srv", DOMAIN],
      { ETCDCTL_DISCOVERY_SRV_NAME: "blue" },
      `_etcd-client-blue._tcp.${DOMAIN}`,
    ],
  ])("are used when the domain is given %s", async (_how, flags, more, name) => {
    const { length } = dns.asked;
    const { code, stderr } = await tenure(["leader", "nobody", ...flags], { ...env, ...more });
    expect([code, stderr]).toEqual([3, expect.stringContaining("nobody")]);
    expect(dns.asked.slice(length).at(-1)).toBe(name);
  });

  it("are not asked for when endpoints are given nearer by", async () => {
    const { length } = dns.asked;
    const args = ["leader", "nobody", "--endpoints", etcd.endpoint];
    expect((await tenure(args, { ...env, TENURE_DISCOVERY_SRV: DOMAIN })).code).toBe(3);
    expect(dns.asked).toHaveLength(length);
  });

  it("serve a command that holds on, with the members of the list as well", async () => {
    const flags = ["--discovery-srv", DOMAIN, "--discover-members"];
    await using elect = startTenure(["elect", "held", "v", ...flags], env);
    await elected(elect);
    expect((await tenure(["leader", "held", ...flags], env)).stdout).toContain("v");
    elect.signal("SIGTERM");
    expect((await elect.exit()).code).toBe(0);
  });

  it("are each examined by the doctor", async () => {
    const args = ["doctor", "--duration", "0.3", "--discovery-srv", DOMAIN, "--discover-members", "-o", "json"];
    const { stdout } = await tenure(args, env);
    const endpoint = etcd.endpoint.replace("127.0.0.1", "localhost");
    expect(JSON.parse(stdout)).toMatchObject({ members: [{ endpoint, reachable: true }] });
  });

  it("that are none: 69 and one line that names the records", async () => {
    const args = ["leader", "x", "--timeout", "1", "--discovery-srv", `none.${DOMAIN}`];
    const says = `_etcd-client-ssl._tcp.none.${DOMAIN}, nor _etcd-client._tcp.none.${DOMAIN}`;
    expect(await refusal(args)).toEqual({ code: 69, errors: [expect.stringContaining(`no SRV record ${says}`)] });
  });

  it.each([
    ["failing", "querySrv ESERVFAIL"],
    ["silent", "no answer in time"],
  ] as const)("that a %s DNS does not tell: 69 and one line that names the record", async (mood, why) => {
    dns.mood = mood;
    try {
      const { code, errors } = await refusal(["leader", "x", "--discovery-srv", DOMAIN]);
      expect([code, errors.length]).toEqual([69, 1]);
      expect(errors[0]).toContain(`DNS does not tell the SRV record ${SECURE}: ${why}`);
    } finally {
      dns.mood = "answering";
    }
  });

  it.each([
    [
      "beside endpoints",
      ["--discovery-srv", DOMAIN, "--endpoints", "a"],
      {},
      "--discovery-srv and --endpoints are both",
    ],
    [
      "beside endpoints in the environment",
      [],
      { TENURE_DISCOVERY_SRV: DOMAIN, TENURE_ENDPOINTS: "a" },
      "TENURE_DISCOVERY_SRV and TENURE_ENDPOINTS are both",
    ],
    [
      "of a domain that cannot be",
      ["--discovery-srv", "http://h"],
      {},
      '--discovery-srv: "http://h" is not the name of a',
    ],
    [
      "of a service that cannot be",
      ["--discovery-srv", DOMAIN, "--discovery-srv-name", "a.b"],
      {},
      '--discovery-srv-name: "a.b" is not the name of a service',
    ],
    [
      "of members by a word that says nothing",
      [],
      { TENURE_DISCOVER_MEMBERS: "maybe" },
      'TENURE_DISCOVER_MEMBERS: "maybe" is neither true nor false',
    ],
  ])("%s: 64", async (_what, flags, more, says) => {
    expect(await refusal(["leader", "x", ...flags], more)).toEqual({
      code: 64,
      errors: [expect.stringContaining(`tenure: ${says}`)],
    });
  });
});

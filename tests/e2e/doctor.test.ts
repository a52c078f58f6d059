import { describe, expect, it } from "vitest";
import type { DoctorReport } from "../../packages/cli/src/doctor/report.ts";
import type { RunResult } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { keys, leases, linesOf, startTenure, type Store, stores, tenure } from "./tenure.ts";

// Short: what is measured for longer is not measured differently.
const BRIEFLY = ["--duration", "0.6", "-o", "json"];
const millis = (): unknown => expect.any(Number);
const spread = (): unknown => ({ count: millis(), failed: 0, p50Ms: millis(), p99Ms: millis(), maxMs: millis() });

function reportOf({ stdout }: RunResult): DoctorReport {
  expect(linesOf(stdout)).toHaveLength(1);
  return JSON.parse(stdout) as DoctorReport;
}

/** What is worse than a warning. */
function problems(result: RunResult): string[] {
  return reportOf(result)
    .verdicts.filter(({ verdict }) => verdict === "problem")
    .map(({ check, finding }) => `${check}: ${finding}`);
}

async function revision({ endpoint }: Store): Promise<string> {
  const { stdout } = await tenure(["leader", "nobody", "-o", "json"], { TENURE_ENDPOINTS: endpoint });
  return (JSON.parse(stdout) as { revision: string }).revision;
}

async function frozen(etcd: RealEtcd, action: () => Promise<void>): Promise<void> {
  etcd.pause();
  try {
    await action();
  } finally {
    etcd.resume();
  }
}

const all = [...stores, { name: "etcd 3.4", start: () => startEtcd({ version: "3.4" }) }];

describe.each(all)("tenure doctor on $name", ({ name, start }) => {
  it("measures the store and says what failover to expect, leaving nothing behind", async () => {
    await using store = await start();
    const result = await tenure(["doctor", ...BRIEFLY, "--ttl", "7", "--endpoints", store.endpoint]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    const report = reportOf(result);
    expect(report).toMatchObject({
      prefix: "tenure-doctor/",
      readOnly: false,
      members: [{ endpoint: store.endpoint, reachable: true, role: "leader", alarms: [], roundTripMs: spread() }],
      latency: { readMs: spread(), commitMs: spread(), eventMs: spread() },
      lease: { askedTtlSeconds: 7, ttlSeconds: 7, keepAliveMs: spread(), provenForMs: 6430 },
      process: { eventLoopLagMs: spread(), suspendedMs: 0 },
    });
    const { crashMs, plannedMs, etcdLeaderChangeMs, cutOffStopsMs, formulas } = report.failover;
    const c = report.latency.eventMs?.p99Ms ?? 0;
    expect(plannedMs).toEqual({ p50: report.latency.eventMs?.p50Ms, p99: c });
    expect(crashMs).toBeCloseTo(7500 + c, 2);
    expect([etcdLeaderChangeMs, cutOffStopsMs]).toEqual([9000, 6430]);
    expect(formulas.crash).toContain("T + 0.5 + c = 7 + 0.5 + ");
    const slowest = report.lease?.keepAliveMs?.maxMs ?? 0;
    expect(report.lease?.marginMs).toBeCloseTo(6430 - 7000 / 3 - slowest, 2);
    expect(await leases(store)).toEqual([]);
    expect(await keys(store, "")).toEqual([]);

    const [member] = report.members;
    expect(member?.embedded).toBe(name.includes("embedded"));
    const faults = report.verdicts.find(({ check }) => check === "version")?.details.join() ?? "";
    expect(faults.includes("etcd#20590")).toBe(name === "etcd 3.4");
  });

  it("writes nothing when it is told so", async () => {
    await using store = await start();
    const before = await revision(store);
    const result = await tenure(["doctor", ...BRIEFLY, "--read-only", "--endpoints", store.endpoint]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(reportOf(result)).toMatchObject({
      readOnly: true,
      latency: { readMs: spread(), commitMs: null, eventMs: null },
      lease: null,
      failover: { plannedMs: null, crashMs: 10_500 },
    });
    expect(await revision(store)).toBe(before);
  });

  it("ends at SIGINT and leaves nothing behind", async () => {
    await using store = await start();
    await using doctor = startTenure(["doctor", "--duration", "60", "--endpoints", store.endpoint]);
    await until(async () => (await keys(store, "tenure-doctor/")).length === 1, { what: "its key" });
    expect(await leases(store)).toHaveLength(1);
    doctor.signal("SIGINT");
    expect(await doctor.exit()).toMatchObject({ code: 130, stdout: "" });
    expect(await keys(store, "")).toEqual([]);
    expect(await leases(store)).toEqual([]);
  });
});

describe("tenure doctor", () => {
  it("prints lines for people, with what to do", async () => {
    await using store = await startEtcd();
    const result = await tenure(["doctor", "--duration", "0.6", "--ttl", "1", "--endpoints", store.endpoint]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatch(/^MEMBER +VERSION +ROLE/);
    expect(result.stdout).toContain(`${store.endpoint}  ${store.version}`);
    expect(result.stdout).toMatch(/^warning +TTL +etcd raised the TTL from 1 s to its minimum of 2 s: reckon with/m);
    expect(result.stdout).toMatch(/^warning +margin .*: take a TTL of 4 s or more/m);
    expect(result.stdout).toMatch(/crash, at most +T \+ 0.5 \+ c = 2 \+ 0.5 \+ /);
  });

  it("says of each endpoint why it does not answer, and ends with 69 when none does", async () => {
    const nowhere = "http://127.0.0.1:1,http://nowhere.invalid:2379";
    const result = await tenure(["doctor", ...BRIEFLY, "--endpoints", nowhere]);
    expect(result).toMatchObject({ code: 69, stderr: "" });
    expect(reportOf(result).members).toMatchObject([
      { endpoint: "http://127.0.0.1:1", reachable: false, reason: "connection refused: nothing listens there" },
      { endpoint: "http://nowhere.invalid:2379", reachable: false, reason: expect.stringContaining("resolved") },
    ]);
  });

  it("warns of a member that froze, and measures the others", async () => {
    await using live = await startEtcd();
    await using dead = await startEtcd();
    await frozen(dead, async () => {
      const endpoints = `${dead.endpoint},${live.endpoint}`;
      const result = await tenure(["doctor", ...BRIEFLY, "--timeout", "1", "--endpoints", endpoints]);
      expect(result.code).toBe(0);
      const report = reportOf(result);
      expect(report.members).toMatchObject([{ reachable: false }, { reachable: true, role: "leader" }]);
      expect(report.verdicts).toContainEqual(
        expect.objectContaining({
          check: "members",
          verdict: "warning",
          finding: expect.stringContaining(dead.endpoint),
        }),
      );
    });
  });

  it("finds endpoints of different clusters", async () => {
    await using one = await startEtcd();
    await using other = await startEtcd();
    const endpoints = `${one.endpoint},${other.endpoint}`;
    const result = await tenure(["doctor", ...BRIEFLY, "--read-only", "--endpoints", endpoints]);
    expect(result.code).toBe(78);
    expect(problems(result)).toEqual([expect.stringMatching(/^cluster: the endpoints belong to 2 clusters/)]);
  });

  it("finds a quota that is used up", async () => {
    await using etcd = await startEtcd({ args: ["--quota-backend-bytes=200000"] });
    const value = "x".repeat(50_000);
    await until(async () => (await etcd.etcdctl("put", "fill", value)).stderr.includes("space exceeded"), {
      what: "a full store",
    });
    const result = await tenure(["doctor", ...BRIEFLY, "--endpoints", etcd.endpoint]);
    expect(result.code).toBe(78);
    expect(problems(result).join()).toMatch(/alarms: NOSPACE/);
  });

  it("says which permission is missing, and works with it", async () => {
    await using etcd = await startEtcd();
    for (const command of [
      "user add root:secret-of-root",
      "user grant-role root root",
      "role add team",
      "role grant-permission team readwrite --prefix /team/",
      "user add member:secret-of-member",
      "user grant-role member team",
      "auth enable",
    ]) {
      expect(await etcd.etcdctl(...command.split(" "))).toMatchObject({ code: 0 });
    }
    const as = (user: string, password: string) => ({
      TENURE_ENDPOINTS: etcd.endpoint,
      TENURE_USER: user,
      TENURE_PASSWORD: password,
    });
    const member = as("member", "secret-of-member");

    const lacking = await tenure(["doctor", ...BRIEFLY], member);
    expect(lacking.code).toBe(77);
    expect(problems(lacking)).toEqual([
      'reads: user "member" may not read keys under "tenure-doctor/"',
      'commits: user "member" may not write keys under "tenure-doctor/"',
      'watch: user "member" may not watch keys under "tenure-doctor/"',
    ]);
    expect(lacking.stdout).not.toContain("secret-of");

    const granted = await tenure(["doctor", ...BRIEFLY, "--namespace", "/team/"], member);
    expect([granted.code, problems(granted)]).toEqual([0, []]);
    expect(reportOf(granted)).toMatchObject({ prefix: "/team/tenure-doctor/", latency: { commitMs: spread() } });

    const wrong = await tenure(["doctor", ...BRIEFLY], as("member", "secret-of-nobody"));
    expect(wrong.code).toBe(77);
    expect(problems(wrong).join()).toContain('etcd refuses the password of user "member"');
    expect(wrong.stdout).not.toContain("secret-of");
  });

  it.each(["0", "-1", "abc", "3601"])("refuses --duration %s", async (duration) => {
    expect(await tenure(["doctor", `--duration=${duration}`])).toMatchObject({
      code: 64,
      stdout: "",
      stderr: expect.stringContaining("--duration"),
    });
  });
});

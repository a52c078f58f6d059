import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, afterAll, beforeEach, describe, expect, it } from "vitest";
import { type NodeProcess, root } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { childrenOf, commandOf, lives } from "./supervised.ts";
import { type Env, keys, leases, startTenure, tenure } from "./tenure.ts";

let etcd: RealEtcd;
let dir: string;
let file: string;
beforeAll(async () => void (etcd = await startEtcd()));
afterAll(() => etcd.stop());
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "tenure-agent-"));
  file = join(dir, "tenure.yaml");
});
afterEach(() => rm(dir, { recursive: true }));

/** A program that says which service it is of, and in which term. */
const worker = (says: string): string => `[sh, -c, "echo ${says} $$ $TENURE_TOKEN; exec sleep 1000"]`;

async function configure(services: Readonly<Record<string, string>>, more = ""): Promise<void> {
  const lines = Object.entries(services).map(([name, rest]) => `  ${name}:\n    command: ${rest}\n`);
  await writeFile(file, `endpoints: ${etcd.endpoint}\nttl: 60\n${more}services:\n${lines.join("")}`);
}

function agent(env: Env = {}): NodeProcess {
  return startTenure(["agent", "--config", file], env);
}

/** The pid of the first, or a later, worker that has said that it is there; they come in any order. */
function working(process: NodeProcess, says: string, which = 0): Promise<number> {
  const pids = (): number[] =>
    process.lines.filter((line) => line.startsWith(`${says} `)).map((line) => Number(line.split(" ")[1]));
  return until(() => pids()[which], { what: `program ${says}`, timeoutMs: 10_000 });
}

describe("tenure agent", () => {
  it("runs many services over one lease, and ends them all in order", async () => {
    const names = Array.from({ length: 12 }, (_, index) => `many-${index}`);
    await configure(Object.fromEntries(names.map((name) => [name, worker("here")])));
    await using process = agent();
    await until(() => process.lines.length === names.length, { what: "all programs", timeoutMs: 15_000 });
    const pids = process.lines.map((line) => Number(line.split(" ")[1]));
    expect((await keys(etcd, "many-")).length).toBe(names.length);
    expect(await leases(etcd)).toHaveLength(1);
    process.signal("SIGTERM");
    expect(await process.exit()).toMatchObject({ code: 0 });
    expect([pids.filter(lives), await keys(etcd, "many-"), await leases(etcd)]).toEqual([[], [], []]);
  });

  it("does what its file says anew at SIGHUP, and nothing when that has a mistake", async () => {
    await configure({ kept: worker("kept"), changed: worker("before"), dropped: worker("dropped") });
    await using process = agent();
    const kept = await working(process, "kept");
    await until(() => process.lines.length === 3, { what: "all programs" });
    const others = process.lines.filter((line) => !line.startsWith("kept")).map((line) => Number(line.split(" ")[1]));
    await configure({ kept: worker("kept"), changed: worker("after"), added: worker("added") });
    process.signal("SIGHUP");
    expect(await process.errorLine(/reloaded/)).toBe(
      "tenure: reloaded: started added; stopped dropped; restarted changed",
    );
    await until(() => process.lines.length === 5, { what: "the new programs" });
    expect(new Set(process.lines.slice(3).map((line) => line.split(" ")[0]))).toEqual(new Set(["added", "after"]));
    expect([lives(kept), others.filter(lives)]).toEqual([true, []]);

    await configure({ kept: "sleep" }, "http: 127.0.0.1:0\n");
    process.signal("SIGHUP");
    await process.errorLine(/tenure\.yaml:6:5: services\.kept\.command: must be a list/);
    await process.errorLine(/not reloaded: everything runs on as it was/);
    expect(lives(kept)).toBe(true);

    await configure({ kept: worker("kept"), changed: worker("after"), added: worker("added") }, "http: 127.0.0.1:0\n");
    process.signal("SIGHUP");
    await process.errorLine(/reloaded: what changed outside of services needs a restart of the agent/);
    expect(lives(kept)).toBe(true);
  });

  it("that is killed leaves nothing behind, and hands everything over long before the TTL", async () => {
    const services = { "killed-a": worker("a"), "killed-b": worker("b") };
    await configure(services);
    await using first = agent();
    const pids = [await working(first, "a"), await working(first, "b")];
    await using second = agent();
    await until(async () => (await keys(etcd, "killed-")).length === 4, { what: "all candidates" });
    first.signal("SIGKILL");
    await Promise.all([working(second, "a"), working(second, "b")]);
    expect(pids.filter(lives)).toEqual([]);
  });

  it("answers for each service over HTTP", async () => {
    await configure({ "web/one": worker("one"), two: worker("two") }, "http: 127.0.0.1:0\n");
    await using process = agent();
    const [, url = ""] = /HTTP on (\S+)/.exec(await process.errorLine(/HTTP on/)) ?? [];
    await until(() => process.lines.length === 2, { what: "both programs" });
    const status = async (path: string): Promise<number> => (await fetch(`${url}${path}`)).status;
    await until(async () => (await status("/services/web%2Fone/leader")) === 200, { what: "leadership" });
    expect([
      await status("/services/two/standby"),
      await status("/services/none/leader"),
      await status("/leader"),
    ]).toEqual([503, 404, 404]);
    await configure({ two: worker("two") }, "http: 127.0.0.1:0\n");
    process.signal("SIGHUP");
    await until(async () => (await status("/services/web%2Fone/leader")) === 404, { what: "end of the service" });
    expect(await status("/leader")).toBe(200);
  });

  it("has its own guard, of which each service's deadline is its own", async () => {
    await configure({ "guarded-a": worker("a"), "guarded-b": worker("b") });
    await using process = agent();
    const pid = await working(process, "a");
    const guards = childrenOf(process.pid).filter((child) => commandOf(child).includes("guard.js"));
    expect(guards).toHaveLength(1);
    // One service steps down; the other one's program must not be taken for overdue.
    await working(process, "b");
    await tenure(["resign", "guarded-b", "--endpoints", etcd.endpoint]);
    await working(process, "b", 1);
    expect(lives(pid)).toBe(true);
  });

  it("that is frozen has the programs of all its services killed in time, after keep-alives as well", async () => {
    const names = ["frozen-a", "frozen-b", "frozen-c"];
    await configure(Object.fromEntries(names.map((name) => [name, worker(name)])), "http: 127.0.0.1:0\n");
    await using process = startTenure(["agent", "--config", file, "--ttl", "4"]);
    const [, url = ""] = /HTTP on (\S+)/.exec(await process.errorLine(/HTTP on/)) ?? [];
    const pids = await Promise.all(names.map((name) => working(process, name)));
    const renewals = async (): Promise<number> => {
      const page = await (await fetch(`${url}/metrics`)).text();
      return Number(/^tenure_keepalive_rtt_seconds_count (\d+)$/m.exec(page)?.[1]);
    };
    // By then the first deadline is long over.
    await until(async () => (await renewals()) >= 4, { what: "keep-alives", timeoutMs: 15_000 });
    expect(pids.filter(lives)).toEqual(pids);
    process.signal("SIGSTOP");
    await until(() => !pids.some(lives), { what: "end of the programs", intervalMs: 5 });
    // Nobody else can have begun.
    expect(await keys(etcd, "frozen-")).toHaveLength(names.length);
    process.signal("SIGCONT");
    await Promise.all(names.map((name) => working(process, name, 1)));
  });

  it("starts nothing while it ends, whatever its file says, and asks programs once", async () => {
    const slow = `[sh, -c, "trap 'sleep 1; echo ended; exit' TERM; echo slow $$; while :; do sleep 0.05; done"]`;
    await configure({ quick: worker("quick"), slow });
    await using process = agent();
    await Promise.all([working(process, "quick"), working(process, "slow")]);
    // A change that stops one of them, and the end while it stops.
    await configure({ quick: worker("quick"), slow: slow.replace("slow", "SLOW") });
    process.signal("SIGHUP");
    await process.errorLine(/reloaded: restarted slow/);
    process.signal("SIGTERM");
    await process.errorLine(/quick: told to stop/);
    process.signal("SIGHUP");
    const { code, stdout } = await process.exit();
    expect(code).toBe(0);
    expect(stdout.split("\n").filter((line) => line !== "").length).toBe(3);
    expect(stdout).toContain("ended");
  });

  it("survives a name that cannot be one, at a reload", async () => {
    await configure({ fine: worker("fine") });
    await using process = agent();
    const pid = await working(process, "fine");
    const wrong = { fine: worker("fine"), '"two\\t"': worker("two"), "/fine": worker("same") };
    await configure(wrong, "namespace: n/\n");
    process.signal("SIGHUP");
    await process.errorLine(/control character/);
    await process.errorLine(/services\.\/fine: is the same election as fine/);
    await process.errorLine(/not reloaded/);
    expect(lives(pid)).toBe(true);
  });

  it("tells the service manager how it is", async () => {
    // Stands in for systemd's program, which needs a systemd to talk to.
    const told = join(dir, "told");
    await writeFile(join(dir, "systemd-notify"), `#!/bin/sh\necho "$@" >> ${told}\n`);
    await chmod(join(dir, "systemd-notify"), 0o755);
    await configure({ notified: '[sh, -c, "echo socket $$ [$NOTIFY_SOCKET]; exec sleep 1000"]' });
    await using process = agent({
      NOTIFY_SOCKET: join(dir, "socket"),
      PATH: `${dir}:${globalThis.process.env["PATH"]}`,
    });
    const lines = async (): Promise<string[]> => (await readFile(told, "utf8").catch(() => "")).trim().split("\n");
    await until(async () => (await lines())[0] !== "", { what: "readiness" });
    await working(process, "socket");
    expect(process.stdout).toMatch(/^socket \d+ \[\]$/m);
    process.signal("SIGTERM");
    await process.exit();
    const who = `--pid=${process.pid}`;
    expect(await lines()).toEqual([`${who} --ready --status=1 service`, `${who} STOPPING=1`]);
  });
});

describe("tenure agent --check", () => {
  const check = () => tenure(["agent", "--config", file, "--check"]);

  it("finds none in the example", async () => {
    const example = `${root}examples/agent/tenure.yaml`;
    const { code, stdout } = await tenure(["agent", "--config", example, "--check"]);
    expect([code, stdout]).toEqual([0, `${example}: 2 services, no mistake found\n`]);
  });

  it("finds mistakes without running anything", async () => {
    await configure({ fine: worker("fine") });
    expect(await check()).toMatchObject({ code: 0, stdout: `${file}: 1 service, no mistake found\n`, stderr: "" });
    await writeFile(file, "services:\n  job:\n    comand: [x]\n  other: 1\n");
    const { code, stdout, stderr } = await check();
    expect([code, stdout]).toEqual([78, ""]);
    expect(stderr.trim().split("\n")).toEqual([
      `tenure: ${file}:3:5: services.job.comand: there is no such key; did you mean command?`,
      `tenure: ${file}:4:3: services.other: must be a map with a command`,
    ]);
  });
});

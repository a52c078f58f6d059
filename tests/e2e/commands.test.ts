import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runs } from "../support/children.ts";
import { type NodeProcess, tenureBin } from "../support/process.ts";
import { startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { pause, until } from "../support/until.ts";
import { elected, type Env, keys, linesOf, startTenure, tenure } from "./tenure.ts";

let etcd: RealEtcd;
let env: Env;
beforeAll(async () => {
  etcd = await startEtcd();
  env = { TENURE_ENDPOINTS: etcd.endpoint };
});
afterAll(() => etcd.stop());

interface Candidate {
  readonly key: string;
  readonly value: string;
  readonly revision: string;
  readonly lease: string;
}

const elect = (...args: string[]): NodeProcess => startTenure(["elect", ...args], env);
const revision = (): unknown => expect.stringMatching(/^\d+$/);
const candidate = (key: string, value: string): Candidate => ({
  key,
  value,
  revision: revision() as string,
  lease: key.slice(key.lastIndexOf("/") + 1),
});

async function queued(name: string, count: number): Promise<void> {
  await until(async () => (await keys(etcd, `${name}/`)).length === count, { what: `${count} candidates` });
}

describe("leader, status and observe", () => {
  it("tell that nobody leads", async () => {
    expect(await tenure(["leader", "none"], env)).toMatchObject({
      code: 3,
      stdout: "",
      stderr: "tenure: nobody leads none\n",
    });
    const leader = await tenure(["leader", "none", "-o", "json"], env);
    expect(leader).toMatchObject({ code: 3, stderr: "" });
    expect(JSON.parse(leader.stdout)).toEqual({ election: "none", leader: null, revision: revision() });
    const status = await tenure(["status", "none", "-o", "json"], env);
    expect(status).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(status.stdout)).toEqual({ election: "none", leader: null, revision: revision(), candidates: [] });
  });

  it("show the leader, and its standbys in order of succession", async () => {
    await using first = elect("order", "first", "--ttl", "60");
    const key = await elected(first);
    await using second = elect("order", "second", "--ttl", "30");
    await queued("order", 2);
    await using third = elect("order", "third");
    await queued("order", 3);

    const leader = await tenure(["leader", "order", "-o", "json"], env);
    expect(leader.code).toBe(0);
    expect(JSON.parse(leader.stdout)).toEqual({
      election: "order",
      leader: candidate(key, "first"),
      revision: revision(),
    });

    const status = JSON.parse((await tenure(["status", "order", "-o", "json"], env)).stdout) as {
      leader: Candidate;
      candidates: (Candidate & { position: number; ttlSeconds: number })[];
    };
    expect(Object.keys(status)).toEqual(["election", "leader", "revision", "candidates"]);
    expect(status.leader).toEqual(candidate(key, "first"));
    expect(status.candidates.map(({ position, value }) => [position, value])).toEqual([
      [0, "first"],
      [1, "second"],
      [2, "third"],
    ]);
    for (const [index, ttlSeconds] of [60, 30, 10].entries()) {
      const shown = status.candidates[index];
      expect(Object.keys(shown ?? {})).toEqual(["position", "key", "value", "revision", "lease", "ttlSeconds"]);
      expect(shown?.ttlSeconds).toBeGreaterThan(ttlSeconds - 10);
      expect(shown?.ttlSeconds).toBeLessThanOrEqual(ttlSeconds);
    }
    const table = linesOf((await tenure(["status", "order"], env)).stdout);
    expect(table.map((line) => line.split(/\s+/).slice(0, 2))).toEqual([
      ["ROLE", "VALUE"],
      ["leader", "first"],
      ["next", "second"],
      ["standby", "third"],
    ]);
    expect((await tenure(["leader", "order"], env)).stdout).toContain(key);
    expect([second.stdout, third.stdout]).toEqual(["", ""]);
  });

  it("observe prints the current state, then each change, until SIGINT", async () => {
    await using observer = startTenure(["observe", "seen", "-o", "jsonl"], env);
    await observer.line(/./);
    await using leader = elect("seen", "v");
    const key = await elected(leader);
    await observer.line(/"value":"v"/);
    leader.signal("SIGINT");
    await observer.line(/"leader":null/);
    observer.signal("SIGINT");
    const end = await observer.exit();
    expect(end).toMatchObject({ code: 0, stderr: "" });
    expect(linesOf(end.stdout).map((line) => JSON.parse(line) as unknown)).toEqual([
      { election: "seen", leader: null, revision: revision() },
      { election: "seen", leader: candidate(key, "v"), revision: revision() },
      { election: "seen", leader: null, revision: revision() },
    ]);
  });

  it("observe prints a time, who leads and the token for people", async () => {
    await using leader = elect("told", "v");
    const key = await elected(leader);
    await using observer = startTenure(["observe", "told"], env);
    expect(await observer.line(/./)).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\dT\\S+Z +v +token \\d+ +${key}$`));
    leader.signal("SIGINT");
    expect(await observer.line(/./)).toMatch(/Z +nobody leads$/);
  });

  it("observe ends quietly when its reader has left", async () => {
    const shell = `"$NODE" "$TENURE" observe piped -o jsonl | head -1; echo "\${PIPESTATUS[0]}"`;
    const child = spawn("bash", ["-c", shell], {
      env: { ...process.env, ...env, NODE: process.execPath, TENURE: tenureBin },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let printed = "";
    child.stdout.on("data", (chunk) => (printed += String(chunk)));
    child.stderr.on("data", (chunk) => (printed += String(chunk)));
    await until(() => printed.includes("\n"), { what: "first line" });
    // It notices at the next change: each round makes two.
    await until(
      async () => {
        if (!runs(child)) return true;
        await etcd.etcdctl("put", "piped/1", "v");
        await etcd.etcdctl("del", "piped/1");
        return false;
      },
      { what: "end of the pipe" },
    );
    await until(() => printed.endsWith("\n0\n"), { what: "exit code" });
    expect(linesOf(printed)).toEqual([expect.stringContaining('"leader":null'), "0"]);
  });
});

describe("elect", () => {
  it("leaves no key behind when the reader of its output has left", async () => {
    const shell = '"$NODE" "$TENURE" elect unread v | true; echo "${PIPESTATUS[0]}"';
    const child = spawn("timeout", ["5", "bash", "-c", shell], {
      env: { ...process.env, ...env, NODE: process.execPath, TENURE: tenureBin },
      stdio: "ignore",
    });
    await until(() => !runs(child), { what: "end of the pipe" });
    expect(await keys(etcd, "unread/")).toEqual([]);
  });
});

describe("resign", () => {
  it("has nothing to do when nobody leads", async () => {
    expect(await tenure(["resign", "empty"], env)).toMatchObject({ code: 3, stderr: "tenure: nobody leads empty\n" });
  });

  it("makes a Tenure leader step down and prints it", async () => {
    await using leader = elect("down", "v");
    const key = await elected(leader);
    await using standby = elect("down", "w");
    await queued("down", 2);
    expect(await tenure(["resign", "down"], env)).toMatchObject({ code: 0, stdout: `${key}\nv\n`, stderr: "" });
    expect((await leader.exit()).code).toBe(79);
    await standby.line(/^w$/);
  });

  it("prints an object with -o json", async () => {
    await using leader = elect("down-json", "v");
    const key = await elected(leader);
    const { code, stdout } = await tenure(["resign", "down-json", "-o", "json"], env);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ election: "down-json", leader: candidate(key, "v"), revision: revision() });
  });

  it("warns that another client does not look at its key", async () => {
    const other = etcd.spawnEtcdctl("elect", "foreign", "v");
    await queued("foreign", 1);
    const [key = ""] = await keys(etcd, "foreign/");
    const { code, stdout, stderr } = await tenure(["resign", "foreign"], env);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${key}\nv\n` });
    expect(linesOf(stderr)).toEqual([expect.stringContaining(`${key} is not a Tenure node's`)]);
    expect(await keys(etcd, "foreign/")).toEqual([]);
    other.kill("SIGKILL");
  });

  it("leaves the leader of an election nested in this name alone", async () => {
    await using inner = elect("outer/inner", "v");
    const key = await elected(inner);
    await tenure(["resign", "outer"], env);
    expect(await keys(etcd, "outer/")).toEqual([key]);
  });
});

describe("flags", () => {
  it.each([
    [["--output", "json", "leader", "none"]],
    [["leader", "--output", "json", "none"]],
    [["leader", "none", "--output", "json"]],
    [["leader", "none", "--output=json"]],
    [["leader", "none", "-ojson"]],
    [["leader", "-o", "json", "--", "none"]],
  ])("stand anywhere: %j", async (args) => {
    const { code, stdout } = await tenure(args, env);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ election: "none" });
  });

  it("end at --, so that a name may look like a flag", async () => {
    const { code, stdout } = await tenure(["leader", "-o", "json", "--", "--ttl"], env);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ election: "--ttl" });
  });

  it("have twins in the environment, with etcdctl's as fallback", async () => {
    const nowhere = "http://127.0.0.1:1";
    const works = { code: 3 };
    const fails = { code: 69 };
    const leader = (flags: string[], variables: Env): ReturnType<typeof tenure> =>
      tenure(["leader", "none", ...flags], variables);
    expect(await leader([], { ETCDCTL_ENDPOINTS: etcd.endpoint })).toMatchObject(works);
    expect(await leader([], { TENURE_ENDPOINTS: etcd.endpoint, ETCDCTL_ENDPOINTS: nowhere })).toMatchObject(works);
    expect(await leader([], { TENURE_ENDPOINTS: nowhere, ETCDCTL_ENDPOINTS: etcd.endpoint })).toMatchObject(fails);
    expect(await leader([], { TENURE_ENDPOINTS: "", ETCDCTL_ENDPOINTS: etcd.endpoint })).toMatchObject(works);
    expect(await leader(["--endpoints", etcd.endpoint], { TENURE_ENDPOINTS: nowhere })).toMatchObject(works);
    expect(await leader(["--endpoints", nowhere], env)).toMatchObject(fails);
    expect(await leader(["--endpoints", `${nowhere},${etcd.endpoint}`], {})).toMatchObject(works);
    expect(await leader([], { ...env, TENURE_OUTPUT: "json" })).toMatchObject({ stdout: expect.stringMatching(/^\{/) });
  });

  it("take namespace and TTL from the environment", async () => {
    const variables = { ...env, TENURE_NAMESPACE: "/spaced/", TENURE_TTL: "33" };
    await using leader = startTenure(["elect", "x", "v"], variables);
    const key = await elected(leader);
    expect(key).toMatch(/^\/spaced\/x\/[0-9a-f]+$/);
    const lease = await etcd.etcdctl("lease", "timetolive", key.slice(key.lastIndexOf("/") + 1));
    expect(lease.stdout).toContain("granted with TTL(33s)");
  });

  it.each([[["--help"]], [["-h"]], [["elect", "--help"]], [["help"]], [["help", "demo"]]])(
    "print help: %j",
    async (args) => {
      const { code, stdout, stderr } = await tenure(args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(/^Usage: tenure /);
      expect(stdout).toContain("--endpoints");
    },
  );

  it("print the version", async () => {
    expect(await tenure(["--version"])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });
});

describe("Ctrl-C", () => {
  it.each(["elect", "observe", "demo"])(
    "ends %s with exit code 130 or 0 while the store does not answer",
    async (command) => {
      await using proxy = await startProxy(etcd.endpoint.replace("http://", ""));
      proxy.blackhole("both");
      const name = command === "demo" ? [] : ["hung"];
      await using child = startTenure([command, ...name, "--endpoints", proxy.endpoint]);
      await until(() => proxy.connections > 0, { what: "connection" });
      child.signal("SIGINT");
      const { code, stderr } = await child.exit();
      expect([0, 130]).toContain(code);
      expect(stderr).toBe("");
    },
  );

  it("ends elect at once the second time, while the store does not answer", async () => {
    await using proxy = await startProxy(etcd.endpoint.replace("http://", ""));
    await using leader = startTenure(["elect", "twice", "v", "--ttl", "60", "--endpoints", proxy.endpoint]);
    await elected(leader);
    proxy.blackhole("both");
    const end = leader.exit();
    // Two that are sent at once may arrive as one.
    await until(
      async () => {
        leader.signal("SIGINT");
        return await Promise.race([end, pause(100)]);
      },
      { what: "end of elect" },
    );
    expect(await end).toMatchObject({ code: 130, stderr: "" });
  });
});

describe("completion", () => {
  let dir: string;
  let script: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "tenure-completion-"));
    script = join(dir, "bash");
    await writeFile(script, (await tenure(["completion", "bash"])).stdout);
  });
  afterAll(() => rm(dir, { recursive: true }));

  async function completed(...words: string[]): Promise<string[]> {
    const call = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tenure; printf "%s\\n" "${COMPREPLY[@]}"';
    const { stdout } = await promisify(execFile)("bash", ["-c", call, script, "tenure", ...words]);
    return linesOf(stdout).filter((line) => line !== "");
  }

  it.each(["bash", "zsh", "fish"])("prints a script for %s that knows each command", async (shell) => {
    const { code, stdout, stderr } = await tenure(["completion", shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const word of [
      "elect",
      "observe",
      "leader",
      "status",
      "resign",
      "dev",
      "demo",
      "endpoints",
      "password-file",
    ]) {
      expect(stdout).toContain(word);
    }
  });

  it("prints a script that bash accepts", async () => {
    expect(await promisify(execFile)("bash", ["-n", script])).toMatchObject({ stderr: "" });
  });

  it("completes commands, flags and their values in bash", async () => {
    expect(await completed("st")).toEqual(["status"]);
    expect(await completed("")).toContain("elect");
    expect(await completed("completion", "")).toEqual(["bash", "zsh", "fish"]);
    expect(await completed("leader", "x", "-o", "j")).toEqual(["json", "jsonl"]);
    expect(await completed("demo", "--f")).toEqual(["--failovers"]);
    expect(await completed("leader", "x", "--end")).toEqual(["--endpoints"]);
    expect(await completed("leader", "x", "--f")).toEqual([]);
    expect(await completed("leader", "--cacert", script)).toEqual([script]);
    expect(await completed("leader", "x")).toEqual([]);
  });

  it("does not take an election's name for a command", async () => {
    expect(await completed("elect", "demo", "--f")).toEqual([]);
  });
});

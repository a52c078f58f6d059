import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../support/until.ts";
import { dead, lives, started, supervise } from "./supervised.ts";
import { keys, leases, linesOf, type Store, stores, tenure } from "./tenure.ts";

const folder = mkdtempSync(join(tmpdir(), "tenure-run-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(stores)("tenure run on $name", ({ start }) => {
  let store: Store;
  beforeAll(async () => void (store = await start()));
  afterAll(() => store[Symbol.asyncDispose]());

  const runs = (name: string, flags: readonly string[], program: readonly string[], env = {}) =>
    tenure(["run", name, "--endpoints", store.endpoint, ...flags, "--", ...program], env);

  it.each([
    ["the program's own exit code", ["sh", "-c", "exit 3"], 3],
    ["0 when it succeeded", ["true"], 0],
    ["128 + the signal that ended it", ["sh", "-c", "kill -9 $$"], 137],
  ])("ends with %s, and leaves neither key nor lease", async (_, program, code) => {
    const before = await leases(store);
    expect(await runs("codes", [], program)).toMatchObject({ code, signal: null, stdout: "" });
    expect(await keys(store, "codes/")).toEqual([]);
    expect(await leases(store)).toEqual(before);
  });

  it("tells the program of its term, passes stdin on, and keeps etcd's credentials to itself", async () => {
    await using supervisor = supervise(store, "facts", {
      flags: ["--value", "10.0.0.5:80"],
      program: ["sh", "-c", "cat; env"],
      env: { TENURE_PASSWORD: "canary", ETCDCTL_USER: "root:canary", TENURE_PASSWORD_FILE: "", TENURE_USER: "" },
    });
    supervisor.write("some input\n");
    await supervisor.line(/^some input$/);
    const [key = ""] = await keys(store, "facts/");
    supervisor.endInput();
    const { code, stdout, stderr } = await supervisor.exit();
    expect(code).toBe(0);
    const lines = linesOf(stdout);
    const token = /TENURE_TOKEN=(\d+)/.exec(stdout)?.[1];
    expect(lines).toEqual(
      expect.arrayContaining([
        "TENURE_ELECTION=facts",
        `TENURE_KEY=${key}`,
        `TENURE_LEASE=${key.slice("facts/".length)}`,
        "TENURE_VALUE=10.0.0.5:80",
        `ETCD_LOCK_KEY=${key}`,
        `ETCD_LOCK_REV=${token}`,
      ]),
    );
    expect(stdout + stderr).not.toContain("canary");
    expect(stdout).not.toMatch(/^(TENURE|ETCDCTL)_(USER|PASSWORD)/m);
  });

  it("starts the next node's program when this one's has ended, not before, with a higher token", async () => {
    const program = ["sh", "-c", "echo started $$ $TENURE_TOKEN; trap 'sleep 0.5; echo ended; exit 7' TERM; cat"];
    await using first = supervise(store, "order", { program });
    const one = await started(first);
    await using second = supervise(store, "order");
    await until(async () => (await keys(store, "order/")).length === 2, { what: "second candidate" });
    expect(second.lines).toEqual([]);
    first.signal("SIGTERM");
    const two = await started(second);
    expect(first.lines).toContain("ended");
    expect(lives(one.pid)).toBe(false);
    expect(two.token).toBeGreaterThan(one.token);
    expect(await first.exit()).toMatchObject({ code: 7 });
  });

  it("kills what ignores the stop signal, and what left the group, before it lets go", async () => {
    const stubborn =
      "trap '' TERM; echo started $$ $TENURE_TOKEN; setsid sleep 1000 & echo child $!; while :; do sleep 1; done";
    await using supervisor = supervise(store, "stubborn", {
      flags: ["--stop-timeout", "0.3"],
      program: ["sh", "-c", stubborn],
    });
    const { pid } = await started(supervisor);
    const child = Number((await supervisor.line(/^child/)).split(" ")[1]);
    expect([lives(pid), lives(child)]).toEqual([true, true]);
    supervisor.signal("SIGTERM");
    expect(await supervisor.exit()).toMatchObject({ code: 137 });
    expect([lives(pid), lives(child)]).toEqual([false, false]);
    expect(await keys(store, "stubborn/")).toEqual([]);
  });

  it("kills what a program leaves behind, before another node's starts", async () => {
    await using supervisor = supervise(store, "left", {
      program: ["sh", "-c", "setsid -f sleep 1000; sleep 1000 & echo child $!; exit 4"],
    });
    const child = Number((await supervisor.line(/^child/)).split(" ")[1]);
    expect(await supervisor.exit()).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("sh left processes behind, which were killed"),
    });
    expect(lives(child)).toBe(false);
  });

  it("stands again behind the others with --on-exit resign", async () => {
    const flags = ["--on-exit", "resign"];
    await using first = supervise(store, "turns", { flags });
    const one = await started(first);
    await using second = supervise(store, "turns", { flags });
    await until(async () => (await keys(store, "turns/")).length === 2, { what: "second candidate" });
    process.kill(one.pid, "SIGKILL");
    const two = await started(second);
    await until(async () => (await keys(store, "turns/")).length === 2, { what: "first candidate again" });
    process.kill(two.pid, "SIGKILL");
    const three = await started(first);
    expect([one.token < two.token, two.token < three.token]).toEqual([true, true]);
  });

  it("restarts the program in its term with --on-exit restart, and gives it up after some quick ends", async () => {
    await using supervisor = supervise(store, "again", {
      flags: ["--on-exit", "restart", "--max-restarts", "2"],
      program: ["sh", "-c", "echo started $$ $TENURE_TOKEN; exit 1"],
    });
    const tokens: bigint[] = [];
    for (let count = 0; count < 4; count++) tokens.push((await started(supervisor)).token);
    expect(tokens[1]).toBe(tokens[0]);
    expect(tokens[2]).toBe(tokens[0]);
    expect(tokens[3]).toBeGreaterThan(tokens[0] ?? 0n);
    supervisor.signal("SIGTERM");
    await supervisor.exit();
  });

  it("runs the hooks in order, with JSON on stdin", async () => {
    const file = join(folder, "hooks");
    writeFileSync(file, "");
    const hook = (name: string): string[] => [`--${name}`, `echo ${name} $TENURE_TOKEN >> ${file}; cat >> ${file}`];
    await using supervisor = supervise(store, "hooked", {
      flags: [...hook("pre-promote"), ...hook("on-promote"), ...hook("on-demote"), "--value", "v"],
      program: ["sh", "-c", `echo program >> ${file}; echo started $$ $TENURE_TOKEN; exec sleep 1000`],
    });
    const { token } = await started(supervisor);
    await until(() => readFileSync(file, "utf8").includes('"on-promote"'), { what: "hook on-promote" });
    supervisor.signal("SIGTERM");
    expect(await supervisor.exit()).toMatchObject({ code: 143 });
    const lines = linesOf(readFileSync(file, "utf8"));
    const told = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as object);
    const called = lines.filter((line) => !line.startsWith("{") && line !== "program");
    expect(called).toEqual(["pre-promote", "on-promote", "on-demote"].map((name) => `${name} ${token}`));
    expect(lines.indexOf("program")).toBeGreaterThan(lines.indexOf(`pre-promote ${token}`));
    expect(told).toMatchObject([
      { hook: "pre-promote", election: "hooked", role: "leader", token: String(token), leader: { value: "v" } },
      { hook: "on-promote", role: "leader", reason: null },
      { hook: "on-demote", role: "standby", reason: "SIGTERM was received" },
    ]);
  });

  it("gives the term up when the hook pre-promote refuses, and starts nothing", async () => {
    await using refusing = supervise(store, "gate", { flags: ["--pre-promote", "exit 1"] });
    await refusing.errorLine(/pre-promote refused/);
    await using willing = supervise(store, "gate");
    await started(willing);
    expect(refusing.lines).toEqual([]);
    refusing.signal("SIGTERM");
    expect(await refusing.exit()).toMatchObject({ code: 143, stdout: "" });
  });

  it("kills a hook that hangs", async () => {
    await using supervisor = supervise(store, "hangs", {
      flags: ["--pre-promote", "sleep 1000", "--hook-timeout", "0.2"],
    });
    await supervisor.errorLine(/pre-promote took longer than 0.2 s and was killed/);
    expect(supervisor.lines).toEqual([]);
  });

  it("tells a node of every leader, itself included", async () => {
    const file = join(folder, "changes");
    writeFileSync(file, "");
    await using leader = supervise(store, "changes", { flags: ["--value", "a"] });
    const { pid } = await started(leader);
    await using second = supervise(store, "changes", {
      flags: ["--value", "b", "--on-leader-change", `cat >> ${file}`],
    });
    await until(() => readFileSync(file, "utf8").includes('"value":"a"'), { what: "hook for the first leader" });
    process.kill(pid, "SIGKILL");
    await until(() => readFileSync(file, "utf8").includes('"value":"b"'), { what: "hook for the second leader" });
    const told = linesOf(readFileSync(file, "utf8")).map((line) => JSON.parse(line) as object);
    expect(told[0]).toMatchObject({ hook: "on-leader-change", election: "changes", role: "standby" });
    expect(told.at(-1)).toMatchObject({ role: "leader", leader: { value: "b" } });
    second.signal("SIGTERM");
    expect(await second.exit()).toMatchObject({ code: 143 });
  });

  it("runs another program while it stands by, which has ended before the first one starts", async () => {
    await using leader = supervise(store, "standby");
    const { pid } = await started(leader);
    await using second = supervise(store, "standby", {
      flags: ["--standby-cmd", "echo waiting $$; exec sleep 1000"],
      program: ["sh", "-c", "echo started $$ $TENURE_TOKEN; exec sleep 1000"],
    });
    const waiting = Number((await second.line(/^waiting/)).split(" ")[1]);
    expect(lives(waiting)).toBe(true);
    process.kill(pid, "SIGKILL");
    await started(second);
    expect(lives(waiting)).toBe(false);
  });

  it("stops the program when a transfer is asked for, and then hands over", async () => {
    const program = [
      "sh",
      "-c",
      "echo started $$ $TENURE_TOKEN; trap 'echo ended; exit 0' TERM; while :; do sleep 0.05; done",
    ];
    await using first = supervise(store, "moved", { program, flags: ["--on-exit", "resign"] });
    const { pid } = await started(first);
    await using second = supervise(store, "moved", { flags: ["--value", "target"] });
    await until(async () => (await keys(store, "moved/")).length === 2, { what: "second candidate" });
    expect(await tenure(["transfer", "moved", "--to", "target", "--endpoints", store.endpoint])).toMatchObject({
      code: 0,
    });
    await started(second);
    expect(first.lines).toContain("ended");
    expect(lives(pid)).toBe(false);
  });

  it("kills the program when its key was deleted, for another may lead already, and ends with 79", async () => {
    await using supervisor = supervise(store, "deposed");
    const { pid } = await started(supervisor);
    expect(await tenure(["resign", "deposed", "--endpoints", store.endpoint])).toMatchObject({ code: 0 });
    await dead(pid);
    expect(await supervisor.exit()).toMatchObject({ code: 79, stderr: expect.stringContaining("was deleted") });
  });

  it("gives up after --timeout with exit code 75, and has started nothing", async () => {
    await using leader = supervise(store, "limited");
    await started(leader);
    const { code, stdout, stderr } = await runs("limited", ["--timeout", "1"], ["echo", "started"]);
    expect([code, stdout]).toEqual([75, ""]);
    expect(stderr).toContain("not elected within 1 s");
    expect(await keys(store, "limited/")).toHaveLength(1);
  });

  it("can use `tenure` in the program, whose key is no file for --key", async () => {
    const program = ["sh", "-c", `exec "$0" "$1" leader inner --endpoints ${store.endpoint}`, process.execPath];
    const bin = new URL("../../packages/cli/bin/tenure.js", import.meta.url).pathname;
    const { code, stdout } = await runs("inner", ["--value", "me"], [...program, bin]);
    expect(code).toBe(0);
    expect(stdout).toContain("me");
  });
});

describe("tenure run, before it stands", () => {
  const refused = (...args: string[]) => tenure(["run", "job", "--endpoints", "http://127.0.0.1:1", ...args]);

  it.each([
    [127, "/no/such: there is no such file", ["--", "/no/such"]],
    [127, "no-such-program: not found in PATH", ["--", "no-such-program"]],
    [126, "/etc/passwd: it is not executable", ["--", "/etc/passwd"]],
    [126, "/etc: it is a directory", ["--", "/etc"]],
    [64, "a command is missing", ["--"]],
    [64, "--stop-signal", ["--stop-signal", "KILL", "--", "true"]],
    [64, "--on-exit", ["--on-exit", "retry", "--", "true"]],
    [64, "--stop-timeout", ["--stop-timeout", "-1", "--", "true"]],
    [64, "--max-restarts", ["--on-exit", "restart", "--max-restarts", "1.5", "--", "true"]],
    [64, "--contain", ["--contain", "jail", "--", "true"]],
    [
      78,
      "5 s renewal + 8 s stop timeout + 0.5 s kill margin must be below the 9.4 s",
      ["--stop-timeout", "8", "--", "true"],
    ],
    [78, "raise --ttl", ["--ttl", "2", "--", "true"]],
    [69, "no endpoint answers", ["--timeout", "1", "--", "true"]],
  ])("ends with %i and says: %s", async (code, message, args) => {
    const end = await refused(...args);
    expect(end).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(message) });
    expect(linesOf(end.stderr)).toHaveLength(1);
  });

  it("finds a script whose interpreter is missing", async () => {
    const script = join(folder, "script");
    writeFileSync(script, "#!/no/such/interpreter\n", { mode: 0o755 });
    expect(await refused("--", script)).toMatchObject({
      code: 126,
      stderr: expect.stringContaining("/no/such/interpreter"),
    });
  });

  it("explains the times it would keep", async () => {
    const { code, stdout } = await refused("--ttl", "30", "--stop-timeout", "4", "--explain");
    expect(code).toBe(0);
    expect(linesOf(stdout).map((line) => line.replace(/ {2,}.*? {2,}/, ": ").split("  ")[0])).toHaveLength(9);
    expect(stdout).toMatch(/stop timeout +4 s/);
    expect(stdout).toMatch(/SIGKILL after +28\.6 s/);
  });
});

import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { tenureBin } from "../support/process.ts";
import { childrenOf, commandOf, dead, groupOf, lives, started, supervise } from "./supervised.ts";
import { keys, leases } from "./tenure.ts";

const TTL_SECONDS = 4;
const flags = ["--ttl", String(TTL_SECONDS), "--on-exit", "resign"];
/** A worker with a child in its group, and one that left it. */
const family = [
  "sh",
  "-c",
  "sleep 1000 & echo child $!; setsid sleep 1000 & echo child $!; echo started $$ $TENURE_TOKEN; exec sleep 1000",
];

describe("tenure run", () => {
  let store: RealEtcd;
  beforeAll(async () => void (store = await startEtcd()));
  afterAll(() => store.stop());

  const guardOf = (supervisor: number): Promise<number> =>
    until(() => childrenOf(supervisor).find((pid) => commandOf(pid).includes("guard.js")), { what: "guard" });

  it("that is killed is replaced long before the TTL, with nothing left of what it ran", async () => {
    const long = ["--ttl", "60"];
    await using first = supervise(store, "killed", { flags: long, program: family });
    const { pid } = await started(first);
    const children = first.lines.filter((line) => line.startsWith("child")).map((line) => Number(line.split(" ")[1]));
    expect(children).toHaveLength(2);
    await using second = supervise(store, "killed", { flags: long });
    await until(async () => (await keys(store, "killed/")).length === 2, { what: "second candidate" });
    first.signal("SIGKILL");
    await started(second, 5000);
    expect([pid, ...children].filter(lives)).toEqual([]);
    expect(await keys(store, "killed/")).toHaveLength(1);
  });

  it("that is killed while it stands by leaves the queue at once", async () => {
    await using first = supervise(store, "queue", { flags: ["--ttl", "60"] });
    await started(first);
    await using second = supervise(store, "queue", { flags: ["--ttl", "60"] });
    await until(async () => (await keys(store, "queue/")).length === 2, { what: "second candidate" });
    second.signal("SIGKILL");
    await until(async () => (await keys(store, "queue/")).length === 1, { what: "end of the key", timeoutMs: 5000 });
  });

  it("that is frozen has its program killed before the next one starts, and steps aside once it runs", async () => {
    await using first = supervise(store, "frozen", { flags });
    const { pid } = await started(first);
    await using second = supervise(store, "frozen", { flags });
    await until(async () => (await keys(store, "frozen/")).length === 2, { what: "second candidate" });
    first.signal("SIGSTOP");
    await dead(pid, TTL_SECONDS * 1000);
    expect(await keys(store, "frozen/")).toHaveLength(2);
    expect(second.lines).toEqual([]);
    await started(second);
    first.signal("SIGCONT");
    await first.errorLine(/stood still|the lease .* is over|no keep-alive was answered in time/);
    await until(async () => (await keys(store, "frozen/")).length === 2, { what: "first candidate again" });
    expect(first.lines).toHaveLength(1);
  });

  it("stops the program before its key is gone when the link to etcd is cut, and leads again later", async () => {
    await using proxy = await startProxy(store.endpoint);
    await using supervisor = supervise(proxy, "cut", { flags });
    const one = await started(supervisor);
    proxy.blackhole();
    await dead(one.pid);
    expect(await keys(store, "cut/")).toHaveLength(1);
    await supervisor.errorLine(/no keep-alive was answered in time/);
    await until(async () => (await keys(store, "cut/")).length === 0, { what: "end of the key" });
    proxy.heal();
    const two = await started(supervisor, 20_000);
    expect(two.token).toBeGreaterThan(one.token);
  });

  it("kills a program that ignores the stop signal, in time, when the link to etcd is cut", async () => {
    await using proxy = await startProxy(store.endpoint);
    await using supervisor = supervise(proxy, "deaf", {
      flags: ["--ttl", String(TTL_SECONDS)],
      program: ["sh", "-c", "trap '' TERM; echo started $$ $TENURE_TOKEN; while :; do sleep 1; done"],
    });
    const { pid } = await started(supervisor);
    proxy.blackhole();
    await dead(pid);
    expect(await keys(store, "deaf/")).toHaveLength(1);
    expect(await supervisor.exit()).toMatchObject({ code: 79 });
  });

  it("notices the death of its guard within a second, and is as safe as before", async () => {
    await using supervisor = supervise(store, "guarded", { flags: ["--ttl", "60"] });
    const { pid } = await started(supervisor);
    const guard = await guardOf(supervisor.pid);
    process.kill(guard, "SIGKILL");
    await supervisor.errorLine(/the guard ended \(SIGKILL\); starting another/, 1000);
    await until(async () => (await guardOf(supervisor.pid)) !== guard, { what: "another guard" });
    expect(lives(pid)).toBe(true);
    supervisor.signal("SIGKILL");
    await dead(pid);
    await until(async () => (await keys(store, "guarded/")).length === 0, { what: "end of the key", timeoutMs: 5000 });
  });

  it("that is killed without a guard leaves the lease to its TTL, and what the program started to itself", async () => {
    await using supervisor = supervise(store, "bare", { flags: [...flags, "--no-guard"], program: family });
    const { pid } = await started(supervisor);
    const children = supervisor.lines.filter((line) => line.startsWith("child")).map((line) => Number(line.slice(6)));
    const [key = ""] = await keys(store, "bare/");
    supervisor.signal("SIGKILL");
    await dead(pid);
    expect(children.filter(lives)).toEqual(children);
    expect(await leases(store)).toContain(key.slice("bare/".length));
    for (const child of children) process.kill(child, "SIGKILL");
  });

  it("that is killed with its guard has its program killed by the kernel", async () => {
    await using supervisor = supervise(store, "both", { flags: ["--ttl", "60"] });
    const { pid } = await started(supervisor);
    process.kill(await guardOf(supervisor.pid), "SIGKILL");
    supervisor.signal("SIGKILL");
    await dead(pid);
    expect(await keys(store, "both/")).toHaveLength(1);
  });

  it.each([
    ["a pipe", (command: string) => spawn("sh", ["-c", `${command} 2>&1 | sleep 1000`], { detached: true })],
    ["a socket", (command: string) => spawn("sh", ["-c", `exec ${command} 2>&1`], { detached: true })],
  ])(
    "goes on leading, and ends, while nobody reads the end of %s that it and its program print to",
    async (_, open) => {
      const command =
        `${process.execPath} ${tenureBin} run loud --endpoints ${store.endpoint} --ttl 4 --on-exit restart ` +
        "--max-restarts 1000 --on-leader-change 'exit 1' -- sh -c 'head -c 500000 /dev/zero; exec sleep 1000'";
      const shell = open(command);
      try {
        await until(async () => (await keys(store, "loud/")).length === 1, { what: "leader" });
        const [key] = await keys(store, "loud/");
        // Longer than the TTL: a supervisor that was blocked would have lost its lease.
        const enough = performance.now() + 6000;
        await until(() => performance.now() >= enough, { what: "time to pass", intervalMs: 100 });
        expect(await keys(store, "loud/")).toEqual([key]);
        const all = groupOf(shell.pid ?? -1);
        const supervisor = all.find((pid) => commandOf(pid)[1] === tenureBin) ?? -1;
        const [program = -1] = childrenOf(supervisor).filter((pid) => commandOf(pid)[0] === "sh");
        process.kill(supervisor, "SIGTERM");
        await dead(supervisor, 5000);
        expect(lives(program)).toBe(false);
        expect(await keys(store, "loud/")).toEqual([]);
      } finally {
        for (const pid of groupOf(shell.pid ?? -1)) process.kill(pid, "SIGKILL");
      }
    },
  );
});

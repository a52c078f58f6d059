import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { launch } from "../support/children.ts";
import { tenureBin } from "../support/process.ts";
import { startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { childrenOf, dead, lives, started, supervise } from "./supervised.ts";
import { keys } from "./tenure.ts";

const CANARY = "canary-7f3b1c";
const folder = mkdtempSync(join(tmpdir(), "tenure-run-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What all processes show of themselves, but this one and its like. */
function shownByProcesses(file: "cmdline" | "environ", of: (pid: number) => boolean): string {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger).filter(of);
  return pids
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, "utf8");
      } catch {
        return "";
      }
    })
    .join("\n");
}

describe("tenure run with a password", () => {
  it("shows it to nobody, and its guard can use it", async () => {
    await using etcd = await startEtcd();
    for (const command of [`user add root:${CANARY}`, "user grant-role root root", "auth enable"]) {
      expect(await etcd.etcdctl(...command.split(" "))).toMatchObject({ code: 0 });
    }
    const as = ["--user", `root:${CANARY}`];
    const file = join(folder, "password");
    const hooked = join(folder, "hooked");
    writeFileSync(file, `${CANARY}\n`);
    const flags = [
      "--ttl",
      "60",
      "--user",
      "root",
      "--password-file",
      file,
      "--on-promote",
      `env > ${hooked}; cat >> ${hooked}`,
    ];
    await using supervisor = supervise(etcd, "secret", {
      flags,
      program: ["sh", "-c", "env; echo started $$ $TENURE_TOKEN; exec sleep 1000"],
      env: { TENURE_PASSWORD: CANARY },
    });
    const { pid } = await started(supervisor);
    await until(() => readFileSync(hooked, "utf8").includes("on-promote"), { what: "hook on-promote" });
    // The program and the guard, once the hook has ended.
    const ours = await until(
      () => {
        const children = childrenOf(supervisor.pid);
        return children.length === 2 && children;
      },
      { what: "end of the hook" },
    );
    expect(shownByProcesses("cmdline", () => true)).not.toContain(CANARY);
    expect(shownByProcesses("environ", (each) => ours.includes(each))).not.toContain(CANARY);
    const all = await etcd.etcdctl(...as, "get", "", "--prefix");
    expect(all.stdout).toContain("secret/");
    expect(all.stdout).not.toContain(CANARY);

    supervisor.signal("SIGKILL");
    await dead(pid);
    const gone = async (): Promise<boolean> => (await etcd.etcdctl(...as, "get", "secret/", "--prefix")).stdout === "";
    await until(gone, { what: "end of the key", timeoutMs: 5000 });
    expect(supervisor.stdout + supervisor.stderr + readFileSync(hooked, "utf8")).not.toContain(CANARY);
  });

  it("does not repeat a wrong one, and ends with 77", async () => {
    await using etcd = await startEtcd();
    for (const command of ["user add root:pw", "user grant-role root root", "auth enable"]) {
      expect(await etcd.etcdctl(...command.split(" "))).toMatchObject({ code: 0 });
    }
    const env = { TENURE_USER: "root", TENURE_PASSWORD: CANARY };
    await using supervisor = supervise(etcd, "secret", { program: ["echo", "started"], env });
    const { code, stdout, stderr } = await supervisor.exit();
    expect([code, stdout]).toEqual([77, ""]);
    expect(stderr).not.toContain(CANARY);
  });
});

const unshare = "/usr/bin/unshare";
const inNamespace = ["--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
const canUnshare = spawnSync(unshare, [...inNamespace, "true"]).status === 0;

describe.runIf(canUnshare)("tenure run as pid 1", () => {
  it("is told to stop, stops the program and what it left to pid 1, and ends with the program's code", async () => {
    await using etcd = await startEtcd();
    const program = "setsid -f sleep 1000; trap 'exit 9' TERM; echo started; while :; do sleep 0.02; done";
    const command = [
      process.execPath,
      tenureBin,
      "run",
      "first",
      "--endpoints",
      etcd.endpoint,
      "--",
      "sh",
      "-c",
      program,
    ];
    const container = launch(unshare, [...inNamespace, ...command], { env: process.env });
    const ended = new Promise<number | null>((resolve) => container.once("exit", resolve));
    let text = "";
    container.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await until(() => text.includes("started"), { what: "program" });
    const [supervisor = -1] = childrenOf(container.pid ?? -1);
    process.kill(supervisor, "SIGTERM");
    expect(await ended).toBe(9);
    expect(lives(supervisor)).toBe(false);
    expect(await keys(etcd, "first/")).toEqual([]);
  });
});

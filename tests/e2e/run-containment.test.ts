import { spawnSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import { constants } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containmentNamed } from "../../packages/cli/src/run/containment.ts";
import { launch } from "../support/children.ts";
import { type NodeProcess, tenureBin } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { childrenOf, commandOf, lives, membersOf, namespaceBelow, started, supervise } from "./supervised.ts";
import { keys, linesOf } from "./tenure.ts";

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const;

/** Ignores the signal, leaves the group, loses its parent, and shows no environment. */
const escaping = [
  "sh",
  "-c",
  "trap '' TERM; setsid -f env -i sh -c 'trap \"\" TERM; echo escaped $$; while :; do sleep 1; done'; " +
    "echo started $$ $TENURE_TOKEN; while :; do sleep 1; done",
];

function works(containment: string): boolean {
  try {
    containmentNamed(containment);
    return true;
  } catch {
    return false;
  }
}

const unshare = "/usr/bin/unshare";
const userNamespaces = spawnSync(unshare, ["--user", "true"]).status === 0;

let store: RealEtcd;
beforeAll(async () => void (store = await startEtcd()));
afterAll(() => store.stop());

const noKeys = (name: string): Promise<unknown> =>
  until(async () => (await keys(store, `${name}/`)).length === 0, { what: "end of the key", timeoutMs: 5000 });

describe.runIf(works("cgroup"))("tenure run --contain cgroup", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)("leaves nothing alive after %s, whatever it did", async (signal) => {
    const flags = ["--contain", "cgroup", "--stop-timeout", "0.2"];
    await using supervisor = supervise(store, "cgroup", { flags, program: escaping });
    const escaped = Number((await supervisor.line(/^escaped/)).split(" ")[1]);
    const pid = await until(() => /^started (\d+)/m.exec(supervisor.stdout)?.[1], { what: "program" });
    const all = [escaped, Number(pid)];
    expect(all.filter(lives)).toEqual(all);
    supervisor.signal(signal);
    await noKeys("cgroup");
    expect(all.filter(lives)).toEqual([]);
  });
});

describe.runIf(works("pidns"))("tenure run --contain pidns", () => {
  const contain = ["--contain", "pidns"];

  /** Starts a program that escapes whatever else holds it, and waits until it has done so. */
  async function escaped(supervisor: NodeProcess): Promise<{ namespace: string; members: number[] }> {
    await supervisor.line(/^escaped/);
    await until(() => supervisor.stdout.includes("started"), { what: "program" });
    const namespace = await until(() => namespaceBelow(supervisor.pid), { what: "namespace" });
    const members = membersOf(namespace);
    // The first process, the program, and the one that escaped at least.
    expect(members.length).toBeGreaterThanOrEqual(3);
    return { namespace, members };
  }

  it.each(["SIGTERM", "SIGKILL"] as const)("leaves nothing alive after %s, whatever it did", async (signal) => {
    const flags = [...contain, "--stop-timeout", "0.2"];
    await using supervisor = supervise(store, "pidns", { flags, program: escaping });
    const { namespace, members } = await escaped(supervisor);
    supervisor.signal(signal);
    await noKeys("pidns");
    expect(membersOf(namespace)).toEqual([]);
    expect(members.filter(lives)).toEqual([]);
  });

  it("leaves nothing alive when supervisor and guard are killed, and the lease to its TTL", async () => {
    await using supervisor = supervise(store, "both", { flags: [...contain, "--ttl", "60"], program: escaping });
    const { namespace, members } = await escaped(supervisor);
    const guard = childrenOf(supervisor.pid).find((pid) => commandOf(pid).includes("guard.js")) ?? -1;
    process.kill(guard, "SIGKILL");
    supervisor.signal("SIGKILL");
    await until(() => membersOf(namespace).length === 0, { what: "end of the namespace", timeoutMs: 5000 });
    expect(members.filter(lives)).toEqual([]);
    expect(await keys(store, "both/")).toHaveLength(1);
  });

  it("ends what the program leaves behind with the program", async () => {
    const program = ["sh", "-c", "setsid -f env -i sh -c 'echo escaped; exec sleep 1000'; echo started; read line"];
    await using supervisor = supervise(store, "left", { flags: [...contain, "--on-exit", "resign"], program });
    const { namespace } = await escaped(supervisor);
    supervisor.endInput();
    await supervisor.errorLine(/exited with 1; stepping down/);
    await until(() => membersOf(namespace).length === 0, { what: "end of the namespace" });
  });

  it.each([
    ["its own", "exit 3", 3],
    ["128 + the signal that ended it", "kill -9 $$", 137],
  ])("ends with the program's exit code: %s", async (_, script, code) => {
    const program = ["sh", "-c", `echo started; ${script}`];
    await using supervisor = supervise(store, "codes", { flags: contain, program });
    expect(await supervisor.exit()).toMatchObject({ code, stdout: "started\n" });
    // Nothing but our own line: the namespace's first process is silent.
    expect(linesOf(supervisor.stderr).filter((line) => !line.startsWith("tenure: "))).toEqual([]);
  });

  it.each(SIGNALS)("%s ends a program that does not handle it, which a first process would not get", async (signal) => {
    await using supervisor = supervise(store, "unhandled", { flags: [...contain, "--ttl", "60"] });
    await started(supervisor);
    supervisor.signal(signal);
    expect(await supervisor.exit()).toMatchObject({ code: 128 + constants.signals[signal] });
  });

  it("passes signals on to all of the program's group", async () => {
    const child = "trap 'echo child got it' USR1; echo ready; while :; do sleep 0.02; done";
    const script = `trap 'echo program got it' USR1; sh -c "${child}" & while :; do sleep 0.02; done`;
    await using supervisor = supervise(store, "group", { flags: contain, program: ["sh", "-c", script] });
    await supervisor.line(/^ready/);
    supervisor.signal("SIGUSR1");
    for (const line of ["child got it", "program got it"]) {
      await until(() => supervisor.lines.includes(line), { what: line });
    }
  });

  it("passes on a signal that comes while the namespace is being made", async () => {
    for (let afterMs = 0; afterMs <= 15; afterMs += 5) {
      await using supervisor = supervise(store, "early", { flags: [...contain, "--ttl", "60"] });
      await supervisor.errorLine(/^tenure: leading/);
      const sendAt = performance.now() + afterMs;
      await until(() => performance.now() >= sendAt, { what: "moment", intervalMs: 1 });
      supervisor.signal("SIGTERM");
      // Else it is killed after the stop timeout, which makes 137.
      expect(await supervisor.exit(20_000)).toMatchObject({ code: 143 });
    }
  });

  it("takes in orphans, so that no zombie stays", async () => {
    const program = ["sh", "-c", "for i in 1 2 3; do (sleep 0.01 &); done; echo started; read line; ls /proc"];
    await using supervisor = supervise(store, "orphans", { flags: contain, program });
    await supervisor.line(/^started/);
    const namespace = await until(() => namespaceBelow(supervisor.pid), { what: "namespace" });
    await until(() => membersOf(namespace).length === 2, { what: "end of the orphans" });
    supervisor.endInput();
    const { stdout } = await supervisor.exit();
    // The first process, the program, and `ls` itself: what is dead is gone.
    expect(linesOf(stdout).filter((line) => /^\d+$/.test(line))).toHaveLength(3);
  });

  it("brings the program every variable, also those that a shell drops", async () => {
    const options = { flags: contain, program: ["env"], env: { "a.b": "kept as it is" } };
    await using supervisor = supervise(store, "variables", options);
    const { stdout } = await supervisor.exit();
    expect(linesOf(stdout)).toContain("a.b=kept as it is");
    expect(stdout).not.toContain("TENURE_VARIABLE");
  });

  it("leaves the program its user, stdin, and a session of its own", async () => {
    const program = ["sh", "-c", "cat; id -u; echo $$; cut -d' ' -f5,6 /proc/$$/stat"];
    await using supervisor = supervise(store, "facts", { flags: contain, program });
    supervisor.write("some input\n");
    await supervisor.line(/^some input$/);
    supervisor.endInput();
    const { stdout } = await supervisor.exit();
    expect(linesOf(stdout)).toEqual(["some input", String(process.getuid?.()), "2", "2 2"]);
  });

  /** Starts a supervisor as somebody less. */
  async function superviseAs(who: readonly string[], script: string): Promise<{ code: number | null; output: string }> {
    const command = [process.execPath, tenureBin, "run", "less", "--endpoints", store.endpoint, ...contain];
    const child = launch("env", [...who, ...command, "--", "sh", "-c", script], { env: process.env });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += String(chunk)));
    const code = await new Promise<number | null>((resolve) => void child.once("close", (each) => resolve(each)));
    return { code, output };
  }

  it.runIf(userNamespaces)(
    "needs no privileges: without them it makes a user namespace, in which nobody is another",
    async () => {
      const less =
        process.getuid?.() === 0 ? ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"] : [];
      const { code, output } = await superviseAs(less, "id -u; id -g; echo $$; readlink /proc/self/ns/user; exit 3");
      const [uid, gid, pid, namespace] = linesOf(output).filter((line) => !line.startsWith("tenure: "));
      expect([uid, gid, pid]).toEqual([String(process.getuid?.()), String(process.getgid?.()), "2"]);
      expect(namespace).not.toBe(readlinkSync("/proc/self/ns/user"));
      expect(code).toBe(3);
    },
  );

  it.runIf(userNamespaces)(
    "is refused before it stands, in one line, where such namespaces are forbidden",
    async () => {
      const forbid = 'for kind in pid user; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done; exec "$@"';
      const without = [unshare, "--user", "--map-root-user", "sh", "-c", forbid, "sh"];
      const { code, output } = await superviseAs(without, "echo started");
      expect(code).toBe(78);
      expect(output).toMatch(
        /^tenure: --contain pidns: .*user.max_user_namespaces is 0 .*--contain group needs nothing\n$/,
      );
      expect(await keys(store, "less/")).toEqual([]);
    },
  );
});

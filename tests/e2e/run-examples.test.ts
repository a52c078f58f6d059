// The files in examples/run, as far as that goes without a container engine and without systemd: what they name exists,
// and what they start is started.
import { type ChildProcess, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { containmentNamed } from "../../packages/cli/src/run/containment.ts";
import { launch } from "../support/children.ts";
import { root, tenureBin } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { until } from "../support/until.ts";
import { childrenOf, descendantsOf, lives, membersOf, namespaceBelow } from "./supervised.ts";
import { keys, linesOf, startTenure, tenure } from "./tenure.ts";

const linesIn = (file: string): string[] => linesOf(readFileSync(join(root, "examples/run", file), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "tenure-run-"));
afterAll(() => rmSync(folder, { recursive: true }));

const systemdAnalyze = "/usr/bin/systemd-analyze";
const unshare = "/usr/bin/unshare";
const inNamespace = ["--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
const namespaces = spawnSync(unshare, [...inNamespace, "true"]).status === 0;
const works = (containment: string): boolean => {
  try {
    containmentNamed(containment);
    return true;
  } catch {
    return false;
  }
};

let store: RealEtcd;
beforeAll(async () => void (store = await startEtcd()));
afterAll(() => store.stop());

describe("the Containerfile", () => {
  const steps = linesIn("Containerfile")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({ name: line.split(" ", 1)[0] ?? "", text: line.slice(line.indexOf(" ") + 1) }));
  const textOf = (name: string): string => steps.find((step) => step.name === name)?.text ?? "";
  const wordsOf = (name: string): string[] => JSON.parse(textOf(name)) as string[];
  /** The same file in this repository, all of which is copied to the working directory. */
  const here = (path: string): string => path.replace(`${textOf("WORKDIR")}/`, root);

  it("has the steps that are needed, in order, and names what exists", () => {
    const names = steps.map(({ name }) => name);
    expect(names).toEqual(["FROM", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"]);
    expect(textOf("COPY")).toBe(". .");
    const { scripts, engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
      engines: { node: string };
    };
    for (const [, script = ""] of textOf("RUN").matchAll(/npm run (\S+)/g)) expect(scripts[script]).toBeDefined();
    expect(existsSync(join(root, "package-lock.json"))).toBe(true);
    const [, image = "0"] = /library\/node:(\d+)/.exec(textOf("FROM")) ?? [];
    const [, oldest = "99"] = /(\d+)\./.exec(engines.node) ?? [];
    expect(Number(image)).toBeGreaterThan(Number(oldest));
    expect(here(wordsOf("ENTRYPOINT")[1] ?? "")).toBe(tenureBin);
    expect(existsSync(tenureBin)).toBe(true);
  });

  /** Runs its ENTRYPOINT, with flags and a program, as first process of a PID namespace. */
  function contained(
    program: readonly string[],
    flags: readonly string[] = [],
  ): { child: ChildProcess; said: () => string } {
    const [node, ...entrypoint] = wordsOf("ENTRYPOINT").map(here);
    expect([node, entrypoint.at(-1)]).toEqual(["node", "--"]);
    const [first = "", ...rest] = program.map((word, index) =>
      index === 0 && word === "node" ? process.execPath : word,
    );
    const command = [process.execPath, ...entrypoint.slice(0, -1), ...flags, "--", first, ...rest];
    const env = { ...process.env, TENURE_ENDPOINTS: store.endpoint };
    const child = launch(unshare, [...inNamespace, ...command], { env });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += String(chunk)));
    return { child, said: () => text };
  }

  it.runIf(namespaces)("starts its program as pid 1, and ends it in order when it is told to stop", async () => {
    const { child, said } = contained(wordsOf("CMD"));
    const ended = new Promise<number | null>((resolve) => void child.once("exit", resolve));
    await until(() => /leading with token \d+\n/.test(said()), { what: "program" });
    const [supervisor = -1] = childrenOf(child.pid ?? -1);
    const namespace = namespaceBelow(child.pid ?? -1) ?? "";
    expect(membersOf(namespace)).toContain(supervisor);
    expect(await keys(store, "my-service/")).toHaveLength(1);
    process.kill(supervisor, "SIGTERM");
    expect(await ended).toBe(143);
    expect(await keys(store, "my-service/")).toEqual([]);
    expect(membersOf(namespace)).toEqual([]);
  });

  it.runIf(namespaces)("leaves orphans as zombies without --init, as it says, and has none with pidns", async () => {
    const orphaning = ["sh", "-c", "(sh -c 'sleep 0.01; echo ended' &); exec sleep 1000"];
    // The program, the guard, and a zombie; or the two that make the namespace, the program, and the guard.
    for (const [flags, size, zombies] of [
      [[], 3, 1],
      [["--contain", "pidns"], 4, 0],
    ] as const) {
      const { child, said } = contained(orphaning, flags);
      await until(() => said().includes("ended"), { what: "end of the orphan" });
      const [supervisor = -1] = childrenOf(child.pid ?? -1);
      await until(() => descendantsOf(supervisor).length === size, { what: `${size} processes` });
      expect(descendantsOf(supervisor).filter((pid) => !lives(pid))).toHaveLength(zombies);
      process.kill(supervisor, "SIGTERM");
      await until(() => !lives(supervisor), { what: "end of the supervisor" });
    }
  });
});

describe("the systemd unit", () => {
  const unit = linesIn("my-service.service");
  const valueOf = (name: string): string =>
    unit.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
  const [command, ...args] = valueOf("ExecStart").split(" ");
  const flags = args.slice(0, args.indexOf("--"));

  it("starts a command line that is understood, and gives it the time it needs to stop", async () => {
    expect(command).toBe("/usr/bin/tenure");
    const explained = await tenure([...flags, "--explain", "-o", "json"]);
    expect(explained).toMatchObject({ code: 0, stderr: "" });
    const { stopTimeoutMs } = JSON.parse(explained.stdout) as { stopTimeoutMs: number };
    const { stdout: help } = await tenure(["run", "--help"]);
    const hookTimeoutMs = Number(/--hook-timeout[^(]*\(default: "(\d+)"\)/s.exec(help)?.[1]) * 1000;
    expect(Number(valueOf("TimeoutStopSec")) * 1000).toBeGreaterThan(stopTimeoutMs + hookTimeoutMs);
  });

  it("lets the guard outlive a supervisor that crashed, gives cgroups away, and awaits no notification", () => {
    expect(valueOf("KillMode")).toBe("control-group");
    expect(flags.join(" ")).toContain("--contain cgroup");
    expect(valueOf("Delegate")).toBe("yes");
    expect([valueOf("Type"), valueOf("NotifyAccess")]).toEqual(["", ""]);
  });

  it.runIf(works("cgroup"))("runs what it names", async () => {
    const service = join(folder, "my-service");
    writeFileSync(service, "#!/bin/sh\necho started\nexec sleep 1000\n");
    chmodSync(service, 0o755);
    const [, name = ""] = flags;
    await using supervisor = startTenure([...flags, "--", service], { TENURE_ENDPOINTS: store.endpoint });
    await supervisor.line(/^started$/);
    expect(await keys(store, `${name}/`)).toHaveLength(1);
    supervisor.signal("SIGTERM");
    expect(await supervisor.exit()).toMatchObject({ code: 143 });
    expect(await keys(store, `${name}/`)).toEqual([]);
  });

  it.runIf(existsSync(systemdAnalyze))("pleases systemd", () => {
    // It wants the programs to exist.
    const text = unit.join("\n").replaceAll(/\/usr\/bin\/[\w-]+/g, "/bin/sh");
    const file = join(folder, "my-service.service");
    writeFileSync(file, `${text}\n`);
    const { stdout, stderr } = spawnSync(systemdAnalyze, ["verify", file], { encoding: "utf8" });
    expect(linesOf(stdout + stderr).filter((line) => line.includes("my-service"))).toEqual([]);
  });
});

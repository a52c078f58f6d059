import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { EtcdClient } from "@tenure/etcd";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type NodeProcess, root, spawnNode } from "../support/process.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { childrenOf, commandOf, lives } from "./supervised.ts";
import { keys } from "./tenure.ts";

const library = pathToFileURL(`${root}packages/tenure/dist/index.js`).href;
const leaseGuard = `${root}packages/tenure/dist/guard/lease-guard.js`;
/** Nothing here waits for a lease to run out. */
const TTL_MS = 60_000;
const CANARY = "canary-5b1f";

let etcd: RealEtcd;
beforeAll(async () => void (etcd = await startEtcd()));
afterAll(() => etcd.stop());

/** A process that leads as soon as it can, says so, and does what it is told then. */
function node(name: string, body = ""): NodeProcess {
  const code = `
    import { connect } from ${JSON.stringify(library)};
    const etcd = connect({ endpoints: [${JSON.stringify(etcd.endpoint)}], guard: true });
    const term = await etcd.election(${JSON.stringify(name)}, { ttlMs: ${TTL_MS} }).campaign("v");
    console.log("leads", term.token);
    ${body}
  `;
  return spawnNode(["--input-type=module", "-e", code], { env: { CANARY } });
}

function guardOf({ pid }: NodeProcess): Promise<number> {
  return until(() => childrenOf(pid).find((child) => commandOf(child).join(" ").includes("lease-guard")), {
    what: "guard",
  });
}

async function leader(name: string, body?: string): Promise<NodeProcess> {
  const process = node(name, body);
  await process.line(/^leads/);
  return process;
}

describe("a process with a guard", () => {
  it.each([
    ["is killed", "", true],
    ["exits without a word", "process.stdin.once('data', () => process.exit(3));", false],
    ["throws", "process.stdin.once('data', () => { throw new Error('crash'); });", false],
    ["aborts", "process.stdin.once('data', () => process.abort());", false],
  ])("that %s is replaced long before its TTL", async (how, body, kill) => {
    const name = `guarded-${how.split(" ")[0]}`;
    await using first = await leader(name, body);
    const guard = await guardOf(first);
    await using second = node(name);
    await until(async () => (await keys(etcd, `${name}/`)).length === 2, { what: "second candidate" });
    if (kill) first.signal("SIGKILL");
    else first.write("\n");
    await second.line(/^leads/, 8000);
    await until(() => !lives(guard), { what: "end of the guard" });
  });

  it("that closes its client ends by itself, and its guard with it", async () => {
    await using process = await leader("closing", "await etcd.close(); console.log('closed');");
    await process.line(/^closed/);
    const { code, stderr } = await process.exit();
    expect([code, stderr, await keys(etcd, "closing/")]).toEqual([0, "", []]);
  });

  it("keeps one: the next one knows the lease", async () => {
    await using process = await leader("kept", "setInterval(() => undefined, 1000);");
    const guard = await guardOf(process);
    globalThis.process.kill(guard, "SIGKILL");
    await process.errorLine(/TENURE_GUARD_LOST.*the guard of this process ended \(SIGKILL\)/);
    expect(await until(async () => (await guardOf(process)) !== guard, { what: "another guard" })).toBe(true);
    process.signal("SIGKILL");
    await until(async () => (await keys(etcd, "kept/")).length === 0, { what: "end of the key", timeoutMs: 8000 });
  });

  it("tells it nothing where others can read it, of its environment neither", async () => {
    await using process = await leader("secret", "setInterval(() => undefined, 1000);");
    const guard = await guardOf(process);
    const [argv, environment] = ["cmdline", "environ"].map((file) => readFileSync(`/proc/${guard}/${file}`, "utf8"));
    expect(argv).not.toContain("127.0.0.1");
    expect(environment).not.toContain(CANARY);
    expect(readFileSync(`/proc/${process.pid}/environ`, "utf8")).toContain(CANARY);
  });
});

describe("the guard", () => {
  it("revokes nothing of a process that only closed the pipe", async () => {
    await using client = new EtcdClient({ endpoints: [etcd.endpoint] });
    await client.lease.grant(60n, { id: 77n });
    const guard = spawn(process.execPath, [leaseGuard], { stdio: ["pipe", "ignore", "ignore"] });
    const exit = once(guard, "exit");
    const messages = [
      { t: "process", pid: process.pid, store: { endpoints: [etcd.endpoint] } },
      { t: "lease", id: "4d", ttlMs: 500 },
    ];
    guard.stdin.end(messages.map((message) => `${JSON.stringify(message)}\n`).join(""));
    expect(await settled(exit, { what: "end of the guard" })).toEqual([0, null]);
    expect((await client.lease.timeToLive(77n)).TTL).toBeGreaterThan(0n);
  });
});

import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { findEtcd } from "../../scripts/lib/etcd.mjs";
import { reservePorts } from "../support/ports.ts";
import { root } from "../support/process.ts";
import { runRobustness } from "./src/main.ts";
import { Member } from "./src/member.ts";

const silent = (): void => undefined;

it("a world that cannot start says why, in etcd's words, and leaves nothing behind", async () => {
  const dir = await mkdtemp(join(tmpdir(), "tenure-start-"));
  const etcd = join(dir, "etcd");
  await writeFile(etcd, "#!/bin/sh\necho 'listen tcp 127.0.0.1:2380: bind: address already in use' >&2\nexit 1\n");
  await chmod(etcd, 0o755);
  const before = await leftovers();
  const settings = { etcd, etcdctl: "", version: "none", dir: `${root}tests/robustness/nodes/`, minutes: 1, seed: 1 };
  const startedAt = performance.now();

  const run = runRobustness({ ...settings, worlds: 2, only: ["node-killed"], tell: silent });
  await expect(run).rejects.toThrow(/m\d ended by itself once, at last with code 1:\n[^]*address already in use/);

  expect(performance.now() - startedAt).toBeLessThan(10_000); // not after the 20 s that a member has to serve
  expect(await leftovers()).toEqual(before);
  await rm(dir, { recursive: true });
});

it("a member whose port is taken says so, and serves once it is free", async () => {
  const { etcd } = await findEtcd();
  const dir = await mkdtemp(join(tmpdir(), "tenure-robustness-"));
  const ports = await reservePorts(2);
  const [clientPort = 0, peerPort = 0] = ports.map(({ port }) => port);
  const taker = createServer().listen(peerPort, "127.0.0.1");
  await once(taker, "listening");
  const url = `http://127.0.0.1:${peerPort}`;
  const where = { dir, clientPort, peerPort, advertisedPeerUrl: url, initialCluster: `m0=${url}` };
  const member = new Member({ etcd, name: "m0", ...where, security: undefined, trace: silent, onThaw: silent });
  try {
    member.start();
    await expect(member.serving()).rejects.toThrow(`listen tcp 127.0.0.1:${peerPort}: bind: address already in use`);
    taker.close();
    await expect.poll(() => member.gateway.healthy().catch(() => false), { timeout: 20_000 }).toBe(true);
    expect(member.trouble).toContain("address already in use"); // what it said stays, over its restarts
  } finally {
    taker.close();
    await member.stop();
    for (const port of ports) port.release();
  }
});

/** What a run that was not cleaned up would leave: listeners, children, folders. */
async function leftovers(): Promise<string[]> {
  const folders = (await readdir(tmpdir())).filter((name) => name.startsWith("tenure-robustness-"));
  const open = process.getActiveResourcesInfo().filter((name) => /TCPServer|Process/.test(name));
  return [...folders, ...open].toSorted();
}

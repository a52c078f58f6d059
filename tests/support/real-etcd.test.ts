import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { runs } from "./children.ts";
import { startEtcd } from "./real-etcd.ts";
import { until } from "./until.ts";

describe.each(["3.4", "3.5"] as const)("startEtcd() with etcd %s", (version) => {
  it("serves etcdctl and keeps its data over a restart", async () => {
    await using etcd = await startEtcd({ version });
    expect(etcd.version.startsWith(`${version}.`)).toBe(true);
    expect(await etcd.etcdctl("put", "k", "v")).toMatchObject({ code: 0, stdout: "OK\n" });
    const first = etcd.pid;

    await etcd.kill();
    expect((await etcd.etcdctl("--dial-timeout=300ms", "--command-timeout=300ms", "get", "k")).code).not.toBe(0);
    await etcd.restart();
    expect(etcd.pid).not.toBe(first);
    expect(await etcd.etcdctl("get", "k", "--print-value-only")).toMatchObject({ code: 0, stdout: "v\n" });
  });

  it("answers nobody while it is paused", async () => {
    await using etcd = await startEtcd({ version });
    etcd.pause();
    expect((await etcd.etcdctl("--command-timeout=300ms", "put", "k", "v")).code).not.toBe(0);
    etcd.resume();
    await until(async () => (await etcd.etcdctl("get", "k")).code === 0, { what: "answer after the pause" });
  });
});

describe("startEtcd()", () => {
  it("gives each caller its own server", async () => {
    const servers = await Promise.all([startEtcd(), startEtcd(), startEtcd()]);
    expect(new Set(servers.map(({ endpoint }) => endpoint)).size).toBe(3);
    await Promise.all(servers.map((server) => server.stop()));
  });

  it("says why etcd does not start", async () => {
    await expect(startEtcd({ args: ["--no-such-flag"] })).rejects.toThrow(/etcd does not start[^]*no-such-flag/);
  });

  it("leaves no process behind, frozen ones and etcdctl included", async () => {
    const etcd = await startEtcd();
    const watch = etcd.spawnEtcdctl("watch", "k");
    await once(watch, "spawn");
    etcd.pause();
    await etcd.stop();
    expect(runs(watch)).toBe(false);
    expect(() => process.kill(etcd.pid, 0)).toThrow("ESRCH");
  });
});

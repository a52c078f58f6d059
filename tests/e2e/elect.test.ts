import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NodeProcess } from "../support/process.ts";
import { until } from "../support/until.ts";
import { elected, keys, leases, linesOf, startTenure, type Store, stores, tenure } from "./tenure.ts";

describe.each(stores)("tenure elect on $name", ({ start }) => {
  let store: Store;
  beforeAll(async () => void (store = await start()));
  afterAll(() => store[Symbol.asyncDispose]());

  const elect = (...args: string[]): NodeProcess => startTenure(["elect", ...args, "--endpoints", store.endpoint]);
  const hexOf = (key: string): string => key.slice(key.lastIndexOf("/") + 1);

  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "prints key and value, holds until %s, then resigns",
    async (signal) => {
      const name = `hold-${signal}`;
      await using leader = elect(name, "v");
      const key = await elected(leader);
      await leader.line(/^v$/);
      expect(key).toMatch(new RegExp(`^${name}/[1-9a-f][0-9a-f]*$`));
      expect(await keys(store, `${name}/`)).toEqual([key]);
      expect(await leases(store)).toContain(hexOf(key));

      leader.signal(signal);
      const end = await leader.exit();
      expect(end).toMatchObject({ code: 0, signal: null, stdout: `${key}\nv\n`, stderr: "" });
      expect(await keys(store, name)).toEqual([]);
      expect(await leases(store)).not.toContain(hexOf(key));
    },
  );

  it("campaigns with host-timestampMs without a value", async () => {
    await using leader = elect("default");
    await elected(leader);
    expect(await leader.line(/./)).toMatch(/^.+-1\d{12}$/);
  });

  it("leaves the queue at SIGINT while it waits, with exit code 130", async () => {
    await using leader = elect("waits", "first");
    const key = await elected(leader);
    await using standby = elect("waits", "second");
    await until(async () => (await keys(store, "waits/")).length === 2, { what: "second candidate" });
    const own = (await keys(store, "waits/")).find((each) => each !== key) ?? "";
    expect(await leases(store)).toContain(hexOf(own));
    standby.signal("SIGINT");
    expect(await standby.exit()).toMatchObject({ code: 130, stdout: "", stderr: "" });
    expect(await keys(store, "waits/")).toEqual([key]);
    expect(await leases(store)).not.toContain(hexOf(own));
  });

  it("gives up after --timeout with exit code 75, and leaves no key", async () => {
    await using leader = elect("limited", "first");
    const key = await elected(leader);
    await using standby = elect("limited", "second", "--timeout", "1");
    const end = await standby.exit();
    expect(end).toMatchObject({ code: 75, stdout: "" });
    expect(linesOf(end.stderr)).toEqual([expect.stringContaining("not elected within 1 s")]);
    expect(await keys(store, "limited/")).toEqual([key]);
  });

  it("takes the longest --timeout that it accepts at its word", async () => {
    await using leader = elect("patient", "first");
    await elected(leader);
    await using standby = elect("patient", "second", "--timeout", "1000000000");
    await until(async () => (await keys(store, "patient/")).length === 2, { what: "second candidate" });
    leader.signal("SIGINT");
    await elected(standby);
    expect(standby.stderr).toBe("");
  });

  it("takes over when the leader resigns", async () => {
    await using leader = elect("over", "first");
    await elected(leader);
    await using standby = elect("over", "second");
    await until(async () => (await keys(store, "over/")).length === 2, { what: "second candidate" });
    leader.signal("SIGINT");
    expect(await keys(store, await elected(standby))).toHaveLength(1);
  });

  it("ends with exit code 79 and one line when its key is deleted", async () => {
    await using leader = elect("deleted", "v");
    const key = await elected(leader);
    await store.etcdctl("del", key);
    const end = await leader.exit();
    expect(end.code).toBe(79);
    expect(linesOf(end.stderr)).toEqual([`tenure: leadership lost: the key ${key} was deleted`]);
    expect(await keys(store, "deleted/")).toEqual([]);
  });

  it("ends with exit code 79 and one line when its lease is revoked", async () => {
    await using leader = elect("revoked", "v");
    const key = await elected(leader);
    await store.etcdctl("lease", "revoke", hexOf(key));
    const end = await leader.exit();
    expect(end.code).toBe(79);
    expect(linesOf(end.stderr)).toEqual([expect.stringContaining("tenure: leadership lost: ")]);
  });

  it("stands again when its key is deleted while it waits", async () => {
    await using leader = elect("again", "first");
    await elected(leader);
    await using standby = elect("again", "second");
    const first = await until(async () => (await keys(store, "again/")).length === 2 && keys(store, "again/"), {
      what: "second candidate",
    });
    const own = (await Promise.all(first.map((key) => store.etcdctl("get", key)))).find(({ stdout }) =>
      stdout.endsWith("\nsecond\n"),
    );
    await store.etcdctl("del", linesOf(own?.stdout ?? "")[0] ?? "");
    await until(
      async () => {
        const now = await keys(store, "again/");
        return now.length === 2 && now.join() !== first.join();
      },
      { what: "new key of the standby" },
    );
    leader.signal("SIGINT");
    await elected(standby);
  });

  it("warns when etcd raised the TTL", async () => {
    await using leader = elect("short", "v", "--ttl", "1");
    const key = await elected(leader);
    expect(await leader.errorLine(/./)).toBe("tenure: etcd raised the TTL from 1 s to its minimum of 2 s");
    expect((await store.etcdctl("lease", "timetolive", hexOf(key))).stdout).toContain("granted with TTL(2s)");
    leader.signal("SIGINT");
    expect((await leader.exit()).code).toBe(0);
  });

  it("writes the keys that other clients write", async () => {
    await using slash = elect("/merc", "v");
    expect(await elected(slash)).toMatch(/^\/merc\/[0-9a-f]+$/);
    await using twice = elect("/e/", "v");
    expect(await elected(twice)).toMatch(/^\/e\/\/[0-9a-f]+$/);
    await using spaced = startTenure(["--namespace", "/openresty/-concurrency/", "elect", "/process", "v"], {
      TENURE_ENDPOINTS: store.endpoint,
    });
    const key = await elected(spaced);
    expect(key).toMatch(/^\/openresty\/-concurrency\/process\/[0-9a-f]+$/);
    expect(await keys(store, "/openresty/")).toEqual([key]);
  });

  it.each(["json", "jsonl"])("prints one object with -o %s", async (format) => {
    await using leader = elect("object", "v", "-o", format);
    const line = JSON.parse(await leader.line(/./)) as { leader: { key: string; revision: string } };
    const { key, revision } = line.leader;
    expect(line).toEqual({ election: "object", leader: { key, value: "v", revision, lease: hexOf(key) }, revision });
    const got = await store.etcdctl("get", key, "-w", "json");
    expect(got.stdout).toContain(`"create_revision":${revision},`);
    leader.signal("SIGINT");
    expect(linesOf((await leader.exit()).stdout)).toHaveLength(1);
  });

  it("shows control characters of a value as their codes", async () => {
    await using leader = elect("control", "a\u001B[31mb");
    expect(await leader.line(/31m/)).toBe("a\\x1b[31mb");
  });

  it("refuses a name under which another election lives", async () => {
    await using inner = elect("outer/inner", "v");
    const key = await elected(inner);
    const { code, stderr } = await tenure(["elect", "outer", "--endpoints", store.endpoint]);
    expect(code).toBe(78);
    expect(linesOf(stderr)).toEqual([expect.stringContaining(key)]);
    expect(await keys(store, "outer/")).toEqual([key]);
  });

  it("refuses a name under which a key without a lease stands", async () => {
    await store.etcdctl("put", "foreign/1ff", "v");
    const { code, stderr } = await tenure(["elect", "foreign", "--endpoints", store.endpoint]);
    expect(code).toBe(78);
    expect(linesOf(stderr)).toEqual([expect.stringContaining("foreign/1ff")]);
    expect(await keys(store, "foreign/")).toEqual(["foreign/1ff"]);
  });
});

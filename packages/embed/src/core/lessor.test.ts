import { describe, expect, it } from "vitest";

import { bytes, TestServer, text } from "../testing/test-server.ts";

describe("a lease", () => {
  it("gets the id asked for, or a positive one of the server's choice", () => {
    const etcd = new TestServer();
    expect(etcd.grant(10n, 77n)).toEqual([77n, 10n]);
    const [id] = etcd.grant(10n);
    expect(id).toBeGreaterThan(0n);
    expect(id).toBeLessThan(2n ** 63n);
    expect(() => etcd.grant(10n, 77n)).toThrow("etcdserver: lease already exists");
  });

  it("gets at least 2 s, and is refused above etcd's limit", () => {
    const etcd = new TestServer();
    expect(etcd.grant(0n)[1]).toBe(2n);
    expect(etcd.grant(-7n)[1]).toBe(2n);
    expect(etcd.grant(9_000_000_000n)[1]).toBe(9_000_000_000n);
    expect(() => etcd.grant(9_000_000_001n)).toThrow("etcdserver: too large lease TTL");
  });

  it("ends at its TTL and no earlier, with all its keys in one revision", () => {
    const etcd = new TestServer();
    const [id] = etcd.grant(2n);
    etcd.put("b", "", id);
    etcd.put("a", "", id);
    const watch = etcd.watch();
    watch.create({ key: bytes("a"), rangeEnd: bytes("z") });
    etcd.clock.advance(1999);
    etcd.server.tick();
    expect(etcd.keys("", { key: bytes("\0") })).toEqual(["a", "b"]);
    etcd.clock.advance(1);
    etcd.server.tick();
    expect(watch.takeEvents()).toEqual(["DELETE a@103", "DELETE b@103"]);
    expect(etcd.timeToLive(id).TTL).toBe(-1n);
  });

  it("lasts its full TTL again from each keep-alive", () => {
    const etcd = new TestServer();
    const [id] = etcd.grant(2n);
    etcd.clock.advance(1500);
    expect(etcd.keepAlive(id)).toBe(2n);
    etcd.clock.advance(1500);
    etcd.server.tick();
    expect(etcd.timeToLive(id)).toMatchObject({ TTL: 0n, grantedTTL: 2n });
  });

  it("does not come back by a keep-alive after its TTL, even before the next tick", () => {
    const etcd = new TestServer();
    const [id] = etcd.grant(2n);
    etcd.put("a", "", id);
    etcd.clock.advance(2000);
    expect(etcd.keepAlive(id)).toBe(0n);
    expect(etcd.range("a").count).toBe(0n);
    expect(etcd.keepAlive(12345n)).toBe(0n);
  });

  it("is revoked with its keys, once", () => {
    const etcd = new TestServer();
    const [id] = etcd.grant(10n);
    etcd.put("a", "", id);
    etcd.revoke(id);
    expect(etcd.range("a")).toMatchObject({ count: 0n, header: { revision: 102n } });
    expect(() => etcd.revoke(id)).toThrow("etcdserver: requested lease not found");
  });

  it("loses a key that is put without it, put on another lease, or deleted", () => {
    const etcd = new TestServer();
    const [first] = etcd.grant(10n);
    const [second] = etcd.grant(10n);
    for (const key of ["a", "b", "c", "d"]) etcd.put(key, "", first);
    etcd.put("a", "");
    etcd.put("b", "", second);
    etcd.delete("c");
    expect(etcd.timeToLive(first).keys.map(text)).toEqual(["d"]);
    etcd.revoke(first);
    expect(etcd.keys("", { key: bytes("\0") })).toEqual(["a", "b"]);
  });

  it("is listed, the one that ends next first", () => {
    const etcd = new TestServer();
    const [late] = etcd.grant(20n);
    const [soon] = etcd.grant(10n);
    expect(etcd.server.leaseLeases().leases.map(({ ID }) => ID)).toEqual([soon, late]);
  });
});

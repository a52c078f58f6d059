import { describe, expect, it } from "vitest";
import { settled } from "../support/until.ts";
import { childLines } from "./support/child-lines.ts";
import { goKind, skipGo, startGo } from "./support/go.ts";
import { lockKinds } from "./support/lock.ts";
import { base64, call } from "./support/services.ts";
import { stage, tells } from "./support/stage.ts";
import { observe, stand } from "./support/tenure.ts";

describe.each(lockKinds)("$name", (kind) => {
  describe.skipIf(kind.skip)("and Tenure", () => {
    const on = stage([{ ...kind, start: () => Promise.reject(new Error("locks only")) }]);

    it("Tenure waits behind the holder, whose value is empty, and is promoted when it unlocks", async () => {
      const name = on.name();
      const election = on.client().election(name);
      const observer = observe(on.client().election(name));
      const lock = on.use(await kind.lock(on.etcd, name));
      await settled(lock.elected, { what: "lock" });
      const mine = stand(election, "mine");
      const [holder] = await on.queue(name, "", "mine");
      expect(await election.leader()).toEqual(holder);
      expect(mine.isElected).toBe(false);

      await lock.leave();
      expect((await settled(mine.term, { what: "term" })).token).toBeGreaterThan(holder?.revision ?? 0n);
      await tells(observer, "", "mine");
    });

    it("the lock waits behind Tenure and is had when Tenure steps down", async () => {
      const name = on.name();
      const election = on.client().election(name);
      const term = await election.campaign("mine");
      const lock = on.use(await kind.lock(on.etcd, name));
      await on.queue(name, "mine", "");
      await term.proclaim("mine again");
      expect(lock.isElected).toBe(false);

      await term.resign();
      await settled(lock.elected, { what: "lock" });
      await on.queue(name, "");
      await lock.leave();
      expect(await election.leader()).toBeNull();
    });
  });
});

describe("locks", () => {
  const on = stage(skipGo ? [] : [goKind]);

  it.skipIf(skipGo)("Go's TryLock gives up at once while Tenure leads, and leaves nothing behind", async () => {
    const prefix = on.name();
    const term = await on.client().election(prefix).campaign("mine");
    const go = on.use(await startGo(on.etcd.endpoint));
    await go.do({ do: "session", session: "s", ttlSeconds: 30 });
    const attempt = go.do({ do: "trylock", session: "s", prefix });
    await expect(attempt).rejects.toThrow("mutex: Locked by another session");
    await on.queue(prefix, "mine");
    expect(term.held).toBe(true);
    await term.resign();
    await go.do({ do: "trylock", session: "s", prefix });
    await on.queue(prefix, "");
  });

  it("v3lock's Unlock deletes any key, Tenure's too, and Tenure's term ends", async () => {
    const term = await on.client().election(on.name()).campaign("mine");
    const ended = new Promise((resolve) => {
      term.signal.addEventListener("abort", () => resolve(term.signal.reason), { once: true });
    });
    await call(on.etcd, "/v3/lock/unlock", { key: base64(term.key) });
    expect(await settled(ended, { what: "end of the term" })).toMatchObject({ code: "leadership-lost" });
  });

  it("etcdctl lock runs its command after Tenure stepped down; ETCD_LOCK_REV is above the token", async () => {
    const name = on.name();
    const term = await on.client().election(name).campaign("mine");
    const script = 'echo "$ETCD_LOCK_KEY $ETCD_LOCK_REV"';
    const child = childLines(on.etcd.spawnEtcdctl("lock", name, "--", "/bin/sh", "-c", script));
    const [, waiting] = await on.queue(name, "mine", "");
    await term.resign();
    expect(await child.exit()).toBe(0);
    const [key, revision = "0"] = (child.lines[0] ?? "").split(" ");
    expect(key).toBe(waiting?.key);
    expect(BigInt(revision)).toBeGreaterThan(waiting?.revision ?? 0n);
  });

  it("etcdctl's leases: 10 s for lock or as --ttl says, 60 s for elect, one more for each --listen", async () => {
    const name = on.name();
    const client = on.client();
    const election = client.election(name);
    const ttlOf = async (...args: string[]): Promise<bigint> => {
      const child = childLines(on.etcd.spawnEtcdctl(...args));
      await child.count(1);
      const [holder] = await election.candidates();
      const { grantedTTL } = await client.etcd.lease.timeToLive(holder?.leaseId ?? 0n);
      await child.interrupt();
      return grantedTTL;
    };
    expect(await ttlOf("lock", name)).toBe(10n);
    expect(await ttlOf("lock", "--ttl=7", name)).toBe(7n);
    expect(await ttlOf("elect", name, "v")).toBe(60n);

    const term = await election.campaign("mine");
    const before = (await client.etcd.lease.list()).leases.length;
    const listener = childLines(on.etcd.spawnEtcdctl("elect", "--listen", name));
    await listener.count(2);
    await listener.interrupt();
    expect((await client.etcd.lease.list()).leases.length).toBe(before + 1);
    expect(term.held).toBe(true);
  });
});

import type { DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Election, type LeaderResponse, Lock } from "@tenure/etcd/rpc";
import { describe, expect, it } from "vitest";
import { until } from "../support/until.ts";
import { type Harness, text } from "./harness.ts";

/** etcd's v3election and v3lock services. Their refusals have no status of their own. */
export function servicesCases(h: Harness): void {
  async function call<M extends DescMethod>(method: M, request: MessageInitShape<M["input"]>) {
    const { status, message, messages } = await h.raw().unary(method, request);
    return { status, message, answer: messages[0] as MessageShape<M["output"]> };
  }
  const name = (): Uint8Array => Buffer.from(h.name());
  const grant = async (ttlSeconds = 60n): Promise<bigint> => (await h.etcd().lease.grant(ttlSeconds)).ID;
  const campaign = async (election: Uint8Array, value: string, lease?: bigint) => {
    const request = { name: election, value: Buffer.from(value), lease: lease ?? (await grant()) };
    return call(Election.method.campaign, request);
  };
  /** Waits until so many keys are below a name. */
  const standing = (election: Uint8Array, count: number): Promise<unknown> =>
    until(async () => (await h.etcd().kv.range({ prefix: `${text(election)}/` })).kvs.length === count, {
      what: `${count} keys`,
    });

  describe("v3election", () => {
    it("elects the first, who is known by its key, its create revision and its lease", async () => {
      const election = name();
      const lease = await grant();
      const { status, answer } = await campaign(election, "a", lease);
      expect(status).toBe("0");
      const key = `${text(election)}/${lease.toString(16)}`;
      const kv = await h.etcd().kv.get(key);
      expect(answer.leader).toMatchObject({ name: election, key: Buffer.from(key), rev: kv?.createRevision, lease });
      expect(answer.header?.revision).toBe(kv?.createRevision);
      const { answer: known } = await call(Election.method.leader, { name: election });
      expect([text(known.kv?.key), text(known.kv?.value)]).toEqual([key, "a"]);
    });

    it("lets the next wait until the first resigns", async () => {
      const election = name();
      const first = await campaign(election, "a");
      const second = campaign(election, "b");
      await standing(election, 2);
      expect(await call(Election.method.resign, { leader: first.answer.leader })).toMatchObject({ status: "0" });
      expect(await second).toMatchObject({ status: "0", answer: { leader: { name: election } } });
      const { answer } = await call(Election.method.leader, { name: election });
      expect(text(answer.kv?.value)).toBe("b");
    });

    it("elects in the order of arrival when one in the middle leaves", async () => {
      const election = name();
      const first = await campaign(election, "a");
      const middle = h.raw().open(Election.method.campaign);
      middle.send({ name: election, value: Buffer.from("b"), lease: await grant() });
      middle.stream.end();
      middle.answer.catch(() => undefined);
      await standing(election, 2);
      const third = campaign(election, "c");
      await standing(election, 3);
      middle.stream.close(8);
      await standing(election, 2);
      await call(Election.method.resign, { leader: first.answer.leader });
      const { answer } = await third;
      expect(text((await h.etcd().kv.get(text(answer.leader?.key)))?.value)).toBe("c");
    });

    it("takes a second campaign of one lease for the same, and its value for a new one", async () => {
      const election = name();
      const lease = await grant();
      const first = await campaign(election, "a", lease);
      const again = await campaign(election, "b", lease);
      expect(again.answer.leader).toEqual(first.answer.leader);
      const { answer } = await call(Election.method.leader, { name: election });
      expect(text(answer.kv?.value)).toBe("b");
    });

    it("grants a lease of 60 s to those who bring none", async () => {
      const { answer } = await campaign(name(), "a", 0n);
      expect((await h.etcd().lease.timeToLive(answer.leader?.lease ?? 0n)).grantedTTL).toBe(60n);
    });

    it("proclaims as long as the key is the one that campaigned", async () => {
      const election = name();
      const { answer } = await campaign(election, "a");
      const { leader } = answer;
      const proclaim = (value: string) => call(Election.method.proclaim, { leader, value: Buffer.from(value) });
      expect(await proclaim("b")).toMatchObject({ status: "0" });
      expect(text((await call(Election.method.leader, { name: election })).answer.kv?.value)).toBe("b");
      await call(Election.method.resign, { leader });
      expect(await proclaim("c")).toMatchObject({ status: "2", message: "election: not leader" });
      expect(await call(Election.method.resign, { leader })).toMatchObject({ status: "0" });
    });

    it("refuses what has no leader, and leases that are not there", async () => {
      const election = name();
      const missing = { status: "2", message: '"leader" field must be provided' };
      expect(await call(Election.method.proclaim, {})).toMatchObject(missing);
      expect(await call(Election.method.resign, {})).toMatchObject(missing);
      const leader = await call(Election.method.leader, { name: election });
      expect(leader).toMatchObject({ status: "2", message: "election: no leader" });
      const notFound = { status: "2", message: "etcdserver: requested lease not found" };
      expect(await campaign(election, "a", 12_345_678n)).toMatchObject(notFound);
      expect(await call(Lock.method.lock, { name: election, lease: 12_345_678n })).toMatchObject(notFound);
    });

    it("does not tell a candidate whose key has gone that it leads", async () => {
      const election = name();
      const first = await campaign(election, "a");
      const lease = await grant();
      const second = campaign(election, "b", lease);
      await standing(election, 2);
      await h.etcd().lease.revoke(lease);
      await call(Election.method.resign, { leader: first.answer.leader });
      expect(await second).toMatchObject({ status: "2", message: "election: not leader" });
    });

    it("shows observers who leads, every value, and who follows", async () => {
      const election = name();
      const observer = h.raw().open(Election.method.observe);
      observer.send({ name: election });
      observer.stream.end();
      const seen = async (count: number): Promise<string[]> =>
        (await observer.received(count)).map((each) => text((each as LeaderResponse).kv?.value));
      const first = await campaign(election, "a");
      expect(await seen(1)).toEqual(["a"]);
      await call(Election.method.proclaim, { leader: first.answer.leader, value: Buffer.from("b") });
      expect(await seen(2)).toEqual(["a", "b"]);
      const second = campaign(election, "c");
      await standing(election, 2);
      await call(Election.method.resign, { leader: first.answer.leader });
      expect(await seen(3)).toEqual(["a", "b", "c"]);
      await second;
      observer.stream.close(8);
      await observer.answer;
    });
  });

  describe("v3lock", () => {
    const lock = async (lockName: Uint8Array, lease?: bigint) =>
      call(Lock.method.lock, { name: lockName, lease: lease ?? (await grant()) });

    it("is held by one, and then by the one who waited", async () => {
      const lockName = name();
      const lease = await grant();
      const first = await lock(lockName, lease);
      expect(text(first.answer.key)).toBe(`${text(lockName)}/${lease.toString(16)}`);
      expect((await lock(lockName, lease)).answer.key).toEqual(first.answer.key);
      const second = lock(lockName);
      await standing(lockName, 2);
      expect(await call(Lock.method.unlock, { key: first.answer.key })).toMatchObject({ status: "0" });
      expect(await second).toMatchObject({ status: "0" });
      await standing(lockName, 1);
    });

    it("refuses a waiter whose lease has ended", async () => {
      const lockName = name();
      const first = await lock(lockName);
      const lease = await grant();
      const second = lock(lockName, lease);
      await standing(lockName, 2);
      await h.etcd().lease.revoke(lease);
      await call(Lock.method.unlock, { key: first.answer.key });
      expect(await second).toMatchObject({ status: "2", message: "mutex: session is expired" });
    });

    it("loses a waiter who leaves", async () => {
      const lockName = name();
      const first = await lock(lockName);
      const waiting = h.raw().open(Lock.method.lock);
      waiting.send({ name: lockName, lease: await grant() });
      waiting.stream.end();
      waiting.answer.catch(() => undefined);
      await standing(lockName, 2);
      waiting.stream.close(8);
      await standing(lockName, 1);
      expect(await h.etcd().kv.get(text(first.answer.key))).toBeDefined();
    });

    it("unlocks any key, also one that is not there", async () => {
      expect(await call(Lock.method.unlock, { key: name() })).toMatchObject({ status: "0" });
      const empty = await call(Lock.method.unlock, { key: new Uint8Array(0) });
      expect(empty).toMatchObject({ status: "2", message: "etcdserver: key is not provided" });
    });
  });
}

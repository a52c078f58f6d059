import { describe, expect, it } from "vitest";
import { put, TenureError } from "tenure";
import { fired, type Harness, text } from "./harness.ts";
import { type Moment, record, resigning, stand, standForeign, standWith } from "./succession.ts";
import { settled, until } from "../support/until.ts";

/** Somebody else asks the leader for a transfer. */
export function transferRequestCases(h: Harness): void {
  describe("transfer request", () => {
    it("has the leader hand over in one revision; its key is in no view and is gone in that revision", async () => {
      const name = h.name();
      const [a, b] = await stand(h, name, "a", "b");
      const old = await resigning(a);
      const story = await record(h, name);
      const leader = await h.client().election(name).requestTransfer(b.key);
      expect(leader).toMatchObject({ key: b.key, value: "b", self: false });
      expect(await fired(old.signal)).toMatchObject({ code: "not-leader" });
      expect((await settled(b.term, { what: "the term of b" })).token).toBeGreaterThan(old.token);
      const moments = await story.until("the hand-over", ({ keys }) => !keys.includes(a.key));
      expect(moments.map(({ keys }) => keys)).toEqual([[a.key, b.key], [a.key, b.key, requestKey(name)], [b.key]]);
    });

    it("waits until the leader's owner has resigned", async () => {
      const name = h.name();
      const [a, b] = await stand(h, name, "a", "b");
      const old = await a.term;
      const request = h.client().election(name).requestTransfer(b.key);
      await fired(old.signal);
      expect(await h.client().election(name).leader()).toMatchObject({ key: a.key });
      await old.resign();
      expect(await settled(request, { what: "the answer" })).toMatchObject({ key: b.key });
    });

    it("is taken back at its limit; the leader hands over all the same once its owner has resigned", async () => {
      const name = h.name();
      const [a, , c] = await stand(h, name, "a", "b", "c");
      const old = await a.term;
      const request = h.client().election(name).requestTransfer(c.key, { timeoutMs: 500 });
      await expect(request).rejects.toMatchObject({ code: "deadline-exceeded" });
      expect(await h.etcd().kv.get(requestKey(name))).toBeUndefined();
      expect([old.held, old.signal.aborted]).toEqual([false, true]);
      await old.resign();
      expect((await settled(c.term, { what: "the term of c" })).held).toBe(true);
    });

    it("is told when the leader's work takes longer than it may; then the next in line leads", async () => {
      const name = h.name();
      const [a, b, c] = await stand(h, name, "a", "b", "c");
      const old = await a.term;
      await expect(h.client().election(name).requestTransfer(c.key)).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("did not end within 5000 ms") as string,
      });
      await old.resign();
      expect((await settled(b.term, { what: "the term of b" })).held).toBe(true);
    });

    it("skips Tenure nodes, and is refused when it would skip another", async () => {
      const name = h.name();
      const [a, b, c] = await stand(h, name, "a", "b", "c");
      await resigning(a);
      const operator = h.client().election(name);
      expect(await operator.requestTransfer(c.key)).toMatchObject({ key: c.key });
      const term = await resigning(c);
      await h.candidates(name, 2); // b stands again
      const foreign = await standForeign(h, name, "foreign");
      const [d] = await stand(h, name, "d");
      await expect(operator.requestTransfer(d.key)).rejects.toMatchObject({
        code: "invalid-argument",
        message: expect.stringContaining(foreign) as string,
      });
      expect(await h.etcd().kv.get(requestKey(name))).toBeUndefined();
      expect(term.held).toBe(true);
      expect((await operator.candidates()).map(({ value }) => value)).toEqual(["c", "b", "foreign", "d"]);
      expect(b.key).not.toBe((await operator.candidates())[1]?.key);
    });

    it("is refused when there is no such candidate or no leader, and is done when the candidate leads", async () => {
      const name = h.name();
      const operator = h.client().election(name);
      await expect(operator.requestTransfer(`${name}/1`)).rejects.toMatchObject({
        code: "unavailable",
        message: "nobody leads",
      });
      const [a] = await stand(h, name, "a");
      const term = await a.term;
      await expect(operator.requestTransfer(`${name}/1`)).rejects.toMatchObject({ code: "invalid-argument" });
      expect(await operator.requestTransfer(a.key)).toMatchObject({ key: a.key, revision: term.token });
      expect(term.held).toBe(true);
    });

    it("deposes a leader that is no Tenure node, which cannot be asked", async () => {
      const name = h.name();
      const foreign = await standForeign(h, name, "foreign");
      const [, c] = await stand(h, name, "b", "c");
      const story = await record(h, name);
      expect(await h.client().election(name).requestTransfer(c.key)).toMatchObject({ key: c.key });
      expect((await settled(c.term, { what: "the term of c" })).held).toBe(true);
      const moments = await story.until("the hand-over", ({ keys }) => !keys.includes(foreign));
      expect(moments.map(({ keys }) => keys[0])).toEqual([foreign, c.key]);
    });

    it("the leader says in the request why it refuses", async () => {
      const name = h.name();
      const [a] = await stand(h, name, "a");
      const term = await a.term;
      const etcd = h.etcd();
      const { ID: leaseId } = await etcd.lease.grant(60n);
      const request = { to: `${name}/123`, leader: term.key, token: String(term.token) };
      await etcd.kv.put(requestKey(name), JSON.stringify(request), { leaseId });
      const answer = await until(
        async () => {
          const kv = await etcd.kv.get(requestKey(name));
          return kv?.version === 2n && kv;
        },
        { what: "the answer" },
      );
      expect(JSON.parse(text(answer.value))).toMatchObject({ ...request, code: "invalid-argument" });
      expect(text(answer.value)).toContain("no such candidate");
      expect(answer.lease).toBe(leaseId);
      expect(term.held).toBe(true);
      await etcd.lease.revoke(leaseId);
    });

    it("of two at the same time one is done at first, and no revision has no leader", async () => {
      for (let round = 0; round < 5; round++) {
        const name = h.name();
        const [a, b, c] = await stand(h, name, "a", "b", "c");
        for (const candidate of [a, b, c]) resigning(candidate).catch(() => undefined); // ends with its client
        const story = await record(h, name);
        const outcomes = await settled(
          Promise.allSettled([b, c].map(({ key }) => h.client().election(name).requestTransfer(key))),
          { what: "both answers" },
        );
        expect(outcomes.map(({ status }) => status)).toContain("fulfilled");
        const refusals = outcomes.flatMap((each) =>
          each.status === "rejected" ? [TenureError.from(each.reason)] : [],
        );
        expect(refusals.filter(({ code }) => code !== "unavailable")).toEqual([]);
        const moments = await story.until("the hand-over", ({ keys }) => keys[0] !== a.key);
        ledByCandidates(moments, name);
      }
    });

    it("ends when another leads meanwhile", async () => {
      const name = h.name();
      const [a, b, c] = await stand(h, name, "a", "b", "c");
      const old = await a.term;
      const request = h.client().election(name).requestTransfer(c.key);
      const refusal = request.catch((error: unknown) => error);
      await fired(old.signal);
      await h.etcd().kv.delete(a.key);
      expect(await refusal).toMatchObject({
        code: "unavailable",
        message: expect.stringContaining(b.key) as string,
      });
      expect((await settled(b.term, { what: "the term of b" })).held).toBe(true);
      await until(async () => (await h.etcd().kv.get(requestKey(name))) === undefined, { what: "no request" });
      // What it was asked for does not outlive its key.
      await old.resign();
      expect(await h.client().election(name).leader()).toMatchObject({ key: b.key });
    });

    it("is heard by a leader that was away when it was asked", async () => {
      const name = h.name();
      const proxy = await h.proxy();
      const a = await standWith(h, h.client({ endpoints: [proxy.endpoint] }), name, "a");
      const [b] = await stand(h, name, "b");
      const old = await resigning(a);
      proxy.cut();
      const request = h.client().election(name).requestTransfer(b.key);
      await until(async () => (await h.etcd().kv.get(requestKey(name))) !== undefined, { what: "the request" });
      expect(old.held).toBe(true);
      proxy.heal();
      expect(await settled(request, { what: "the answer" })).toMatchObject({ key: b.key });
    });

    it("that is aborted is taken back, and the leader leads on", async () => {
      const name = h.name();
      const proxy = await h.proxy();
      const a = await standWith(h, h.client({ endpoints: [proxy.endpoint] }), name, "a");
      const [b] = await stand(h, name, "b");
      const old = await a.term;
      proxy.cut();
      const abort = new AbortController();
      const request = h.client().election(name).requestTransfer(b.key, { signal: abort.signal });
      request.catch(() => undefined);
      await until(async () => (await h.etcd().kv.get(requestKey(name))) !== undefined, { what: "the request" });
      abort.abort();
      await expect(request).rejects.toMatchObject({ code: "aborted" });
      expect(await h.etcd().kv.get(requestKey(name))).toBeUndefined();
      proxy.heal();
      await old.proclaim("still a");
      expect(old.held).toBe(true);
    });

    it("of a dead program never leads, blocks nobody, and goes with its lease", async () => {
      const name = h.name();
      const etcd = h.etcd();
      const { ID: leaseId } = await etcd.lease.grant(60n);
      const request = { to: `${name}/1`, leader: `${name}/2`, token: "3" };
      await etcd.kv.put(requestKey(name), JSON.stringify(request), { leaseId });
      // It is the oldest key now.
      const observer = h.client().election(name);
      expect([await observer.leader(), await observer.candidates()]).toEqual([null, []]);
      const changes = observer.observe();
      expect((await settled(changes.next(), { what: "the first state" })).value).toBeNull();
      const [a, b] = await stand(h, name, "a", "b");
      const term = await settled(a.term, { what: "the term of a" });
      expect((await settled(changes.next(), { what: "the leader" })).value).toMatchObject({ key: a.key });
      expect((await observer.candidates()).map(({ key }) => key)).toEqual([a.key, b.key]);
      await term.transfer(b.key);
      expect((await settled(b.term, { what: "the term of b" })).held).toBe(true);

      await etcd.kv.put(requestKey(name), "anything", { leaseId });
      await etcd.lease.revoke(leaseId);
      expect(await etcd.kv.get(requestKey(name))).toBeUndefined();
      expect(await observer.leader()).toMatchObject({ key: b.key });
      await changes.return();
    });

    it("is refused clearly where a key without a lease stands in its place", async () => {
      const name = h.name();
      const client = h.client();
      const [a, b] = await stand(h, name, "a", "b");
      await client
        .txn()
        .success(put(requestKey(name), "v"))
        .commit();
      await expect(client.election(name).requestTransfer(b.key)).rejects.toMatchObject({
        code: "invalid-argument",
        message: expect.stringContaining(requestKey(name)) as string,
      });
      expect((await a.term).held).toBe(true);
      await client.etcd.kv.delete(requestKey(name));
    });
  });

  function requestKey(name: string): string {
    return `${name}/transfer`;
  }

  /** At every moment there is a key, and the one created first is a candidate's. */
  function ledByCandidates(moments: readonly Moment[], name: string): void {
    for (const { keys } of moments) expect(keys[0] ?? "nobody").toMatch(new RegExp(`^${name}/[0-9a-f]+$`));
  }
}

import { channel } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import type { Leader, LeadOverdueEvent, Term } from "tenure";
import type { Harness } from "./harness.ts";
import { settled, until } from "../support/until.ts";

/** The long-lived node: leads, follows, stands again. */
export function runCases(h: Harness): void {
  describe("run", () => {
    const ended = (term: Term): Promise<void> =>
      new Promise((resolve) => term.signal.addEventListener("abort", () => resolve(), { once: true }));

    it("aborting ends the term, waits for lead, deletes the key, then resolves", async () => {
      const name = h.name();
      const client = h.client();
      const stop = new AbortController();
      const story: string[] = [];
      let release = (): void => undefined;
      const drained = new Promise<void>((resolve) => (release = resolve));
      const node = client.election(name).run(
        {
          value: "a",
          lead: async (term) => {
            story.push("leads");
            await ended(term);
            story.push(`told, held ${term.held}`);
            await drained;
            story.push("drained");
          },
        },
        { signal: stop.signal },
      );
      await until(() => story.length === 1, { what: "the term" });
      stop.abort();
      await until(() => story.length === 2, { what: "the end of the term" });
      expect(await h.client().election(name).candidates()).toHaveLength(1);
      release();
      await settled(node, { what: "the end of run" });
      expect(story).toEqual(["leads", "told, held false", "drained"]);
      expect(await h.client().election(name).candidates()).toHaveLength(0);
    });

    it("stands again after its key was deleted, and only after lead has settled", async () => {
      const name = h.name();
      const client = h.client();
      const stop = new AbortController();
      let leading = 0;
      let most = 0;
      const tokens: bigint[] = [];
      const node = client.election(name).run(
        {
          lead: async (term) => {
            tokens.push(term.token);
            most = Math.max(most, ++leading);
            await ended(term);
            leading--;
          },
        },
        { signal: stop.signal },
      );
      for (const count of [1, 2, 3]) {
        await until(() => tokens.length === count, { what: `term ${count}` });
        const leader = await h.client().election(name).leader();
        if (count < 3) await h.client().etcd.kv.delete(leader?.key ?? "");
      }
      stop.abort();
      await settled(node, { what: "the end of run" });
      expect(most).toBe(1);
      expect(tokens).toEqual([...tokens].toSorted((a, b) => Number(a - b)));
    });

    it("follow hears of each leader while not leading, and its signal fires at the next change", async () => {
      const name = h.name();
      const stop = new AbortController();
      const heard: (string | null)[] = [];
      const signals: AbortSignal[] = [];
      const other = h.client();
      const first = await other.election(name).campaign("first");
      const node = h
        .client()
        .election(name)
        .run(
          {
            value: "me",
            lead: (term) => ended(term),
            follow: (leader: Leader | null, signal) => {
              heard.push(leader?.value ?? null);
              signals.push(signal);
            },
          },
          { signal: stop.signal },
        );
      await until(() => heard.at(-1) === "first", { what: "the first leader" });
      await first.proclaim("renamed");
      await until(() => heard.at(-1) === "renamed", { what: "the proclaim" });
      await h.candidates(name, 2);
      await first.resign();
      await until(async () => (await other.election(name).leader())?.value === "me", { what: "the promotion" });
      await until(() => signals.at(-1)?.aborted === true, { what: "the last follow signal" });
      expect(heard).not.toContain("me");
      stop.abort();
      await settled(node, { what: "the end of run" });
      expect(signals.every((signal) => signal.aborted)).toBe(true);
    });

    it("returning from lead steps down and stands again behind the others", async () => {
      const name = h.name();
      const stop = new AbortController();
      const order: string[] = [];
      const nodes = ["a", "b"].map((value) =>
        h
          .client()
          .election(name)
          .run(
            {
              value,
              lead: async () => {
                await until(() => order.length >= 4 || standing === 2, { what: "both nodes" });
                order.push(value);
              },
            },
            { signal: stop.signal },
          ),
      );
      let standing = 0;
      while (order.length < 6) {
        standing = (await h.client().election(name).candidates()).length;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      stop.abort();
      await settled(Promise.all(nodes), { what: "the end of run" });
      expect(new Set(order)).toEqual(new Set(["a", "b"]));
      await h.candidates(name, 0);
    });

    it("what lead throws during its term is thrown, after the key is gone", async () => {
      const name = h.name();
      const node = h
        .client()
        .election(name)
        .run({ lead: () => Promise.reject(new Error("the work failed")) });
      await expect(settled(node, { what: "the end of run" })).rejects.toThrow("the work failed");
      expect(await h.client().election(name).candidates()).toHaveLength(0);
    });

    it("what follow throws is thrown, after the key is gone", async () => {
      const name = h.name();
      await h.client().election(name).campaign("other");
      const node = h
        .client()
        .election(name)
        .run({
          lead: () => undefined,
          follow: () => Promise.reject(new Error("following failed")),
        });
      await expect(settled(node, { what: "the end of run" })).rejects.toThrow("following failed");
      await h.candidates(name, 1);
    });

    it("stop waits for lead; when its limit is too short it says so, and may be called again", async () => {
      const name = h.name();
      const story: string[] = [];
      let release = (): void => undefined;
      const drained = new Promise<void>((resolve) => (release = resolve));
      const node = h
        .client()
        .election(name)
        .run({
          lead: async (term) => {
            story.push("leads");
            await ended(term);
            story.push("told");
            await drained;
          },
        });
      await until(() => story.length === 1, { what: "the term" });
      await expect(node.stop({ timeoutMs: 50 })).rejects.toMatchObject({
        code: "deadline-exceeded",
        message: expect.stringContaining("lead has not ended") as unknown,
      });
      expect(story).toEqual(["leads", "told"]);
      await h.candidates(name, 1);
      release();
      await settled(node.stop({ timeoutMs: 10_000 }), { what: "the end of run" });
      expect(await h.client().election(name).candidates()).toHaveLength(0);
      await settled(node, { what: "the node's own promise" });
    });

    it("stop says that the store does not answer, and resolves once it does", async () => {
      const proxy = await h.proxy();
      const name = h.name();
      const signals: AbortSignal[] = [];
      const node = h
        .client({ endpoints: [proxy.endpoint] })
        .election(name)
        .run({
          lead: (term) => {
            signals.push(term.signal);
            return ended(term);
          },
        });
      await until(() => signals.length === 1, { what: "the term" });
      proxy.blackhole();
      await expect(node.stop({ timeoutMs: 100 })).rejects.toMatchObject({
        code: "deadline-exceeded",
        message: expect.stringContaining("the store has not confirmed that the key") as unknown,
      });
      expect(signals[0]?.aborted).toBe(true);
      proxy.heal();
      await settled(node.stop({ timeoutMs: 10_000 }), { what: "the end of run", timeoutMs: 15_000 });
      await h.candidates(name, 0);
    });

    it("lead that ignores its signal is reported, and no other begins before it has settled", async () => {
      const name = h.name();
      const late: number[] = [];
      const onOverdue = (event: unknown): void => {
        const { election, overdueMs } = event as LeadOverdueEvent;
        if (election === name) late.push(overdueMs);
      };
      const overdue = channel("tenure:lead-overdue");
      overdue.subscribe(onOverdue);
      const terms: Term[] = [];
      let release = (): void => undefined;
      const node = h
        .client()
        .election(name)
        .run({
          drainMs: 50,
          lead: (term) => {
            terms.push(term);
            return terms.length === 1 ? new Promise<void>((resolve) => (release = resolve)) : ended(term);
          },
        });
      await until(() => terms.length === 1, { what: "the term" });
      await h.client().etcd.kv.delete(terms[0]?.key ?? "");
      await until(() => late.length >= 2, { what: "two reports" });
      overdue.unsubscribe(onOverdue);
      expect(late[1]).toBeGreaterThan(late[0] ?? 0);
      expect(terms).toHaveLength(1);
      await h.candidates(name, 0);
      release();
      await until(() => terms.length === 2, { what: "the next term" });
      await settled(node.stop(), { what: "the end of run" });
    });

    it("closing the client tells lead, and run ends without an error once that has settled", async () => {
      const name = h.name();
      const client = h.client();
      const story: string[] = [];
      const node = client.election(name).run({
        lead: async (term) => {
          story.push("leads");
          await ended(term);
          story.push("told");
          throw new Error("interrupted");
        },
        follow: () => undefined,
      });
      await until(() => story.length === 1, { what: "the term" });
      await settled(client.close(), { what: "the end of the client" });
      await settled(node, { what: "the end of run" });
      expect(story).toEqual(["leads", "told"]);
      await h.candidates(name, 0);
    });

    it("follow hears of no leader from before a term of its own", async () => {
      const name = h.name();
      const terms: bigint[] = [];
      const nodes = ["a", "b", "c"].map((value) => {
        let own = 0n;
        const stale: bigint[] = [];
        const run = h
          .client()
          .election(name)
          .run({
            value,
            lead: (term) => {
              own = term.token;
              terms.push(own);
            },
            follow: (leader) => {
              if (leader !== null && leader.revision <= own) stale.push(leader.revision);
            },
          });
        return { run, stale };
      });
      await until(() => terms.length >= 9, { what: "nine terms", timeoutMs: 20_000 });
      await settled(Promise.all(nodes.map(({ run }) => run.stop())), { what: "the end of all" });
      expect(nodes.map(({ stale }) => stale)).toEqual([[], [], []]);
      expect(terms).toEqual(terms.toSorted((a, b) => Number(a - b)));
    });
  });
}

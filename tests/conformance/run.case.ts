import { describe, expect, it } from "vitest";
import type { Leader, Term } from "tenure";
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
  });
}

import { channel } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import { EtcdError, type RpcEvent } from "@tenure/etcd";
import type { TxnRequest } from "@tenure/etcd/rpc";
import type { Client, Election, Term } from "tenure";
import { faultyTransport } from "../faults/faulty-store.ts";
import { settled, until } from "../support/until.ts";
import { type Harness } from "./harness.ts";
import { current, record, stand, standForeign, standWith } from "./succession.ts";

/** A term that goes to a chosen candidate. */
export function transferCases(h: Harness): void {
  describe("transfer", () => {
    it("makes the next in line lead in one revision, and no revision has no leader", async () => {
      const name = h.name();
      const [a, b] = await stand(h, name, "a", "b");
      const old = await current(a);
      const story = await record(h, name);
      await old.transfer(b.key);
      const term = await settled(b.term, { what: "the term of b" });
      expect(term).toMatchObject({ key: b.key, value: "b", held: true });
      expect(term.token).toBeGreaterThan(old.token);
      expect(await h.client().election(name).leader()).toMatchObject({ key: b.key });
      const moments = await story.until("the hand-over", ({ keys }) => !keys.includes(a.key));
      expect(moments.map(({ keys }) => keys)).toEqual([[a.key, b.key], [b.key]]);
    });

    it("ends the old term before its transaction is sent", async () => {
      const name = h.name();
      const [a, b] = await stand(h, name, "a", "b");
      const old = await current(a);
      const atSending: boolean[][] = [];
      const onRpc = (event: unknown): void => {
        const { method } = event as RpcEvent;
        if (method === "etcdserverpb.KV/Txn") atSending.push([old.signal.aborted, old.held]);
      };
      const rpc = channel("tenure:rpc");
      rpc.subscribe(onRpc);
      try {
        await old.transfer(b.key);
      } finally {
        rpc.unsubscribe(onRpc);
      }
      expect(atSending).toEqual([[true, false]]);
      expect(old.signal.reason).toMatchObject({ code: "not-leader" });
      await expect(old.proclaim("late")).rejects.toMatchObject({ code: "not-leader" });
      await old.resign(); // nothing is left to do
      expect((await h.client().election(name).leader())?.key).toBe(b.key);
    });

    it("skips two: the chosen one leads, they stand again behind it, and tokens rise", async () => {
      const name = h.name();
      const [a, b, c, d] = await stand(h, name, "a", "b", "c", "d");
      const old = await current(a);
      const story = await record(h, name);
      await old.transfer(d.key);
      const term = await settled(d.term, { what: "the term of d" });
      await h.candidates(name, 3);
      const candidates = await h.client().election(name).candidates();
      expect(candidates[0]).toMatchObject({ key: d.key, revision: term.token });
      expect(candidates.map(({ value }) => value).toSorted()).toEqual(["b", "c", "d"]);
      const moments = await story.until("the queue", ({ keys }) => keys.length === 3 && keys[0] === d.key);
      expect(moments.map(({ keys }) => keys[0])).toEqual([a.key, d.key, d.key, d.key]);
      expect(moments[1]?.keys).toEqual([d.key]);

      const tokens = [old.token, term.token];
      const later = [b, c].map(async (skipped) => {
        const next = await skipped.term;
        tokens.push(next.token);
        await next.resign();
      });
      await term.resign();
      await settled(Promise.all(later), { what: "the terms of b and c" });
      expect(tokens).toEqual([...tokens].toSorted((x, y) => Number(x - y)));
      expect(new Set(tokens).size).toBe(4);
    });

    it("in run the key stays until lead has settled; then the chosen one leads and the node stands again", async () => {
      const name = h.name();
      const node = leadUntilReleased(h.client(), name);
      const term = await settled(node.term, { what: "the term of a" });
      const [b, c] = await stand(h, name, "b", "c");
      await current(node);
      const story = await record(h, name);
      const transfer = term.transfer(c.key);
      expect([term.signal.aborted, term.held]).toEqual([true, false]);
      // Answered after whatever was sent before.
      expect(await h.client().election(name).leader()).toMatchObject({ key: term.key });
      node.release();
      await settled(transfer, { what: "the transfer" });
      expect((await settled(c.term, { what: "the term of c" })).token).toBeGreaterThan(term.token);
      const moments = await story.until("the queue", ({ keys }) => keys.length === 3 && keys[0] === c.key);
      expect(moments[1]?.keys).toEqual([c.key]);
      expect(moments.map(({ keys }) => keys.length === 0)).not.toContain(true);
      expect(await h.client().election(name).candidates()).not.toContainEqual(expect.objectContaining({ key: b.key }));
      await node.stop();
    });

    it("in run it waits no longer than drainMs; then the next in line leads once lead has settled", async () => {
      const name = h.name();
      const node = leadUntilReleased(h.client(), name);
      const term = await settled(node.term, { what: "the term of a" });
      const [b, c] = await stand(h, name, "b", "c");
      await current(node);
      const story = await record(h, name);
      await expect(term.transfer(c.key, { drainMs: 200 })).rejects.toMatchObject({ code: "deadline-exceeded" });
      expect(term.held).toBe(false);
      expect(await h.client().election(name).leader()).toMatchObject({ key: term.key });
      node.release();
      expect((await settled(b.term, { what: "the term of b" })).held).toBe(true);
      const moments = await story.until("the succession", ({ keys }) => !keys.includes(term.key));
      expect(moments.map(({ keys }) => keys)).toEqual([
        [term.key, b.key, c.key],
        [b.key, c.key],
      ]);
      await node.stop();
    });

    it("is refused, the term untouched, when the candidate is gone, stands elsewhere, or leads already", async () => {
      const name = h.name();
      const [a, b] = await stand(h, name, "a", "b");
      const [elsewhere] = await stand(h, h.name(), "elsewhere");
      const nested = await h.client().election(`${name}/inner`).campaign("nested");
      const term = await current(a);
      const refusals: readonly [string, RegExp][] = [
        [`${name}/123456`, /no such candidate/],
        [elsewhere.key, /no such candidate/],
        [nested.key, /no such candidate/],
        ["", /no such candidate/],
        [term.key, /leads already/],
      ];
      for (const [key, why] of refusals) {
        await expect(term.transfer(key)).rejects.toMatchObject({ code: "invalid-argument", message: why });
        expect(term.held).toBe(true);
      }
      await term.proclaim("still a");
      expect((await h.client().election(name).candidates()).map(({ key }) => key)).toEqual([a.key, b.key, nested.key]);
      await nested.resign();
    });

    it("is refused when it would skip what is no Tenure node, which may be the target itself", async () => {
      const name = h.name();
      const [a] = await stand(h, name, "a");
      const foreign = await standForeign(h, name, "foreign");
      const [c] = await stand(h, name, "c");
      const term = await current(a);
      await expect(term.transfer(c.key)).rejects.toMatchObject({
        code: "invalid-argument",
        message: expect.stringContaining(foreign) as string,
      });
      expect(term.held).toBe(true);
      await term.transfer(foreign);
      expect(await h.client().election(name).leader()).toMatchObject({ key: foreign });
    });

    it("is refused when it would skip a candidate of an election nested in this one", async () => {
      const name = h.name();
      const [a] = await stand(h, name, "a");
      const [c] = await stand(h, name, "c");
      const nested = await h.client().election(`${name}/inner`).campaign("nested");
      const late = await standForeign(h, name, "late");
      const term = await current(a);
      await expect(term.transfer(late)).rejects.toMatchObject({
        code: "invalid-argument",
        message: expect.stringContaining(nested.key) as string,
      });
      expect([term.held, nested.held]).toEqual([true, true]);
      await term.transfer(c.key);
      expect((await settled(c.term, { what: "the term of c" })).held).toBe(true);
      await nested.resign();
    });

    it("is refused once the term is over, with the reason of its end", async () => {
      const name = h.name();
      const [a, b] = await stand(h, name, "a", "b");
      const resigned = await a.term;
      await resigned.resign();
      await expect(resigned.transfer(b.key)).rejects.toMatchObject({ code: "not-leader" });
      const lost = await b.term;
      const [c] = await stand(h, name, "c");
      await h.etcd().kv.delete(lost.key);
      await until(() => lost.signal.aborted, { what: "the end of the term" });
      await expect(lost.transfer(c.key)).rejects.toMatchObject({ code: "leadership-lost" });
      expect((await settled(c.term, { what: "the term of c" })).held).toBe(true);
    });

    it("hands over to the next in line when the chosen one leaves at the last moment, and says so", async () => {
      const name = h.name();
      let leave: () => Promise<unknown> = () => Promise.resolve();
      const client = onHandOver(h, async () => void (await leave()));
      const a = await standWith(h, client, name, "a");
      const [b, c] = await stand(h, name, "b", "c");
      const term = await current(a);
      leave = () => h.etcd().kv.delete(c.key);
      await expect(term.transfer(c.key)).rejects.toMatchObject({
        code: "invalid-argument",
        message: expect.stringContaining("left the election") as string,
      });
      expect((await settled(b.term, { what: "the term of b" })).held).toBe(true);
      expect(await h.etcd().kv.get(term.key)).toBeUndefined();
    });

    it.each(["the answer", "the request"] as const)("is done once although %s was lost", async (what) => {
      const name = h.name();
      let losses = 1;
      const lose = (): void => {
        if (losses-- > 0) throw new EtcdError("unavailable", `${what} was lost`);
      };
      const client =
        what === "the answer" ? onHandOver(h, () => Promise.resolve(), lose) : onHandOver(h, async () => lose());
      const a = await standWith(h, client, name, "a");
      const [b, c] = await stand(h, name, "b", "c");
      const term = await current(a);
      const story = await record(h, name);
      await term.transfer(c.key);
      expect((await settled(c.term, { what: "the term of c" })).held).toBe(true);
      const moments = await story.until("b standing again", ({ keys }) => keys.length === 2 && keys[0] === c.key);
      expect(moments.map(({ keys }) => keys[0])).toEqual([a.key, c.key, c.key]);
      expect(moments[0]?.keys).toEqual([a.key, b.key, c.key]);
    });
  });

  /** A client that calls these around each transaction which hands a term over; what they throw is its answer. */
  function onHandOver(h: Harness, before: () => Promise<void>, after: () => void = () => undefined): Client {
    const inner = faultyTransport(h.store.endpoint, () => undefined);
    return h.client({
      transport: {
        unary: async (...call) => {
          const [method, , , , request] = call;
          const handOver = method.name === "Txn" && handsOver(request as TxnRequest);
          if (handOver) await before();
          const answer = await inner.unary(...call);
          if (handOver) after();
          return answer;
        },
        stream: (...call) => inner.stream(...call),
      },
    });
  }

  function handsOver({ success }: TxnRequest): boolean {
    return success.length > 1 && success.every(({ request }) => request.case === "requestDeleteRange");
  }

  /** A node whose work ends only when it is told to. */
  function leadUntilReleased(client: Client, name: string): WorkingNode {
    const election = client.election(name);
    let elected: (term: Term) => void = () => undefined;
    let release = (): void => undefined;
    const term = new Promise<Term>((resolve) => (elected = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    const node = election.run({
      value: "a",
      lead: async (leading) => {
        elected(leading);
        await released;
      },
    });
    return { election, term, release, stop: () => node.stop() };
  }
}

interface WorkingNode {
  readonly election: Election;
  /** Its first term. */
  readonly term: Promise<Term>;
  /** Ends its work. */
  readonly release: () => void;
  readonly stop: () => Promise<void>;
}

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { EtcdError } from "@tenure/etcd";
import { connect, type Client, type Election, type Leader, type Term } from "tenure";
import { startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { settled, until } from "../support/until.ts";
import { elected, manyRuns, patienceMs, standing, testTimeoutMs } from "./witness.ts";

vi.setConfig({ testTimeout: testTimeoutMs });

let etcd: RealEtcd;
/** On a link that nothing breaks. */
let direct: Client;

beforeAll(async () => {
  etcd = await startEtcd();
  direct = connect({ endpoints: [etcd.endpoint] });
});
afterAll(async () => {
  await direct.close();
  await etcd.stop();
});

describe("a history that is forgotten again and again", () => {
  // Go's campaign fails with ErrCompacted and leaves its key behind (etcd#21128), its mutex too (etcd#9715); its
  // observer ends without a word (etcd#7815). A watch that resumes where the history begins misses deletions
  // (etcd#18089).
  it("is noticed by no leader, standby or observer, with links cut in between (etcd#21128, etcd#7815)", async () => {
    const rounds = 5;
    await manyRuns(10, async (run) => {
      const name = `cut-${run}`;
      await using link = await startProxy(etcd.endpoint);
      await using leading = connect({ endpoints: [etcd.endpoint] });
      await using waiting = connect({ endpoints: [link.endpoint] });
      await using watching = connect({ endpoints: [link.endpoint] });
      const first = await elected(leading.election(name).campaign("first"));
      const observer = observed(watching.election(name));
      const next = waiting.election(name).campaign("second");
      await standing(direct, name, 2);
      await until(() => observer.leaders.length === 1, { what: "first leader", timeoutMs: patienceMs });

      for (let round = 0; round < rounds; round++) {
        await forget(name);
        link.cut();
        await forget(name);
        link.heal();
        // Again while the watches are opened anew.
        await Promise.all([forget(name), until(() => link.connections >= 2, { what: "links", timeoutMs: patienceMs })]);
        const value = `first in round ${round}`;
        await first.proclaim(value);
        await until(() => observer.leaders.at(-1)?.value === value, { what: "its value", timeoutMs: patienceMs });
      }
      expect(first.held).toBe(true);
      expect((await direct.election(name).candidates()).map(({ value }) => value)).toEqual([
        `first in round ${rounds - 1}`,
        "second",
      ]);

      await forget(name);
      const waitingKey = (await direct.election(name).candidates())[1];
      await first.resign();
      const second = await elected(next);
      // It stood all the time: its place in the queue was never lost.
      expect(second.token).toBe(waitingKey?.revision);
      await until(() => observer.leaders.at(-1)?.value === "second", { what: "second leader", timeoutMs: patienceMs });
      await observer.stop();
      const tokens = observer.leaders.flatMap((leader) => (leader === null ? [] : [leader.revision]));
      expect(new Set(tokens)).toEqual(new Set([first.token, second.token]));
      expect(tokens.toSorted((a, b) => Number(a - b))).toEqual(tokens);
    });
  });

  it("hides no change of leaders that took place behind a cut link (etcd#18089)", async () => {
    await manyRuns(10, async (run) => {
      const name = `changed-${run}`;
      await using link = await startProxy(etcd.endpoint);
      await using leading = connect({ endpoints: [etcd.endpoint] });
      await using waiting = connect({ endpoints: [link.endpoint] });
      await using watching = connect({ endpoints: [link.endpoint] });
      const first = await elected(leading.election(name).campaign("first"));
      const observer = observed(watching.election(name));
      const next = waiting.election(name).campaign("second");
      await standing(direct, name, 2);
      await until(() => observer.leaders.length === 1, { what: "first leader", timeoutMs: patienceMs });
      const waitingKey = (await direct.election(name).candidates())[1];

      link.cut();
      await first.resign();
      await forget(name);
      link.heal();
      await forget(name);
      const second = await elected(next);
      expect(second.token).toBe(waitingKey?.revision);
      await until(() => observer.leaders.at(-1)?.value === "second", { what: "second leader", timeoutMs: patienceMs });
      await observer.stop();
      expect(observer.leaders.map((leader) => leader?.value)).toEqual(["first", "second"]);
    });
  });

  it("breaks no chain of successions while each revision is compacted at once", async () => {
    const over = new AbortController();
    const compacting = (async () => {
      while (!over.signal.aborted) await forget("chain");
    })();
    const successions = 10;
    const chains = manyRuns(5, async (run) => {
      const name = `chain-${run}`;
      await using watching = connect({ endpoints: [etcd.endpoint] });
      await using even = connect({ endpoints: [etcd.endpoint] });
      await using odd = connect({ endpoints: [etcd.endpoint] });
      const observer = observed(watching.election(name));
      const terms: Term[] = [];
      let next = even.election(name).campaign("0");
      for (let at = 1; at <= successions; at++) {
        const term = await elected(next);
        terms.push(term);
        const successor = at % 2 === 0 ? even : odd;
        next = successor.election(name).campaign(String(at));
        await standing(direct, name, 2);
        expect(term.held).toBe(true);
        await until(() => observer.leaders.at(-1)?.revision === term.token, { what: "leader", timeoutMs: patienceMs });
        await term.resign();
      }
      terms.push(await elected(next));
      const { token: last } = terms.at(-1) ?? {};
      await until(() => observer.leaders.at(-1)?.revision === last, { what: "last leader", timeoutMs: patienceMs });
      await observer.stop();
      // Each of them, in order, with no vacancy between: each successor stood before the leader left.
      const seen = observer.leaders.filter((leader, index) => index > 0 || leader !== null);
      expect(seen.map((leader) => leader?.revision)).toEqual(terms.map(({ token }) => token));
    });
    await Promise.race([chains, compacting]).finally(() => over.abort());
    await compacting;
  });
});

/** Writes something, so that there is a history, and has etcd forget it up to this moment. */
async function forget(name: string): Promise<void> {
  const { kv } = direct.etcd;
  await kv.put(`noise/${name}`, "1");
  const { header } = await kv.put(`noise/${name}`, "2");
  try {
    await kv.compact(header?.revision ?? 0n);
  } catch (error) {
    // Another run has compacted beyond this revision already.
    if (EtcdError.from(error).code !== "compacted") throw error;
  }
}

interface Observer {
  /** What it was shown until now, null for a vacancy. */
  readonly leaders: readonly (Leader | null)[];
  /** Ends it; throws what ended it before. */
  readonly stop: () => Promise<void>;
}

function observed(election: Election): Observer {
  const leaders: (Leader | null)[] = [];
  const stop = new AbortController();
  const done = (async () => {
    for await (const leader of election.observe({ signal: stop.signal })) leaders.push(leader);
    if (!stop.signal.aborted) throw new Error("the observer ended by itself");
  })();
  done.catch(() => undefined); // reported by stop()
  return {
    leaders,
    stop: async () => {
      stop.abort();
      await settled(done, { what: "end of the observer" });
    },
  };
}

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type Random } from "@tenure/etcd/runtime";
import { connect, type Client, type Term } from "tenure";
import { type NodeProcess, root, spawnNode } from "../support/process.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { pause, settled, until } from "../support/until.ts";
import {
  deletionOf,
  elected,
  guardedWrite,
  HeldTerms,
  instantOf,
  longTtlMs,
  manyRuns,
  patienceMs,
  standing,
  testTimeoutMs,
  ttlMs,
} from "./witness.ts";

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

describe("a leader whose link is cut until its lease is over", () => {
  // etcd3#57: told after twice the TTL. etcd3#158: two leaders. Go's client: up to 0.8 s after the key had gone.
  it("is told before its key is gone, and leads beside nobody (etcd3#57, etcd3#158), 50 of 50", async () => {
    const marginsMs = await manyRuns(50, async (run, random) => {
      const name = `cut-${run}`;
      await using pair = await leaderAndStandby(name, ttlMs);
      // At any moment between two keep-alives.
      await pause((random.fraction() * ttlMs) / 3);
      if (run % 2 === 0) pair.link.blackhole();
      else pair.link.cut();
      const { first, firedAt, goneAt, second } = await ended(pair);

      expect(firedAt).toBeLessThan(goneAt);
      expect(first.signal.reason).toMatchObject({ code: "leadership-lost" });
      expect(second.held).toBe(true);
      expect(second.token > first.token).toBe(true);
      pair.link.heal();
      expect(await guardedWrite(pair.leading, first, `written/${name}`)).toBe(false);
      expect(await guardedWrite(pair.waiting, second, `written/${name}`)).toBe(true);
      expect(first.held).toBe(false);
      expect(pair.terms.overlaps).toEqual([]);
      return goneAt - firedAt;
    });
    expect(Math.min(...marginsMs)).toBeGreaterThan(0);
  });
});

describe("a leader whose process stands still for twice its lease", () => {
  // Whatever runs first sees the end of the term: no timer and no answer of etcd comes before it.
  it.each<readonly [string, Interruption, number]>([
    ["stopped from outside, 20 of 20", "stopped", 20],
    ["stopped in the middle of its code, 10 of 10", "stops", 10],
    ["blocking its own event loop, 10 of 10", "blocks", 10],
  ])("%s: knows at the first line that runs, and cannot write any more (etcd#11457)", async (_, how, count) => {
    let ready = 0;
    const held = await manyRuns(count, async (run, random) => {
      const name = `${how}-${run}`;
      const args = [`${root}tests/faults/frozen-leader.js`, etcd.endpoint, name, String(ttlMs), how];
      await using child = spawnNode(args);
      await child.line(/"ready"/, patienceMs);
      // So that no lease suffers from the start of the others.
      ready++;
      await until(() => ready === count, { what: "start of the others", timeoutMs: patienceMs });
      return await heldAfter(how, child, name, random);
    });
    expect(held).toEqual(Array.from({ length: count }, () => false));
  });
});

describe("a leader whose lease is revoked by hand", () => {
  // Go's client learns it from its next keep-alive: here 40 s later. etcd-cpp-apiv3#263: never.
  it("is told at once, and the next in line leads (etcd-cpp-apiv3#263), 20 of 20", async () => {
    await manyRuns(20, async (run) => {
      const name = `revoked-${run}`;
      await using pair = await leaderAndStandby(name, longTtlMs);
      await direct.etcd.lease.revoke(pair.first.leaseId);
      await until(() => pair.first.signal.aborted, { what: "signal" });
      const { first, second } = await ended(pair);
      expect(first.signal.reason).toMatchObject({ code: "leadership-lost" });
      expect(first.held).toBe(false);
      expect(second.held).toBe(true);
      expect(second.token > first.token).toBe(true);
      expect(await guardedWrite(pair.leading, first, `written/${name}`)).toBe(false);
    });
  });
});

describe("a wall clock that is set", () => {
  afterEach(() => vi.useRealTimers());

  // etcd3 counts its deadlines by Date.now().
  it("a day forward or back: ends no term, and lengthens none (etcd3#158)", async () => {
    const dayMs = 86_400_000;
    await using pair = await leaderAndStandby("clock", ttlMs);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + dayMs });
    await pause(1.2 * ttlMs);
    expect(pair.first.held).toBe(true);
    vi.setSystemTime(Date.now() - 2 * dayMs);
    await pause(1.2 * ttlMs);
    expect(pair.first.held).toBe(true);
    expect(pair.first.signal.aborted).toBe(false);

    pair.link.blackhole();
    vi.setSystemTime(Date.now() - dayMs);
    const { first, firedAt, goneAt, second } = await ended(pair);
    expect(firedAt).toBeLessThan(goneAt);
    expect(second.token > first.token).toBe(true);
    expect(pair.terms.overlaps).toEqual([]);
  });
});

interface Pair extends AsyncDisposable {
  readonly first: Term;
  readonly second: Promise<Term>;
  /** The clients of both. */
  readonly leading: Client;
  readonly waiting: Client;
  /** The leader's way to etcd. */
  readonly link: Proxy;
  /** The instant when the leader's signal fired; undefined until then. */
  readonly firedAt: () => number | undefined;
  /** The instant when the leader's key was seen to be gone. */
  readonly goneAt: Promise<number>;
  readonly terms: HeldTerms;
}

/** A leader with this TTL behind a proxy and a standby on a good link, both watched. */
async function leaderAndStandby(name: string, leaseMs: number): Promise<Pair> {
  const link = await startProxy(etcd.endpoint);
  const leading = connect({ endpoints: [link.endpoint] });
  const waiting = connect({ endpoints: [etcd.endpoint] });
  const terms = new HeldTerms();
  const first = terms.add(await elected(leading.election(name, { ttlMs: leaseMs }).campaign("first")));
  const firedAt = instantOf(first.signal);
  const { at: goneAt } = await deletionOf(direct.etcd, first.key);
  goneAt.then(() => terms.look("when the key was gone")).catch(() => undefined);
  const campaign = waiting.election(name, { ttlMs: longTtlMs }).campaign("second");
  const second = campaign.then((term) => terms.add(term));
  await standing(direct, name, 2);
  return {
    first,
    second,
    leading,
    waiting,
    link,
    firedAt,
    goneAt,
    terms,
    [Symbol.asyncDispose]: async () => {
      terms[Symbol.dispose]();
      link.heal();
      await Promise.all([leading.close(), waiting.close()]);
      await link.stop();
    },
  };
}

/** What there is to say once the leader's key is gone and its successor elected. */
async function ended(pair: Pair) {
  const goneAt = await settled(pair.goneAt, { what: "end of the key", timeoutMs: patienceMs });
  const second = await elected(pair.second);
  // Never, if not until now: then its successor leads already.
  return { first: pair.first, firedAt: pair.firedAt() ?? Infinity, goneAt, second };
}

/** How the process comes to stand still: see frozen-leader.js. */
type Interruption = "stopped" | "stops" | "blocks";

/** What the leader's first line after the interruption says of its term. */
async function heldAfter(how: Interruption, child: NodeProcess, name: string, random: Random): Promise<boolean> {
  await using waiting = connect({ endpoints: [etcd.endpoint] });
  child.write("stand\n");
  const first = JSON.parse(await child.line(/"leads"/, patienceMs)) as { readonly token: string };
  const next = waiting.election(name, { ttlMs: longTtlMs }).campaign("second");
  await standing(direct, name, 2);

  // At any moment between two keep-alives.
  await pause((random.fraction() * ttlMs) / 3);
  const stoppedAt = performance.now();
  if (how === "stopped") child.signal("SIGSTOP");
  else child.write("stand still\n");
  const second = await elected(next);
  await until(() => performance.now() >= stoppedAt + 2 * ttlMs, { what: "time" });
  if (how !== "blocks") child.signal("SIGCONT");

  const back = JSON.parse(await child.line(/"back"/, patienceMs)) as { readonly held: boolean; readonly gapMs: number };
  expect(back.gapMs).toBeGreaterThan(1.5 * ttlMs);
  expect(second.held).toBe(true);
  expect(second.token > BigInt(first.token)).toBe(true);
  expect(JSON.parse(await child.line(/"wrote"/, patienceMs))).toMatchObject({
    succeeded: false,
    fired: true,
    code: "leadership-lost",
  });
  expect(await direct.etcd.kv.get(`written/${name}`)).toBeUndefined();
  expect(await guardedWrite(waiting, second, `written/${name}`)).toBe(true);
  return back.held;
}

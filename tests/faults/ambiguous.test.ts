import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Random } from "@tenure/etcd/runtime";
import { connect, type Client, type Leader, type Term, TenureError } from "tenure";
import { startProxy } from "../support/proxy.ts";
import { type RealEtcd, startEtcd } from "../support/real-etcd.ts";
import { pause, settled, until } from "../support/until.ts";
import { type DeafClient, deafLink, deafTransport, onTransaction } from "./lost-answers.ts";
import { elected, longTtlMs, manyRuns, patienceMs, standing, testTimeoutMs } from "./witness.ts";

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

/** Makes a client whose campaign's answer is lost after `applied` settled. */
type Loss = (applied: () => Promise<unknown>, random: Random) => Promise<DeafClient>;

const losses: readonly (readonly [string, Loss])[] = [
  ["the connection breaks", (applied) => deafLink(etcd.endpoint, "breaks", applied)],
  ["the connection falls silent", (applied) => deafLink(etcd.endpoint, "falls silent", applied)],
  ["unavailable", (_, random) => Promise.resolve(deafTransport(etcd.endpoint, "unavailable", upTo3(random)))],
  ["a deadline", (_, random) => Promise.resolve(deafTransport(etcd.endpoint, "deadline-exceeded", upTo3(random)))],
];

// Go's client returns the error and forgets the key, which then leads for as long as the lease is kept alive.
describe("a campaign that etcd carried out and whose answer was lost", () => {
  it.each(losses)(
    "by %s: is elected with one key, in its place (etcd#21128, stolon#659), 13 of 13",
    async (what, lose) => {
      await manyRuns(13, async (run, random) => {
        await using race = await unheard(`${what} ${run}`, run, random, lose);
        const applied = await race.applied();
        await race.rival?.resign();
        const term = await elected(race.campaign);
        const { key, token: revision, leaseId } = term;
        expect(term.held).toBe(true);
        expect(await direct.election(race.name).candidates()).toEqual([
          expect.objectContaining({ key, revision, leaseId, value: "own" }),
        ]);
        expect(revision).toBe(applied.revision);
        expect(race.otherTerm?.held ?? true).toBe(true);
        await term.resign();
        await standing(direct, race.name, 0);
      });
      await nothingIsLeft();
    },
  );

  it.each(losses)("by %s: leaves no key when it is aborted (etcd#21128, stolon#659), 12 of 12", async (what, lose) => {
    await manyRuns(12, async (run, random) => {
      await using race = await unheard(`${what} aborted ${run}`, run, random, lose);
      // Before the loss is known, while the request is repeated, or when all is over.
      await pause(random.fraction() ** 2 * 2500);
      race.stop.abort();
      const outcome = await settled(leftOrLost(race.campaign), { what: "end of it", timeoutMs: patienceMs });
      expect(["elected", "aborted"]).toContain(outcome);
      await standing(direct, race.name, race.rival === undefined ? 0 : 1);
      expect(race.rival?.held ?? true).toBe(true);
      expect(race.otherTerm?.held ?? true).toBe(true);
      await race.rival?.resign();
    });
    await nothingIsLeft();
  });
});

// TCP delivers after a partition what was sent before it, whatever its sender has done since on another connection.
describe("a campaign whose request arrives after its candidate has left", () => {
  it.each<readonly [string, (campaign: Promise<Term>, stop: AbortController) => Promise<void>]>([
    [
      "having been aborted",
      async (campaign, stop) => {
        stop.abort();
        await expect(campaign).rejects.toMatchObject({ code: "aborted" });
      },
    ],
    ["having been elected by its second request", async (campaign) => (await campaign).resign()],
  ])("%s: leaves no key on a lease that lives on, 20 of 20", async (how, leave) => {
    const arrived = await manyRuns(20, async (run) => {
      const name = `late ${how} ${run}`;
      await using link = await startProxy(etcd.endpoint);
      await using client = connect({ endpoints: [link.endpoint] });
      // Its lease is the campaign's, too.
      const other = await elected(client.election(`beside ${name}`, { ttlMs: longTtlMs }).campaign("other"));
      let requests = 0;
      using _transactions = onTransaction(link.endpoint, () => {
        if (++requests === 1) link.strand();
      });
      const stop = new AbortController();
      const campaign = client.election(name, { ttlMs: longTtlMs }).campaign("own", { signal: stop.signal });
      await until(() => requests === 1, { what: "request", timeoutMs: patienceMs });
      await settled(leave(campaign, stop), { what: "end of it", timeoutMs: patienceMs });
      // The deletion, on a new connection, and an answer from behind it.
      await until(() => requests > 1, { what: "deletion", timeoutMs: patienceMs });
      await client.election(name).candidates();

      const seen: (Leader | null)[] = [];
      const over = new AbortController();
      const observer = (async () => {
        for await (const leader of direct.election(name).observe({ signal: over.signal })) seen.push(leader);
      })();
      await until(() => seen.length > 0, { what: "first look", timeoutMs: patienceMs });
      link.heal();
      // Nothing tells whether etcd carries it out: it does in about half of the runs, within milliseconds.
      await pause(500);
      await standing(direct, name, 0);
      expect(other.held).toBe(true);
      over.abort();
      await settled(observer, { what: "end of the observer" });
      return seen.some((leader) => leader !== null);
    });
    expect(arrived).toContain(true);
    await nothingIsLeft();
  });
});

interface Race extends AsyncDisposable {
  readonly name: string;
  /** Who led before, in half of the runs. */
  readonly rival: Term | undefined;
  /** A term of the same client in another election, in half of the runs: its lease lives on, with all that is on it. */
  readonly otherTerm: Term | undefined;
  readonly campaign: Promise<Term>;
  /** Ends the campaign. */
  readonly stop: AbortController;
  /** Resolves when our key is in etcd. */
  readonly applied: () => Promise<Leader>;
}

/** A campaign whose request has left and will not be answered. */
async function unheard(name: string, run: number, random: Random, lose: Loss): Promise<Race> {
  const options = { ttlMs: longTtlMs };
  const rival = run % 2 === 0 ? undefined : await elected(direct.election(name, options).campaign("rival"));
  let seen: Promise<Leader> | undefined;
  const applied = (): Promise<Leader> => (seen ??= keyInEtcd(name));
  const deaf = await lose(applied, random);
  const other = deaf.client.election(`another beside ${name}`, options);
  const otherTerm = run % 4 < 2 ? undefined : await elected(other.campaign("own"));
  const requested = deaf.deafen();
  const stop = new AbortController();
  const campaign = deaf.client.election(name, options).campaign("own", { signal: stop.signal });
  await settled(requested, { what: "request", timeoutMs: patienceMs });
  return { name, rival, otherTerm, campaign, stop, applied, [Symbol.asyncDispose]: () => deaf[Symbol.asyncDispose]() };
}

function keyInEtcd(name: string): Promise<Leader> {
  const election = direct.election(name);
  return until(async () => (await election.candidates()).find(({ value }) => value === "own"), {
    what: "our key in etcd",
    timeoutMs: patienceMs,
    intervalMs: 1,
  });
}

/** How an aborted campaign ended; a term that was won in the same moment is resigned. */
async function leftOrLost(campaign: Promise<Term>): Promise<string> {
  try {
    const term = await campaign;
    await term.resign();
    return "elected";
  } catch (error) {
    return TenureError.from(error).code;
  }
}

/** Every client is closed: whatever is left now would stay until its TTL. */
async function nothingIsLeft(): Promise<void> {
  await until(async () => (await direct.etcd.lease.list()).leases.length === 0, {
    what: "end of the leases",
    timeoutMs: patienceMs,
  });
  expect((await direct.etcd.kv.range({ prefix: "" })).kvs).toEqual([]);
}

function upTo3(random: Random): number {
  return 1 + Math.floor(random.fraction() * 3);
}

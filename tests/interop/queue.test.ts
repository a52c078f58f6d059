import { randomInt } from "node:crypto";
import { describe, expect, it } from "vitest";
import { seededRandom } from "@tenure/etcd/runtime";
import { until } from "../support/until.ts";
import { etcd3Kind } from "./support/etcd3.ts";
import { etcdctlKind, firstCreated } from "./support/etcdctl.ts";
import { goKind, skipGo } from "./support/go.ts";
import { type Candidate, type Observer, type Peer, type PeerKind } from "./support/peer.ts";
import { v3electionKind } from "./support/services.ts";
import { stage } from "./support/stage.ts";
import { tenureKind } from "./support/tenure.ts";

const ends = 30;
const members: readonly [string, PeerKind][] = [
  ["go", goKind],
  ["etcdctl", etcdctlKind("3.5")],
  ["etcd3", etcd3Kind],
  ["tenure-a", tenureKind],
  ["tenure-b", tenureKind],
];
// An order that failed runs again with its seed.
const seed = Number(process.env["TENURE_SEED"] || randomInt(2 ** 31));

interface Member {
  readonly label: string;
  readonly peer: Peer;
  readonly observer: Observer;
  stood: number;
  standing: Candidate | undefined;
}

describe.skipIf(skipGo)("a queue of all kinds", () => {
  const on = stage([goKind]);

  it(`names one leader at each moment while ${ends} candidates end and stand again, in any order`, async () => {
    try {
      expect(await endInRandomOrder()).toBe(ends);
    } catch (error) {
      throw new Error(`TENURE_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }, 120_000);

  async function endInRandomOrder(): Promise<number> {
    const random = seededRandom(seed);
    const name = on.name();
    const client = on.client();
    const election = client.election(name);
    const service = await on.start(v3electionKind, name); // looks on only
    const all: Member[] = [];
    // The queue as it must be: the leader first.
    const queue: Member[] = [];
    for (const [label, kind] of members) {
      const peer = await on.start(kind, name);
      const member = { label, peer, observer: await peer.observe(), stood: 0, standing: undefined };
      all.push(member);
      await stand(member);
    }
    const serviceObserver = await service.observe();
    const observers = [...all.map(({ observer }) => observer), serviceObserver];
    await agree();

    let ended = 0;
    for (; ended < ends; ended++) {
      // Half of them are leaders; the other half stand anywhere.
      const index = random.fraction() < 0.5 ? 0 : Math.floor(random.fraction() * queue.length);
      const [member] = queue.splice(index, 1);
      if (member?.standing === undefined) throw new Error("nobody stands");
      const { kill, leave } = member.standing;
      if (kill !== undefined && random.fraction() < 0.3) await crash(member, kill);
      else await leave();
      await agree();
      await stand(member);
      await agree();
    }
    return ended;

    async function stand(member: Member): Promise<void> {
      member.standing = await member.peer.stand(`${member.label} ${++member.stood}`);
      queue.push(member);
      await on.queue(name, ...queue.map(({ standing }) => standing?.value ?? ""));
    }

    async function agree(): Promise<void> {
      const values = queue.map(({ standing }) => standing?.value ?? "");
      await on.queue(name, ...values);
      const [leader = ""] = values;
      const asked = [service, ...all.map(({ peer }) => peer)].map((peer) => peer.leader());
      expect(await Promise.all([firstCreated(on.etcd, name), ...asked])).toEqual(Array(asked.length + 1).fill(leader));
      expect((await election.state()).candidates[0]?.value).toBe(leader);
      // Who looks on hears of it by an event, which takes its time.
      const told = (): (string | undefined)[] => observers.map(({ latest }) => latest);
      const believing = (): string[] =>
        queue.flatMap(({ standing }) => (standing?.isElected === true ? [standing.value] : []));
      await until(
        () => told().every((latest) => latest === leader) && believing().length === 1 && believing()[0] === leader,
        { what: "one leader" },
      ).catch((error: unknown) => {
        const seen = `${leader} leads, observers say ${told().join(", ")}; elected: ${believing().join(", ")}`;
        throw new Error(`${String(error)}: ${seen}`, { cause: error });
      });
    }

    // What the end of the lease does, sooner.
    async function crash(member: Member, kill: () => Promise<void>): Promise<void> {
      const key = (await election.candidates()).find(({ value }) => value === member.standing?.value);
      await kill();
      await client.etcd.lease.revoke(key?.leaseId ?? 0n);
    }
  }
});

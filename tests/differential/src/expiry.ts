import { pause } from "../../support/until.ts";
import { Chance } from "../../simulation/src/chance.ts";
import { differences } from "./compare.ts";
import { startEmpty } from "./empty-pair.ts";
import type { Json, Operation } from "./operation.ts";
import type { Subject } from "./subject.ts";

/** Far enough apart that leases end in the same order on both servers. */
const ttlSeconds = [2, 4, 6] as const;
const renewAfterMs = 1000;
const lookEveryMs = 100;
const longestMs = 12_000;
/** Both look for leases that have run out every 500 ms, and this process is busy. */
const toleranceMs = 1500;

/** What a round of leases that run out came to. */
export interface ExpiryResult {
  readonly leases: number;
  /** Where the two servers, or a server and its duty, were not the same; one line each. */
  readonly problems: readonly string[];
}

/** Lets some leases with keys run out on both servers, and compares what is seen of it and when. */
export async function runExpiry(etcdEndpoint: string, seed: number): Promise<ExpiryResult> {
  await using pair = await startEmpty(etcdEndpoint);
  const subjects = [pair.embed, pair.etcd] as const;
  const problems: string[] = [];
  const both = async (operation: Operation): Promise<void> => {
    const [ours, theirs] = await Promise.all(subjects.map((subject) => subject.perform(operation)));
    for (const { path, embed, etcd } of differences(operation, ours ?? null, theirs ?? null)) {
      const where = `${JSON.stringify(operation)} ${path}`;
      problems.push(`${where}: embed ${JSON.stringify(embed)}, etcd ${JSON.stringify(etcd)}`);
    }
  };
  const chance = new Chance(seed);
  const started = performance.now();
  for (const operation of opening(chance)) await both(operation);
  await pause(renewAfterMs - (performance.now() - started));
  const renewed = chance.pick([1, 2, 3]);
  const renewedAt = performance.now();
  await both({ keepAlive: [renewed], on: 0 });
  const ends = await Promise.all(subjects.map((subject) => endsOf(subject)));
  for (const [index, ttl] of ttlSeconds.entries()) {
    const id = index + 1;
    const from = id === renewed ? renewedAt : started;
    const [ours = Infinity, theirs = Infinity] = ends.map((each) => (each.get(id) ?? Infinity) - from);
    const said = `lease ${id} of ${ttl} s ended after ${ours.toFixed(0)} ms, on etcd after ${theirs.toFixed(0)} ms`;
    if (!(ours >= ttl * 1000 && Math.abs(ours - theirs) <= toleranceMs)) problems.push(said);
  }
  await both({ settle: true });
  await both({ call: "KV.Range", on: 0, request: { key: "\u0000", rangeEnd: "\u0000" } });
  return { leases: ttlSeconds.length, problems };
}

/** Grants the leases and puts keys on them, some of which leave theirs again. */
function* opening(chance: Chance): Generator<Operation> {
  yield { watch: { createRequest: { key: "\u0000", rangeEnd: "\u0000", prevKv: true } }, stream: 0 };
  for (const [index, ttl] of ttlSeconds.entries()) {
    // Less than the smallest TTL there is becomes that.
    const TTL = index === 0 ? chance.pick([ttl, 1, 0, -5]) : ttl;
    yield { call: "Lease.LeaseGrant", on: 0, request: { ID: index + 1, TTL } };
  }
  for (let puts = chance.whole(4, 10); puts > 0; puts--) {
    const lease = chance.happens(0.8) ? chance.whole(1, ttlSeconds.length) : 0;
    const request: Record<string, Json> = { key: chance.pick(["a", "b", "c", "d", "e"]), value: "x", lease };
    yield { call: "KV.Put", on: chance.whole(0, 2), request };
  }
  if (chance.happens(0.3)) yield { call: "KV.DeleteRange", on: 0, request: { key: "a" } };
  for (const ID of [1, 2, 3]) yield { call: "Lease.LeaseTimeToLive", on: 1, request: { ID, keys: true } };
}

/** When each lease was seen to be gone, by its id. */
async function endsOf(subject: Subject): Promise<ReadonlyMap<number, number>> {
  const ends = new Map<number, number>();
  const limit = performance.now() + longestMs;
  while (ends.size < ttlSeconds.length && performance.now() < limit) {
    const said = await subject.perform({ call: "Lease.LeaseLeases", on: 2, request: {} });
    const { leases = [] } = (said as { answer?: { leases?: readonly { ID: number }[] } }).answer ?? {};
    for (const id of ttlSeconds.keys()) {
      if (!ends.has(id + 1) && !leases.some(({ ID }) => ID === id + 1)) ends.set(id + 1, performance.now());
    }
    await pause(lookEveryMs);
  }
  return ends;
}

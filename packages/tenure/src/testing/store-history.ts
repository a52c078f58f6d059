import { create } from "@bufbuild/protobuf";
import { type Event, EventSchema, type KeyValue, KeyValueSchema } from "@tenure/etcd/rpc";
import fc from "fast-check";

const PUT = 0;
const DELETE = 1;

interface Put {
  readonly value: string;
  readonly leaseId: bigint;
}

/** A key that was put, or deleted where nothing was put. */
interface Write {
  readonly key: string;
  readonly put?: Put | undefined;
}

/** One revision of a store that changed our keys; etcd takes one write for a key in each. */
interface Commit {
  readonly revision: bigint;
  readonly writes: readonly Write[];
}

/**
 * Every write to a store that was empty at `start`. Nothing is kept beside it: what a key was at a revision is worked
 * out from all writes up to that one, so that there is no state which could go wrong like the one under test.
 */
export interface StoreHistory {
  readonly start: bigint;
  readonly commits: readonly Commit[];
}

/** What someone did: a transaction, or the end of a lease, which deletes all its keys in one revision. */
type Step = { readonly gap: number } & ({ readonly writes: readonly Write[] } | { readonly endedLease: bigint });

/** Keys of candidates, and one of an election nested in theirs, in the order of keys. */
export const STORE_KEYS: readonly string[] = ["e/-1", "e/1", "e/2", "e/7e", "e/a", "e/ff", "e/nested/7"];
const LEASES = [0xan, 0xbn, 0xcn];

const someKey = fc.constantFrom(...STORE_KEYS);
const somePut = fc.record({ value: fc.constantFrom("x", "y"), leaseId: fc.constantFrom(0n, ...LEASES) });
const someWrite = fc.oneof(
  { weight: 3, arbitrary: fc.record({ key: someKey, put: somePut }) },
  { weight: 4, arbitrary: fc.record({ key: someKey }) },
);
const gap = fc.integer({ min: 1, max: 3 });
const someStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ gap, writes: fc.tuple(someWrite) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      gap,
      writes: fc.uniqueArray(someWrite, { selector: ({ key }) => key, minLength: 2, maxLength: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ gap, endedLease: fc.constantFrom(...LEASES) }) },
);

const someSteps = fc.array(someStep, { maxLength: 40, size: "max" });
/** A store's first revision; those above 2^53 are more than a number holds exactly. */
const someStart = fc.constantFrom(1n, 2n ** 53n - 8n, 2n ** 62n);

/** Histories of a few keys; revisions that changed only other keys lie in between. */
export const someHistory: fc.Arbitrary<StoreHistory> = fc
  .tuple(someStart, someSteps)
  .map(([start, steps]) => play(start, steps));

/** The same where no revision creates more than one key, as it is with candidates. */
export const someQueueHistory: fc.Arbitrary<StoreHistory> = fc
  .tuple(someStart, someSteps)
  .map(([start, steps]) => play(start, steps.map(withOnePut)));

function withOnePut(step: Step): Step {
  if (!("writes" in step)) return step;
  const put = step.writes.find((write) => write.put !== undefined);
  return { ...step, writes: step.writes.filter((write) => write === put || write.put === undefined) };
}

/** Leaves out what would change nothing, as etcd gives such a request no revision. */
function play(start: bigint, steps: readonly Step[]): StoreHistory {
  const commits: Commit[] = [];
  let revision = start;
  for (const step of steps) {
    const history = { start, commits };
    const writes =
      "writes" in step
        ? step.writes.filter(({ key, put }) => put !== undefined || lifeOf(history, key, revision).length > 0)
        : STORE_KEYS.filter((key) => leaseOf(history, key, revision) === step.endedLease).map((key) => ({ key }));
    if (writes.length === 0) continue;
    revision += BigInt(step.gap);
    commits.push({ revision, writes });
  }
  return { start, commits };
}

/** Every revision of the store from its start, those included that changed none of our keys. */
export function revisionsOf({ start, commits }: StoreHistory): bigint[] {
  const last = commits.at(-1)?.revision ?? start;
  return Array.from({ length: Number(last - start) + 1 }, (_, index) => start + BigInt(index));
}

/** The live keys at a revision, in the order of keys, as a range shows them. */
export function kvsAt(history: StoreHistory, revision: bigint): KeyValue[] {
  return STORE_KEYS.map((key) => kvAt(history, key, revision)).filter((kv) => kv !== undefined);
}

function kvAt(history: StoreHistory, key: string, revision: bigint): KeyValue | undefined {
  const life = lifeOf(history, key, revision);
  const [created] = life;
  const modified = life.at(-1);
  if (created === undefined || modified === undefined) return undefined;
  return create(KeyValueSchema, {
    key: Buffer.from(key),
    value: Buffer.from(modified.put.value),
    createRevision: created.revision,
    modRevision: modified.revision,
    version: BigInt(life.length),
    lease: modified.put.leaseId,
  });
}

/** Every time a key was put since it was last deleted; never, if it is not alive at this revision. */
function lifeOf({ commits }: StoreHistory, key: string, revision: bigint): { revision: bigint; put: Put }[] {
  let life: { revision: bigint; put: Put }[] = [];
  for (const commit of commits) {
    const write = commit.writes.find((one) => one.key === key);
    if (write === undefined || commit.revision > revision) continue;
    life = write.put === undefined ? [] : [...life, { revision: commit.revision, put: write.put }];
  }
  return life;
}

function leaseOf(history: StoreHistory, key: string, revision: bigint): bigint | undefined {
  return lifeOf(history, key, revision).at(-1)?.put.leaseId;
}

/** The events of some commits, as a watch shows them: of a deletion only the key and the revision. */
export function eventsOf(history: StoreHistory, commits: readonly Commit[]): Event[] {
  return commits.flatMap(({ revision, writes }) =>
    writes.map(({ key, put }) => {
      const deleted = { key: Buffer.from(key), modRevision: revision };
      const kv = put === undefined ? create(KeyValueSchema, deleted) : kvAt(history, key, revision);
      return create(EventSchema, { type: put === undefined ? DELETE : PUT, ...(kv && { kv }) });
    }),
  );
}

/** A key's text. */
export function keyOf(kv: KeyValue): string {
  return Buffer.from(kv.key).toString();
}

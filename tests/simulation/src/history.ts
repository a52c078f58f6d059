import type { EtcdServer } from "@tenure/embed";
import { create } from "@bufbuild/protobuf";
import { Event_EventType as EventType, type Event, type WatchResponse, WatchRequestSchema } from "@tenure/etcd/rpc";

/** A candidate's key in the committed state. */
export interface CommittedKey {
  readonly key: string;
  readonly value: string;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
}

/** Who led from a revision on; undefined for nobody. */
interface Reign {
  readonly revision: bigint;
  readonly at: number;
  readonly leader: CommittedKey | undefined;
}

/** What the history tells of. */
export interface HistoryListener {
  readonly created: (election: string, key: CommittedKey) => void;
  readonly registered: (election: string, token: bigint) => void;
}

/** Candidates' keys end in their lease; what asks for a transfer is none. */
const CANDIDATE = /\/[0-9a-f]+$/;
const EVERYTHING = new Uint8Array([0]);

/** Where leaders write under guard: outside of every election. */
export function registerKey(election: string): string {
  return `/register/${election}`;
}

/** Where the keys of an election are. */
export function electionPrefix(election: string): string {
  return `/elections/${election}/`;
}

/** The election that a key belongs to. */
export function electionOf(key: string): string | undefined {
  return /^\/elections\/([^/]+)\//.exec(key)?.[1];
}

/** The committed state of every election at this instant, and who led when. */
export class History {
  readonly #now: () => number;
  readonly #listener: HistoryListener;
  readonly #candidates = new Map<string, Map<string, CommittedKey>>();
  readonly #reigns = new Map<string, Reign[]>();
  /** When each key that was deleted by hand went, by key and create revision: many may be created in one. */
  readonly #deletedByHand = new Map<string, number>();
  /** Whether what is committed next was done by hand. */
  byHand = false;
  #revision = 1n;

  constructor(reference: EtcdServer, elections: readonly string[], now: () => number, listener: HistoryListener) {
    this.#now = now;
    this.#listener = listener;
    for (const election of elections) {
      this.#candidates.set(election, new Map());
      this.#reigns.set(election, [{ revision: 0n, at: 0, leader: undefined }]);
    }
    const stream = reference.openWatch((response) => this.#take(response));
    const createRequest = { key: EVERYTHING, rangeEnd: EVERYTHING };
    stream.handle(create(WatchRequestSchema, { requestUnion: { case: "createRequest", value: createRequest } }));
  }

  /** The newest committed revision. */
  get revision(): bigint {
    return this.#revision;
  }

  get elections(): readonly string[] {
    return [...this.#candidates.keys()];
  }

  /** The keys of an election, oldest first. */
  keys(election: string): CommittedKey[] {
    return [...(this.#candidates.get(election)?.values() ?? [])];
  }

  /** The key created first. */
  leader(election: string): CommittedKey | undefined {
    return this.#reigns.get(election)?.at(-1)?.leader;
  }

  /** Who led at a revision. */
  leaderAt(election: string, revision: bigint): CommittedKey | undefined {
    return this.#reigns.get(election)?.findLast((reign) => reign.revision <= revision)?.leader;
  }

  /** Everyone who led at some instant since. */
  leadersSince(election: string, since: number): readonly (CommittedKey | undefined)[] {
    const reigns = this.#reigns.get(election) ?? [];
    return reigns.filter((_, index) => (reigns[index + 1]?.at ?? Infinity) >= since).map(({ leader }) => leader);
  }

  /** When this key with this create revision was deleted by hand, or its lease revoked. */
  deletedByHandAt(key: string, createRevision: bigint): number | undefined {
    return this.#deletedByHand.get(`${key} ${createRevision}`);
  }

  #take({ events }: WatchResponse): boolean {
    const changed = new Set<string>();
    for (const event of events) {
      const election = this.#apply(event);
      if (election !== undefined) changed.add(election);
    }
    // Only now has the whole revision been applied.
    for (const election of changed) this.#reign(election);
    return true;
  }

  #apply(event: Event): string | undefined {
    const { kv } = event;
    if (kv === undefined) return undefined;
    this.#revision = kv.modRevision;
    const key = Buffer.from(kv.key).toString();
    const value = Buffer.from(kv.value).toString();
    for (const [election, candidates] of this.#candidates) {
      if (key === registerKey(election)) this.#listener.registered(election, BigInt(value));
      if (!key.startsWith(electionPrefix(election)) || !CANDIDATE.test(key)) continue;
      const before = candidates.get(key);
      if (event.type === EventType.DELETE) {
        candidates.delete(key);
        if (this.byHand && before !== undefined) {
          this.#deletedByHand.set(`${key} ${before.createRevision}`, this.#now());
        }
      } else {
        const { createRevision, modRevision } = kv;
        const after = { key, value, createRevision, modRevision };
        // Map keeps the order of creation: a key that is put again stays in its place.
        candidates.set(key, after);
        if (before === undefined) this.#listener.created(election, after);
      }
      return election;
    }
    return undefined;
  }

  #reign(election: string): void {
    const leader = this.keys(election)[0];
    const reigns = this.#reigns.get(election) ?? [];
    const last = reigns.at(-1)?.leader;
    if (last?.createRevision === leader?.createRevision && last?.modRevision === leader?.modRevision) return;
    reigns.push({ revision: this.#revision, at: this.#now(), leader });
  }
}

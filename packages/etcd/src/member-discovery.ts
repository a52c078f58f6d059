import type { Connection, SessionCheck } from "./connection.ts";
import type { EndpointRanking } from "./endpoint-ranking.ts";
import type { EndpointSource } from "./endpoint-source.ts";
import { type Endpoint, parseEndpoint } from "./endpoint.ts";
import { EtcdError } from "./errors.ts";
import {
  type EndpointRemoval,
  publishDiscoveryFailed,
  publishEndpointAdded,
  publishEndpointRejected,
  publishEndpointRemoved,
} from "./events.ts";
import type { MemberListResponse } from "./gen/rpc_pb.ts";
import type { Http2Session } from "./http2/http2.ts";
import type { Lineage } from "./lineage.ts";
import { askIdentity, type MemberIdentity } from "./member-identity.ts";
import { backoffMs } from "./runtime/backoff.ts";
import type { Clock } from "./runtime/clock.ts";
import type { Random } from "./runtime/random.ts";

/** What the discovery of members works with. */
export interface MemberDiscoveryOptions {
  readonly ranking: EndpointRanking;
  readonly lineage: Lineage;
  readonly clock: Clock;
  readonly random: Random;
  /** Asks the cluster for its members, as any other call does: its answer has been shown to the lineage. */
  readonly list: () => Promise<MemberListResponse>;
  /** Prepares a connection, each session of which is looked at first. */
  readonly open: (endpoint: Endpoint, check: SessionCheck) => Connection;
}

/** A URL of one member, or of several that all have it (`http://localhost:2379`): any of them may answer there. */
interface Listed {
  readonly endpoint: Endpoint;
  readonly memberIds: Set<bigint>;
}

/** A URL of the list, whether it leads to where the list says or not. */
interface Candidate {
  readonly connection: Connection;
  readonly clusterId: bigint;
  memberIds: ReadonlySet<bigint>;
  /** Which of these it was who answered last. */
  memberId: bigint | undefined;
  /** Whether calls may go there. */
  inUse: boolean;
  /** Whether it is being looked at. */
  inCheck: boolean;
  /** The last thing that was wrong with who answers there, as it was told. */
  rejection: string | undefined;
}

/** How long a list of members is good for. */
const FRESH_MS = 30_000;
/** When to ask again for a list that was not to be had; and to look again for a way when there is none. */
const AGAIN = { firstMs: 1000, maxMs: FRESH_MS };
/** Milliseconds for a member to say who it is. */
const IDENTITY_TIMEOUT_MS = 1000;
/** A cluster has a handful of members; a list that has no end is none. */
const MAX_CANDIDATES = 32;

/**
 * Finds the members of the cluster by its own list, so that a client needs to be given only one of them.
 *
 * What members advertise is often `http://localhost:2379`, or an address that from here leads to another cluster. One
 * answer from there, taken for this cluster's, would end every session. So a URL of the list is used for nothing until
 * whoever answers there has said, on that very connection, that it is the member the list names, of the cluster whose
 * list it is; and each time the connection is made anew it has to say so again before anybody gets it. What was given
 * stays as it is, whatever the list says.
 */
export class MemberDiscovery implements EndpointSource {
  readonly #options: MemberDiscoveryOptions;
  readonly #candidates = new Map<string, Candidate>();
  readonly #stopListening: () => void;
  #closed = false;
  #asking = false;
  #askAt = 0;
  #failures = 0;
  #trouble: string | undefined;
  #lookAt = 0;
  #looks = 0;

  constructor(options: MemberDiscoveryOptions) {
    this.#options = options;
    this.#stopListening = options.lineage.onChanged(() => this.#startAnew());
  }

  /** The endpoints that were given are there from the start. */
  pending(): undefined {
    return undefined;
  }

  answered(): void {
    const now = this.#options.clock.monotonic();
    if (this.#asking || this.#closed || now < this.#askAt) return;
    void this.#ask();
  }

  /**
   * Nobody is left who could be asked for the list, but its URLs that could not be used may have become useful. With
   * the next answer the list is asked for at once.
   */
  exhausted(): void {
    const { clock, random } = this.#options;
    const now = clock.monotonic();
    if (this.#closed || now < this.#lookAt) return;
    if (now > this.#lookAt + FRESH_MS) this.#looks = 0;
    this.#lookAt = now + backoffMs(this.#looks++, AGAIN, random);
    this.#askAt = now;
    this.#checkAll();
  }

  close(): void {
    this.#closed = true;
    this.#stopListening();
    for (const { connection } of this.#candidates.values()) connection.close();
    this.#candidates.clear();
  }

  async #ask(): Promise<void> {
    const { lineage, clock, random, list } = this.#options;
    const { epoch } = lineage;
    this.#asking = true;
    try {
      const answer = await list();
      if (epoch !== lineage.epoch) return;
      this.#askAt = clock.monotonic() + FRESH_MS;
      this.#failures = 0;
      this.#take(answer);
    } catch (thrown) {
      this.#askAt = clock.monotonic() + backoffMs(this.#failures++, AGAIN, random);
      const error = EtcdError.from(thrown);
      if (!this.#closed && error.message !== this.#trouble) publishDiscoveryFailed("members", error);
      this.#trouble = error.message;
    } finally {
      this.#asking = false;
    }
  }

  /** Brings the candidates in line with a list. */
  #take({ header, members }: MemberListResponse): void {
    if (this.#closed) return;
    const clusterId = header?.clusterId ?? 0n;
    if (clusterId === 0n) throw new EtcdError("unimplemented", "the list of members does not say whose it is");
    this.#trouble = undefined;
    const listed = this.#usable(members);
    for (const [url, candidate] of this.#candidates) {
      const memberIds = listed.get(url)?.memberIds;
      if (memberIds === undefined || candidate.clusterId !== clusterId) this.#drop(url, candidate, "unlisted");
      else candidate.memberIds = memberIds;
    }
    for (const [url, { endpoint, memberIds }] of listed) {
      if (!this.#candidates.has(url)) this.#candidates.set(url, this.#candidate(endpoint, clusterId, memberIds));
    }
    this.#checkAll();
    this.#identifyGiven();
  }

  /** What of a list could be of use: who votes, by a URL of the same kind as those given that is none of them. */
  #usable(members: MemberListResponse["members"]): Map<string, Listed> {
    const given = this.#given().map(({ endpoint }) => endpoint);
    const listed = new Map<string, Listed>();
    for (const { ID, isLearner, clientURLs } of members) {
      if (isLearner || ID === 0n) continue;
      for (const endpoint of clientURLs.flatMap((text) => readable(text))) {
        const { url, secure } = endpoint;
        if (secure !== given[0]?.secure || given.some((each) => each.url === url)) continue;
        const known = listed.get(url);
        if (known !== undefined) known.memberIds.add(ID);
        else if (listed.size < MAX_CANDIDATES) listed.set(url, { endpoint, memberIds: new Set([ID]) });
      }
    }
    return listed;
  }

  #given(): Connection[] {
    const found = new Set([...this.#candidates.values()].map(({ connection }) => connection));
    return this.#options.ranking.connections.filter((connection) => !found.has(connection));
  }

  #candidate(endpoint: Endpoint, clusterId: bigint, memberIds: ReadonlySet<bigint>): Candidate {
    const connection = this.#options.open(endpoint, (_, session) => this.#assertRight(candidate, session));
    const state = { memberId: undefined, inUse: false, inCheck: false, rejection: undefined };
    const candidate: Candidate = { connection, clusterId, memberIds, ...state };
    return candidate;
  }

  #checkAll(): void {
    for (const [url, candidate] of this.#candidates) void this.#check(url, candidate);
  }

  /** Puts a candidate to use if it leads to where the list says. */
  async #check(url: string, candidate: Candidate): Promise<void> {
    if (candidate.inUse || candidate.inCheck) return;
    candidate.inCheck = true;
    try {
      await candidate.connection.session();
      // It may have left the list meanwhile.
      if (this.#candidates.get(url) === candidate) this.#use(url, candidate);
    } catch {
      // Told by the connection, or as a rejection; it is looked at again with the next list.
    } finally {
      candidate.inCheck = false;
    }
  }

  #use(url: string, candidate: Candidate): void {
    candidate.inUse = true;
    candidate.rejection = undefined;
    this.#options.ranking.add(candidate.connection, candidate.memberId);
    publishEndpointAdded(url, "members");
  }

  /** Throws unless a member that the list names is the one who answers on a session. */
  async #assertRight(candidate: Candidate, session: Http2Session): Promise<void> {
    const { connection, clusterId, memberIds } = candidate;
    const found = await this.#identity(connection, session);
    if (found.clusterId === clusterId && memberIds.has(found.memberId)) {
      candidate.memberId = found.memberId;
      this.#options.ranking.identified(connection, found.memberId);
      return;
    }
    const expected = `${[...memberIds].map(hex).join(" or ")} of cluster ${hex(clusterId)}`;
    const reason = `member ${hex(found.memberId)} of cluster ${hex(found.clusterId)} answers, not ${expected}`;
    this.#reject(candidate, reason);
    throw new EtcdError("unavailable", reason, { mayHaveApplied: false });
  }

  #reject(candidate: Candidate, reason: string): void {
    const { url } = candidate.connection.endpoint;
    if (candidate.inUse) {
      candidate.inUse = false;
      this.#options.ranking.remove(candidate.connection);
      publishEndpointRemoved(url, "mismatch");
    }
    if (candidate.rejection !== reason) publishEndpointRejected(url, reason);
    candidate.rejection = reason;
  }

  async #identity(connection: Connection, session: Http2Session): Promise<MemberIdentity> {
    try {
      return await askIdentity(connection, session, this.#options.clock, IDENTITY_TIMEOUT_MS);
    } catch (error) {
      const reason = `it does not say which member it is: ${EtcdError.from(error).message}`;
      throw new EtcdError("unavailable", reason, { cause: error, mayHaveApplied: false });
    }
  }

  /** Which members are reached by what was given, so that the ranking knows two ways to one member from two members. */
  #identifyGiven(): void {
    if (this.#candidates.size === 0) return;
    for (const connection of this.#given()) void this.#identifyOne(connection);
  }

  async #identifyOne(connection: Connection): Promise<void> {
    try {
      const { memberId } = await this.#identity(connection, await connection.session());
      if (memberId !== 0n) this.#options.ranking.identified(connection, memberId);
    } catch {
      // It stays unknown, and counts as a member of its own.
    }
  }

  #drop(url: string, candidate: Candidate, why: EndpointRemoval): void {
    const { connection, inUse } = candidate;
    this.#candidates.delete(url);
    if (inUse) {
      candidate.inUse = false;
      this.#options.ranking.remove(connection);
      publishEndpointRemoved(url, why);
    }
    connection.close("this endpoint is not in use any more");
  }

  /** What was given leads to another cluster now, or to one that was set back: the list is none of its. */
  #startAnew(): void {
    for (const [url, candidate] of this.#candidates) this.#drop(url, candidate, "cluster-changed");
    this.#askAt = 0;
  }
}

/** A client URL of a member, where it is one that a client like this can use. */
function readable(text: string): Endpoint[] {
  try {
    return [parseEndpoint(text)];
  } catch {
    return []; // unix://, or nonsense
  }
}

function hex(id: bigint): string {
  return id.toString(16);
}

/**
 * A server for tests: its time passes when the test says so, it breaks on request, and it shows what it holds.
 *
 * @module
 */
import { AlarmType } from "@tenure/etcd/rpc";
import { ManualClock, seededRandom } from "@tenure/etcd/runtime";

import type { Inside } from "../core/inside.ts";
import { keyToBytes, type KeyRange } from "../core/key-range.ts";
import { sortedKeys } from "../core/lessor.ts";
import { type EmbedOptions, type EmbedServer, startEmbed as startServer } from "../index.ts";
import { partsOf } from "../parts.ts";
import { LostReplies } from "./lost-replies.ts";
import { Relay, type TestConnection } from "./relay.ts";
import { ServerClock } from "./server-clock.ts";

export type { TestConnection } from "./relay.ts";

/** How {@link startEmbed} starts a server for a test. */
export interface TestServerOptions extends Pick<EmbedOptions, "port" | "tls" | "limits" | "authTokenTtlMs" | "jwt"> {
  /** Time of the server. Default: a clock of its own, which stands still until {@link TestServer.advance}. */
  readonly clock?: ManualClock;
  /** Where ids and tokens come from: the same ones for the same seed. A whole number, 1 by default. */
  readonly seed?: number;
  /** Revision of the empty store. Default: 1, as in a fresh etcd. */
  readonly firstRevision?: bigint;
}

/** A lease, as {@link TestServer.leases} shows it. */
export interface TestLease {
  readonly id: bigint;
  /** What was granted. */
  readonly ttlMs: number;
  /** What is left, 0 when it has run out and the server has not looked yet. */
  readonly remainingMs: number;
  /** The keys on it, in byte order. */
  readonly keys: readonly string[];
}

/** A watch, as {@link TestServer.watchers} shows it. */
export interface TestWatcher {
  readonly id: bigint;
  readonly key: string;
  /** The end of the range, not included; empty for one key, and a zero byte for all from `key` on. */
  readonly rangeEnd: string;
  /** The first revision that was asked for; 0n for "from now on". */
  readonly startRevision: bigint;
  /** Whether it has been given everything up to now. */
  readonly synced: boolean;
}

/** Which reply is lost, and how. */
export interface LossOptions {
  /** A method such as `Put` or `Txn`. Default: any. */
  readonly method?: string;
  /** `cut` (default) breaks the connection, `silence` lets the client wait for its own deadline. */
  readonly by?: "cut" | "silence";
}

/** A server whose time and faults are the test's. */
export interface TestServer extends AsyncDisposable {
  /** What clients connect to, like `http://127.0.0.1:40123`. */
  readonly endpoint: string;
  /** The server's time. A client that is given it too lives in the same time. */
  readonly clock: ManualClock;
  /** The revision of the newest write. */
  readonly revision: bigint;

  /** Lets time pass, from one thing that falls due to the next; in between clients and server hear from one another. */
  advance(byMs: number): Promise<void>;

  /** Stops the server as if it were suspended: connections stay open, nobody answers, and nothing is done in time. */
  freeze(): void;
  /** Ends a freeze: what arrived and fell due meanwhile is done now. */
  thaw(): void;
  /** Connections of clients, the oldest first; a client may have several. */
  connections(): readonly TestConnection[];
  /**
   * Loses the next reply of a method such as `Put`, or of any: the request is carried out, and the client does not
   * hear of it. Resolves when that has happened.
   */
  loseNextReply(options?: LossOptions): Promise<void>;
  /** Ends a lease as if it had run out: its keys go in one revision. Returns whether there was such a lease. */
  expireLease(id: bigint): boolean;
  /**
   * Forgets all history before a revision, the newest one by default.
   *
   * @throws EtcdServerError as etcd refuses it: compacted already, or not reached yet
   */
  compact(revision?: bigint): void;
  /** Raises the alarm NOSPACE, under which puts and grants are refused, or ends it. */
  setNoSpace(isFull: boolean): void;
  /**
   * What leases see when etcd gets another leader: each one has its full TTL again, and the time of an election more.
   *
   * @param electionMs 1000 by default, etcd's election timeout
   */
  changeLeader(electionMs?: number): void;
  /** Ends all tokens of authentication, as if nobody had used theirs for too long, or their time were over. */
  expireTokens(): void;

  /** All leases, the one that runs out next first. */
  leases(): readonly TestLease[];
  /** All watches of all clients. */
  watchers(): readonly TestWatcher[];

  /** Ends all connections and frees the port. May be called again. */
  close(): Promise<void>;
}

/** Turns of the event loop in which what is sent gets to the other socket of this process. */
const QUIET_TURNS = 4;
/** Clients that never stop talking do not hold up the time. */
const MAX_TURNS = 200;
const ELECTION_MS = 1000;
/** Taken at once, since test runners put false ones in its place. */
const nextTurn = globalThis.setImmediate;

/**
 * Starts a server for a test, on a free port of the loopback address.
 *
 * @throws Error as `startEmbed` of `@tenure/embed` does
 */
export async function startEmbed(options: TestServerOptions = {}): Promise<TestServer> {
  const { clock = new ManualClock(), seed = 1, firstRevision = 1n, port = 0, ...rest } = options;
  const serverClock = new ServerClock(clock);
  const server = await startServer({ ...rest, clock: serverClock, random: seededRandom(seed), firstRevision });
  const relay = new Relay(server.port);
  try {
    const endpoint = server.endpoint.replace(/\d+$/, String(await relay.listen(port)));
    return new RunningTestServer(server, { endpoint, clock, serverClock, relay });
  } catch (error) {
    await server.close();
    throw error;
  }
}

interface Surroundings {
  readonly endpoint: string;
  readonly clock: ManualClock;
  readonly serverClock: ServerClock;
  readonly relay: Relay;
}

class RunningTestServer implements TestServer {
  readonly endpoint: string;
  readonly clock: ManualClock;
  readonly #server: EmbedServer;
  readonly #serverClock: ServerClock;
  readonly #relay: Relay;
  readonly #inside: Inside;
  readonly #replies = new LostReplies();

  constructor(server: EmbedServer, { endpoint, clock, serverClock, relay }: Surroundings) {
    const { inside, grpc, clientUrls } = partsOf(server);
    this.endpoint = endpoint;
    this.clock = clock;
    this.#server = server;
    this.#serverClock = serverClock;
    this.#relay = relay;
    this.#inside = inside;
    grpc.onCall = (stream, path) => this.#replies.onCall(stream, path);
    // Clients that ask for the members must not go past the relay.
    clientUrls.splice(0, clientUrls.length, endpoint);
  }

  get revision(): bigint {
    return BigInt(this.#inside.store.revision);
  }

  async advance(byMs: number): Promise<void> {
    const end = this.clock.now() + byMs;
    await this.#listen();
    while (this.clock.now() < end) {
      const next = Math.max(0, this.clock.due[0] ?? Infinity);
      this.clock.advance(Math.min(next, end - this.clock.now()));
      await this.#listen();
    }
  }

  /** Lets clients and server hear from one another until they have nothing more to say. */
  async #listen(): Promise<void> {
    let passed = -1;
    for (let turn = 0, quiet = 0; quiet < QUIET_TURNS && turn < MAX_TURNS; turn += 1) {
      await new Promise<void>((resolve) => nextTurn(resolve));
      quiet = this.#relay.passed === passed ? quiet + 1 : 0;
      passed = this.#relay.passed;
    }
  }

  freeze(): void {
    this.#serverClock.freeze();
    this.#relay.freeze();
  }

  thaw(): void {
    this.#serverClock.thaw();
    this.#relay.thaw();
  }

  connections(): readonly TestConnection[] {
    return this.#relay.connections;
  }

  loseNextReply({ method, by = "cut" }: LossOptions = {}): Promise<void> {
    return this.#replies.loseNext(method, by);
  }

  expireLease(id: bigint): boolean {
    return this.#inside.endLease(id);
  }

  compact(revision?: bigint): void {
    this.#inside.store.compact(revision === undefined ? this.#inside.store.revision : Number(revision));
  }

  setNoSpace(isFull: boolean): void {
    const { alarms, memberId } = this.#inside;
    if (isFull) alarms.activate(memberId, AlarmType.NOSPACE);
    else alarms.deactivate(memberId, AlarmType.NOSPACE);
  }

  changeLeader(electionMs: number = ELECTION_MS): void {
    this.#inside.lessor.extendAll(electionMs);
  }

  expireTokens(): void {
    this.#inside.authStore.expireTokens();
  }

  leases(): readonly TestLease[] {
    return this.#inside.lessor.list().map((lease) => ({
      id: lease.id,
      ttlMs: lease.ttlSeconds * 1000,
      remainingMs: Math.max(0, lease.expiresAtMs - this.clock.now()),
      keys: sortedKeys(lease).map(textOf),
    }));
  }

  watchers(): readonly TestWatcher[] {
    const watches = [...this.#inside.watchStreams].flatMap((stream) => [...stream.watchers]);
    return watches.map(([id, { spec, state }]) => ({
      id,
      ...boundsOf(spec.range),
      startRevision: BigInt(spec.startRevision),
      synced: state === "synced",
    }));
  }

  async close(): Promise<void> {
    await Promise.all([this.#server.close(), this.#relay.close()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function boundsOf(range: KeyRange): { readonly key: string; readonly rangeEnd: string } {
  if (range.kind === "key") return { key: textOf(range.key), rangeEnd: "" };
  return { key: textOf(range.start), rangeEnd: range.end === undefined ? "\0" : textOf(range.end) };
}

/** A key of the store as text. */
function textOf(key: string): string {
  return Buffer.from(keyToBytes(key)).toString();
}

import { AuthTransport, type AuthOptions } from "./auth.ts";
import { Connection, type SessionCheck } from "./connection.ts";
import { EtcdError } from "./errors.ts";
import { EndpointRanking } from "./endpoint-ranking.ts";
import type { EndpointSource } from "./endpoint-source.ts";
import { type Endpoint, parseEndpoint, parseEndpoints } from "./endpoint.ts";
import type { MemberListResponse, StatusResponse } from "./gen/rpc_pb.ts";
import type { CallOptions } from "./call-options.ts";
import { KvClient } from "./kv.ts";
import { LeaseClient } from "./lease.ts";
import { Lineage, LineageTransport } from "./lineage.ts";
import { MemberDiscovery } from "./member-discovery.ts";
import { RetryTransport } from "./retry.ts";
import { call, type Transport } from "./rpc-transport.ts";
import { type Clock, systemClock } from "./runtime/clock.ts";
import { type Random, systemRandom } from "./runtime/random.ts";
import { SrvDiscovery, type SrvOptions } from "./srv-discovery.ts";
import { assertTlsOptions, type TlsOptions } from "./tls.ts";
import { Http2Transport } from "./transport.ts";
import { WatchClient } from "./watch.ts";
import * as methods from "./wire/methods.ts";

/** How to reach a cluster. */
export interface EtcdClientOptions {
  /** `http://host:port` or `https://host:port`, all of one kind. Default: `http://127.0.0.1:2379`. */
  readonly endpoints?: readonly string[] | undefined;
  /**
   * Where DNS names the endpoints, in place of `endpoints`. It is asked when the first call needs them, and again when
   * all of them have failed. With `tls`, if only `{}`, records for https are the only ones asked for; without it they
   * are preferred.
   */
  readonly discoverySrv?: SrvOptions | undefined;
  /**
   * Whether to use the other members of the cluster's own list as well, once each has proven to be the member it is
   * taken for. They are asked for after the first answer, then every 30 s in the wake of calls. Default: false.
   */
  readonly discoverMembers?: boolean | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly auth?: AuthOptions | undefined;
  /** Milliseconds for one connection to be made before the next endpoint is tried. Default 1000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Replaces the network, in tests and in the simulation; endpoints, discovery and TLS are not used then. */
  readonly transport?: Transport | undefined;
  /**
   * Shared with another client of the same cluster, so that what one of them sees counts for both. Default: its own.
   */
  readonly lineage?: Lineage | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

const DEFAULT_ENDPOINTS = ["http://127.0.0.1:2379"];
const DEFAULT_CONNECT_TIMEOUT_MS = 1000;
/** Milliseconds to wait for the list of members, which nobody waits for. */
const LIST_TIMEOUT_MS = 2000;

/** Prepares a connection. */
type Open = (endpoint: Endpoint, check?: SessionCheck) => Connection;

/** A client of an etcd v3 cluster. It connects when it is first used, and again after each loss. */
export class EtcdClient implements AsyncDisposable {
  readonly kv: KvClient;
  readonly lease: LeaseClient;
  readonly watch: WatchClient;
  readonly maintenance: MaintenanceClient;
  readonly cluster: ClusterClient;
  /** What the answers so far have shown of the cluster's identity and progress. */
  readonly lineage: Lineage;
  /** The time and the chance this client lives by. */
  readonly clock: Clock;
  readonly random: Random;
  /** The user it acts as, where one was given. */
  readonly user: string | undefined;
  /** Whether it acts as no user: it has neither a password nor a certificate of its own. */
  readonly anonymous: boolean;
  readonly #ranking: EndpointRanking | undefined;
  readonly #sources: EndpointSource[] = [];
  readonly #closed = new AbortController();
  readonly #closeListeners = new Set<(reason: unknown) => void>();
  readonly #stopListening: () => void;

  /** Throws `invalid-argument` for an endpoint that cannot be one, or endpoints that are given twice. */
  constructor(options: EtcdClientOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? systemRandom;
    this.user = options.auth?.user;
    const { cert, certFile } = options.tls ?? {};
    this.anonymous = options.auth === undefined && cert === undefined && certFile === undefined;
    this.lineage = options.lineage ?? new Lineage();
    let transport = options.transport;
    if (transport === undefined) {
      const open: Open = (endpoint, check) => this.#connection(endpoint, options, check);
      const ranking = new EndpointRanking(this.#given(options).map((endpoint) => open(endpoint)));
      this.#ranking = ranking;
      this.#addSources(options, ranking, open);
      transport = new Http2Transport(ranking, this.clock, this.#sources);
    }
    transport = new LineageTransport(new RetryTransport(transport, this.clock, this.random), this.lineage);
    if (options.auth !== undefined) transport = new AuthTransport(transport, options.auth, this.clock);
    this.kv = new KvClient(transport);
    this.lease = new LeaseClient(transport);
    // What is shared belongs to the cluster of its beginning.
    this.#stopListening = this.lineage.onChanged(() => this.watch.close());
    // A shared stream would keep the token of its beginning.
    this.watch = new WatchClient(transport, this.clock, options.auth === undefined);
    this.maintenance = new MaintenanceClient(transport);
    this.cluster = new ClusterClient(transport);
  }

  /** Fires when the client is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /**
   * Calls `listener` with the reason when the client is closed, at once if it is; returns a function that takes the
   * listener off. The same as {@link closed}, for those of whom there may be thousands.
   */
  onClosed(listener: (reason: unknown) => void): () => void {
    if (this.closed.aborted) listener(this.closed.reason);
    else this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  /** Ends all connections; calls under way fail with `unavailable`. Idempotent. */
  close(): Promise<void> {
    this.#closed.abort(new EtcdError("unavailable", "the client is closed", { mayHaveApplied: false }));
    for (const listener of Array.from(this.#closeListeners)) listener(this.closed.reason);
    this.#closeListeners.clear();
    this.#stopListening();
    this.watch.close();
    for (const source of this.#sources) source.close();
    this.#ranking?.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The endpoints that are known from the start. */
  #given({ endpoints, discoverySrv }: EtcdClientOptions): Endpoint[] {
    if (discoverySrv === undefined) return inRandomOrder(parseEndpoints(endpoints ?? DEFAULT_ENDPOINTS), this.random);
    if (endpoints === undefined) return [];
    throw new EtcdError("invalid-argument", "endpoints and discoverySrv are both given: one of them will do");
  }

  #addSources({ discoverySrv, discoverMembers, tls }: EtcdClientOptions, ranking: EndpointRanking, open: Open): void {
    const { clock, random, lineage } = this;
    if (discoverySrv !== undefined) {
      // Said now, not when DNS has answered.
      assertTlsOptions(parseEndpoint("https://any"), tls ?? {});
      const secure = tls !== undefined;
      this.#sources.push(new SrvDiscovery(discoverySrv, { secure, ranking, clock, random, open }));
    }
    if (discoverMembers === true) {
      const list = (): Promise<MemberListResponse> => this.cluster.memberList({ timeoutMs: LIST_TIMEOUT_MS });
      this.#sources.push(new MemberDiscovery({ ranking, lineage, clock, random, list, open }));
    }
  }

  #connection(
    endpoint: Endpoint,
    { tls, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS }: EtcdClientOptions,
    check: SessionCheck | undefined,
  ): Connection {
    return new Connection(endpoint, { tls, clock: this.clock, connectTimeoutMs, check });
  }
}

/** The state of a member. */
export class MaintenanceClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Version, size and leader, as the member that answers sees them. */
  status(options: CallOptions = {}): Promise<StatusResponse> {
    return call(this.#transport, methods.status, {}, options);
  }
}

/** The members of a cluster. */
export class ClusterClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  memberList(options: { readonly linearizable?: boolean } & CallOptions = {}): Promise<MemberListResponse> {
    const { linearizable = true } = options;
    return call(this.#transport, methods.memberList, { linearizable }, options);
  }
}

/** Begins anywhere in the list, so that many clients do not all start at one member. */
function inRandomOrder(endpoints: readonly Endpoint[], random: Random): Endpoint[] {
  const start = Math.floor(random.fraction() * endpoints.length);
  return [...endpoints.slice(start), ...endpoints.slice(0, start)];
}

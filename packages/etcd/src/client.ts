import { createClient, type Transport } from "@connectrpc/connect";
import { AuthTransport, type AuthOptions } from "./auth.ts";
import { Connection } from "./connection.ts";
import { EtcdError } from "./errors.ts";
import { EndpointRanking } from "./endpoint-ranking.ts";
import { type Endpoint, parseEndpoints } from "./endpoint.ts";
import { Cluster, Maintenance, type MemberListResponse, type StatusResponse } from "./gen/rpc_pb.ts";
import { type CallOptions, normalized, rpcOptions } from "./call-options.ts";
import { KvClient } from "./kv.ts";
import { LeaseClient } from "./lease.ts";
import { Lineage, LineageTransport } from "./lineage.ts";
import { RetryTransport } from "./retry.ts";
import { type Clock, systemClock } from "./runtime/clock.ts";
import { type Random, systemRandom } from "./runtime/random.ts";
import type { TlsOptions } from "./tls.ts";
import { Http2Transport } from "./transport.ts";
import { WatchClient } from "./watch.ts";

/** How to reach a cluster. */
export interface EtcdClientOptions {
  /** `http://host:port` or `https://host:port`, all of one kind. Default: `http://127.0.0.1:2379`. */
  readonly endpoints?: readonly string[] | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly auth?: AuthOptions | undefined;
  /** Milliseconds for one connection to be made before the next endpoint is tried. Default 1000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Replaces the network, in tests and in the simulation; endpoints and TLS are not used then. */
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
  readonly #ranking: EndpointRanking | undefined;
  readonly #closed = new AbortController();

  /** Throws `invalid-argument` for an endpoint that cannot be one. */
  constructor(options: EtcdClientOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? systemRandom;
    this.user = options.auth?.user;
    this.lineage = options.lineage ?? new Lineage();
    let transport = options.transport;
    if (transport === undefined) {
      const given = inRandomOrder(parseEndpoints(options.endpoints ?? DEFAULT_ENDPOINTS), this.random);
      const open = (endpoint: Endpoint): Connection => this.#connection(endpoint, options);
      const ranking = new EndpointRanking(given.map(open));
      this.#ranking = ranking;
      transport = new Http2Transport(ranking, this.clock);
    }
    transport = new LineageTransport(new RetryTransport(transport, this.clock, this.random), this.lineage);
    if (options.auth !== undefined) transport = new AuthTransport(transport, options.auth, this.clock);
    this.kv = new KvClient(transport);
    this.lease = new LeaseClient(transport);
    this.watch = new WatchClient(transport);
    this.maintenance = new MaintenanceClient(transport);
    this.cluster = new ClusterClient(transport);
  }

  /** Fires when the client is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Ends all connections; calls under way fail with `unavailable`. Idempotent. */
  close(): Promise<void> {
    this.#closed.abort(new EtcdError("unavailable", "the client is closed", { mayHaveApplied: false }));
    this.#ranking?.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #connection(
    endpoint: Endpoint,
    { tls, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS }: EtcdClientOptions,
  ): Connection {
    return new Connection(endpoint, { tls, clock: this.clock, connectTimeoutMs });
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
    return normalized(createClient(Maintenance, this.#transport).status({}, rpcOptions(options)));
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
    return normalized(createClient(Cluster, this.#transport).memberList({ linearizable }, rpcOptions(options)));
  }
}

/** Begins anywhere in the list, so that many clients do not all start at one member. */
function inRandomOrder(endpoints: readonly Endpoint[], random: Random): Endpoint[] {
  const start = Math.floor(random.fraction() * endpoints.length);
  return [...endpoints.slice(start), ...endpoints.slice(0, start)];
}

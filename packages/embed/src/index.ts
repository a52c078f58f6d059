/**
 * An etcd v3 server in this process, for tests, demos and development on one machine.
 *
 * @module
 */
import { isIP } from "node:net";

import { type Clock, type Random, systemClock, systemRandom } from "@tenure/etcd/runtime";

import { EtcdServer } from "./core/etcd-server.ts";
import { type EmbedLimits, limitsOf } from "./limits.ts";
import { keepParts } from "./parts.ts";
import { addAuth } from "./shell/auth.ts";
import { addCluster } from "./shell/cluster.ts";
import { addConcurrency } from "./shell/concurrency.ts";
import { GrpcServer } from "./shell/grpc-server.ts";
import { GrpcRouter } from "./shell/grpc-service.ts";
import { addKv } from "./shell/kv.ts";
import { addLease } from "./shell/lease.ts";
import { addMaintenance } from "./shell/maintenance.ts";
import type { EmbedTls } from "./shell/server-tls.ts";
import { addWatch } from "./shell/watch.ts";

/** How {@link startEmbed} starts a server. */
export interface EmbedOptions {
  /**
   * Address to listen on. Default: `127.0.0.1`, so that no other machine can connect. One that others can reach needs
   * {@link tls}, or {@link allowInsecure}.
   */
  readonly host?: string;
  /** Port to listen on. Default: 0, any free one. */
  readonly port?: number;
  /** Time of leases. Default: this machine's. */
  readonly clock?: Clock;
  /** Where ids come from. Default: the operating system. */
  readonly random?: Random;
  /** Revision of the empty store. Default: the wall clock in microseconds, so that revisions rise over a restart. */
  readonly firstRevision?: bigint;
  /** How long a token of authentication lives after its last use. Default: 300,000 ms. */
  readonly authTokenTtlMs?: number;
  /** Speaks TLS, and nothing else. Default: cleartext. */
  readonly tls?: EmbedTls;
  /** Listens where other machines can connect although there is no TLS: who does may read all. Default: false. */
  readonly allowInsecure?: boolean;
  /** How much its clients may take. */
  readonly limits?: EmbedLimits;
}

/** A running server. It keeps the process alive until it is closed. */
export interface EmbedServer extends AsyncDisposable {
  /** What clients connect to, like `http://127.0.0.1:2379`; with TLS `https://`. */
  readonly endpoint: string;
  readonly host: string;
  readonly port: number;
  /** Ends all calls and connections and frees the port. Its keys and leases are gone. May be called again. */
  close(): Promise<void>;
}

/** How often etcd looks for leases that have run out. */
const TICK_MS = 500;

/**
 * Starts a server.
 *
 * @throws Error when it cannot listen, with the `code` of the cause (EADDRINUSE, EACCES, EADDRNOTAVAIL ...), when the
 *   address needs TLS (`code` is INSECURE_ADDRESS), or when the certificate cannot be used.
 * @throws RangeError for a limit below 1.
 */
export async function startEmbed(options: EmbedOptions = {}): Promise<EmbedServer> {
  const { host = "127.0.0.1", port = 0, clock = systemClock, random = systemRandom, firstRevision } = options;
  const { tls, allowInsecure = false } = options;
  const limits = limitsOf(options.limits ?? {});
  if (tls === undefined && !allowInsecure && !isLoopback(host)) {
    const error = new Error(`${host} can be reached from other machines: give it tls, or allowInsecure`);
    throw Object.assign(error, { code: "INSECURE_ADDRESS" });
  }
  const clientUrls: string[] = [];
  const server = new EtcdServer({
    clock,
    random,
    clientUrls,
    authTokenTtlMs: options.authTokenTtlMs,
    maxWatchesPerStream: limits.maxWatchesPerStream,
    maxWatches: limits.maxWatches,
    ...(firstRevision === undefined ? {} : { firstRevision }),
  });
  const grpc = new GrpcServer({ router: routerOf(server), clock, limits, tls });
  const listeningPort = await listen(grpc, host, port);
  const endpoint = endpointOf(tls === undefined ? "http" : "https", host, listeningPort);
  // Only now is the port known, and nobody can have asked yet.
  clientUrls.push(endpoint);

  const stopTicking = tick(server, clock);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    if (closing === undefined) {
      stopTicking();
      closing = grpc.close();
    }
    return closing;
  };
  const running: EmbedServer = { endpoint, host, port: listeningPort, close, [Symbol.asyncDispose]: close };
  keepParts(running, { inside: server.inside, grpc, clientUrls });
  return running;
}

function routerOf(server: EtcdServer): GrpcRouter {
  const router = new GrpcRouter();
  addKv(router, server);
  addWatch(router, server);
  addLease(router, server);
  addCluster(router, server.cluster);
  addMaintenance(router, server.maintenance);
  addAuth(router, server.auth);
  addConcurrency(router, server);
  return router;
}

async function listen(grpc: GrpcServer, host: string, port: number): Promise<number> {
  try {
    return await grpc.listen(host, port);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
    const reason = code === "EADDRINUSE" ? "the port is in use" : messageOf(cause);
    const error = new Error(`cannot listen on ${host}:${port}: ${reason}`, { cause });
    throw Object.assign(error, code === undefined ? {} : { code });
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** The endpoint under which this machine reaches the server; an address of IPv6 goes in brackets. */
function endpointOf(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Whether only this machine reaches what listens on a host. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Ticks until the returned function is called. */
function tick(server: EtcdServer, clock: Clock): () => void {
  let cancel = clock.after(TICK_MS, onTick);
  function onTick(): void {
    server.tick();
    cancel = clock.after(TICK_MS, onTick);
  }
  return () => cancel();
}

export type { EmbedLimits } from "./limits.ts";
export type { EmbedTls } from "./shell/server-tls.ts";

// For tools that tell this server from etcd.
export { MEMBER_NAME } from "./core/cluster.ts";

// For simulations and tests that bring their own time: the same server without a network.
export { EtcdServer, type EtcdServerOptions } from "./core/etcd-server.ts";
export { EtcdServerError } from "./core/errors.ts";
export type { WatchSink, WatchStream } from "./core/watch-stream.ts";

/**
 * An etcd v3 server in this process, for tests, demos and development on one machine.
 *
 * @module
 */
import { type Clock, type Random, systemClock, systemRandom } from "@tenure/etcd/runtime";

import { EtcdServer } from "./core/etcd-server.ts";
import { addAuth } from "./shell/auth.ts";
import { addCluster } from "./shell/cluster.ts";
import { GrpcServer } from "./shell/grpc-server.ts";
import { GrpcRouter } from "./shell/grpc-service.ts";
import { addKv } from "./shell/kv.ts";
import { addLease } from "./shell/lease.ts";
import { addMaintenance } from "./shell/maintenance.ts";
import { addWatch } from "./shell/watch.ts";

/** How {@link startEmbed} starts a server. */
export interface EmbedOptions {
  /** Address to listen on. Default: `127.0.0.1`, so that no other machine can connect. */
  readonly host?: string;
  /** Port to listen on. Default: 0, any free one. */
  readonly port?: number;
  /** Time of leases. Default: this machine's. */
  readonly clock?: Clock;
  /** Where ids come from. Default: the operating system. */
  readonly random?: Random;
  /** Revision of the empty store. Default: the wall clock in microseconds, so that revisions rise over a restart. */
  readonly firstRevision?: bigint;
}

/** A running server. It keeps the process alive until it is closed. */
export interface EmbedServer extends AsyncDisposable {
  /** What clients connect to, like `http://127.0.0.1:2379`. */
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
 * @throws Error when it cannot listen, with the `code` of the cause (EADDRINUSE, EACCES, EADDRNOTAVAIL ...).
 */
export async function startEmbed(options: EmbedOptions = {}): Promise<EmbedServer> {
  const { host = "127.0.0.1", port = 0, clock = systemClock, random = systemRandom, firstRevision } = options;
  const clientUrls: string[] = [];
  const server = new EtcdServer({
    clock,
    random,
    clientUrls,
    ...(firstRevision === undefined ? {} : { firstRevision }),
  });
  const grpc = new GrpcServer(routerOf(server), clock);
  const listeningPort = await listen(grpc, host, port);
  const endpoint = endpointOf(host, listeningPort);
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
  return { endpoint, host, port: listeningPort, close, [Symbol.asyncDispose]: close };
}

function routerOf(server: EtcdServer): GrpcRouter {
  const router = new GrpcRouter();
  addKv(router, server);
  addWatch(router, server);
  addLease(router, server);
  addCluster(router, server);
  addMaintenance(router, server);
  addAuth(router);
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
function endpointOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
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

// For tools that tell this server from etcd.
export { MEMBER_NAME } from "./core/etcd-server.ts";

// For simulations and tests that bring their own time: the same server without a network.
export { EtcdServer, type EtcdServerOptions } from "./core/etcd-server.ts";
export { EtcdServerError } from "./core/errors.ts";
export type { WatchSink, WatchStream } from "./core/watch-stream.ts";

/**
 * An etcd v3 server in this process, for tests, demos and development on one machine.
 *
 * @module
 */
import { isIP } from "node:net";

import { type Clock, type Random, systemClock, systemRandom } from "@tenure/etcd/runtime";

import type { JwtOptions } from "./core/auth-jwt.ts";
import { EtcdServer } from "./core/etcd-server.ts";
import { type EmbedLimits, type Limits, limitsOf } from "./limits.ts";
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
import { DataDir } from "./storage/data-dir.ts";

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
  /**
   * Directory that keeps everything over restarts and crashes; made if there is none. One server at a time may use it.
   * Default: everything is in memory.
   */
  readonly dataDir?: string | undefined;
  /**
   * Acknowledges what the operating system has taken, without waiting for the disk: faster, and still safe when this
   * process is killed, but not when the machine is. Default: false.
   */
  readonly unsafeNoFsync?: boolean | undefined;
  /** Hears of what is worth a line about the data directory, such as an unfinished write that was cut off. */
  readonly onNotice?: ((line: string) => void) | undefined;
  /**
   * Revision of the empty store. Default: the wall clock in microseconds, so that revisions rise over a restart even if
   * nothing was kept. A data directory goes on where it was.
   */
  readonly firstRevision?: bigint;
  /** How long a simple token of authentication lives after its last use. Default: 300,000 ms. */
  readonly authTokenTtlMs?: number;
  /** Signed tokens (JWT) instead of simple ones, with these keys. */
  readonly jwt?: JwtOptions | undefined;
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
  /** Resolves when the server has ended because its data directory cannot be written: nothing is acknowledged then. */
  readonly failed: Promise<Error>;
  /**
   * Ends all calls and connections and frees the port and the data directory. Without one, keys and leases are gone.
   * May be called again.
   */
  close(): Promise<void>;
}

/** How often etcd looks for leases that have run out. */
const TICK_MS = 500;

/**
 * Starts a server.
 *
 * @throws Error when it cannot listen, with the `code` of the cause (EADDRINUSE, EACCES, EADDRNOTAVAIL ...), when the
 *   address needs TLS (`code` is INSECURE_ADDRESS), or when the certificate or the keys of `jwt` (`code` is
 *   INVALID_JWT_KEY) cannot be used.
 * @throws StorageError when the data directory cannot be used: its `code` says why, the message what to do.
 * @throws RangeError for a limit below 1.
 */
export async function startEmbed(options: EmbedOptions = {}): Promise<EmbedServer> {
  const { host = "127.0.0.1", tls, allowInsecure = false } = options;
  const limits = limitsOf(options.limits ?? {});
  if (tls === undefined && !allowInsecure && !isLoopback(host)) {
    const error = new Error(`${host} can be reached from other machines: give it tls, or allowInsecure`);
    throw Object.assign(error, { code: "INSECURE_ADDRESS" });
  }
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => (fail = resolve));
  const dataDir = await openDataDir(options, fail);
  try {
    return await serve(options, limits, dataDir, failed);
  } catch (error) {
    await dataDir?.close();
    throw error;
  }
}

async function openDataDir(
  { dataDir: path, unsafeNoFsync = false, onNotice = () => {} }: EmbedOptions,
  onFailure: (error: Error) => void,
): Promise<DataDir | undefined> {
  return path === undefined ? undefined : await DataDir.open({ path, fsync: !unsafeNoFsync, onNotice, onFailure });
}

async function serve(
  options: EmbedOptions,
  limits: Limits,
  dataDir: DataDir | undefined,
  failed: Promise<Error>,
): Promise<EmbedServer> {
  const { host = "127.0.0.1", port = 0, clock = systemClock, random = systemRandom, firstRevision, tls } = options;
  const clientUrls: string[] = [];
  const server = new EtcdServer({
    clock,
    random,
    clientUrls,
    authTokenTtlMs: options.authTokenTtlMs,
    jwt: options.jwt,
    maxWatchesPerStream: limits.maxWatchesPerStream,
    maxWatches: limits.maxWatches,
    ...(firstRevision === undefined ? {} : { firstRevision }),
    ...(dataDir === undefined ? {} : { identity: dataDir.identity, journal: (record) => dataDir.append(record) }),
  });
  await dataDir?.start(server);
  const grpc = new GrpcServer({ router: routerOf(server), clock, limits, tls, gate: dataDir?.gate });
  const listeningPort = await listen(grpc, host, port);
  const endpoint = endpointOf(tls === undefined ? "http" : "https", host, listeningPort);
  // Only now is the port known, and nobody can have asked yet.
  clientUrls.push(endpoint);
  if (dataDir !== undefined) server.renewLeases();

  const stopTicking = tick(server, clock);
  let closing: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    stopTicking();
    // What was answered up to now goes out, if it can be kept.
    await dataDir?.flush();
    await grpc.close();
    await dataDir?.close();
  };
  const close = (): Promise<void> => (closing ??= end());
  const ended = failed.then(async (error) => {
    await close();
    return error;
  });
  const address = { endpoint, host, port: listeningPort };
  const running: EmbedServer = { ...address, failed: ended, close, [Symbol.asyncDispose]: close };
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
export { StorageError, type StorageErrorCode } from "./storage/storage-error.ts";
export type { JwtOptions } from "./core/auth-jwt.ts";
export type { JwtKeyOptions, JwtMethod } from "./core/auth-jwt-key.ts";

// For tools that tell this server from etcd.
export { MEMBER_NAME } from "./core/cluster.ts";

// For simulations and tests that bring their own time: the same server without a network.
export { EtcdServer, type EtcdServerOptions } from "./core/etcd-server.ts";
export { EtcdServerError } from "./core/errors.ts";
export type { WatchSink, WatchStream } from "./core/watch-stream.ts";

import { type AuthOptions, EtcdClient, type SrvOptions, type TlsOptions } from "@tenure/etcd";
import type { EtcdClientOptions } from "@tenure/etcd";
import { TenureError } from "./errors.ts";
import { Election, type ElectionOptions } from "./election.ts";
import { GuardLink, type LeaseGuard } from "./guard/guard-link.ts";
import { reportGuardLost } from "./guard/guard-lost.ts";
import { GuardedTxn } from "./guarded-txn.ts";
import { electionPrefix } from "./names.ts";
import { ElectionRegistry } from "./registry.ts";
import { Retry, settledWithin } from "./wait.ts";

/** How to reach the store. */
export interface ConnectOptions extends Pick<EtcdClientOptions, "connectTimeoutMs" | "transport" | "clock" | "random"> {
  /** `http://host:port` or `https://host:port`, all of one kind. Default: `http://127.0.0.1:2379`. */
  readonly endpoints?: readonly string[] | undefined;
  /** Where DNS names the endpoints, in place of `endpoints`. */
  readonly discoverySrv?: SrvOptions | undefined;
  /** Whether to use the other members of the cluster's list as well, once each has proven its place. Default: false. */
  readonly discoverMembers?: boolean | undefined;
  /** Put before the name of every election, as it is; usually ends with a slash. Default: none. */
  readonly namespace?: string | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly auth?: AuthOptions | undefined;
  /**
   * Starts a small second process that revokes this client's leases as soon as this process is dead, however it died:
   * others take over within milliseconds instead of a TTL. Children of this process that work for it must die with it,
   * as the guard knows nothing of them; `tenure run` is for those. Default: false. An object takes the place of the
   * guard, for programs that have one of their own.
   */
  readonly guard?: boolean | LeaseGuard | undefined;
}

const READY_TIMEOUT_MS = 5000;
const CLOSE_TIMEOUT_MS = 3000;
const RETRY_BOUNDS = { firstMs: 50, maxMs: 500 };

/** A connection to the store, and what this process does there. Made by {@link connect}. */
export class Client implements AsyncDisposable {
  /** An etcd client for everything that is not about elections. */
  readonly etcd: EtcdClient;
  /** The one for elections: on a connection of its own, where nobody's large reads keep a keep-alive waiting. */
  readonly #electing: EtcdClient;
  readonly #namespace: string;
  readonly #registry: ElectionRegistry;
  /** The guard that ends with this client. */
  readonly #guard: GuardLink | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: ConnectOptions) {
    const { namespace = "", guard = false, ...rest } = options;
    try {
      this.etcd = new EtcdClient(rest);
      this.#electing = new EtcdClient({ ...rest, lineage: this.etcd.lineage });
    } catch (error) {
      throw TenureError.from(error);
    }
    this.#namespace = namespace;
    if (guard === true) this.#guard = ownGuard(options);
    this.#registry = new ElectionRegistry(this.#electing, typeof guard === "boolean" ? this.#guard : guard);
    // It may be closed by itself.
    this.etcd.closed.addEventListener("abort", () => void this.#electing.close(), { once: true });
  }

  /**
   * Waits until the store answers.
   *
   * @param options.timeoutMs default 5000
   * @throws TenureError `unavailable` naming each endpoint and what is wrong with it; `unauthenticated` at once
   */
  async ready(options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {}): Promise<void> {
    const { timeoutMs = READY_TIMEOUT_MS, signal } = options;
    const { clock, random } = this.#electing;
    const deadline = clock.now() + timeoutMs;
    const retry = new Retry(clock, random, RETRY_BOUNDS);
    let lastUnavailable: TenureError | undefined;
    for (;;) {
      try {
        await this.#electing.maintenance.status({
          timeoutMs: Math.max(1, deadline - clock.now()),
          signal,
        });
        return;
      } catch (thrown) {
        const error = TenureError.from(thrown);
        // It answers, and knows who asks: the state of a member is for administrators only.
        if (error.code === "permission-denied") return;
        if (error.code === "unavailable") lastUnavailable = error;
        const over = error.code !== "unavailable" || clock.now() + RETRY_BOUNDS.firstMs >= deadline;
        // The last try was cut short by our own deadline; the one before it knew more.
        if (over) throw unreachable(error.code === "deadline-exceeded" ? (lastUnavailable ?? error) : error);
        await settledWithin(clock, retry.pause(signal), deadline - clock.now());
      }
    }
  }

  /**
   * An election by its name. Nothing is sent yet.
   *
   * @param name not empty, without control characters; the keys are `<namespace><name>/<lease id in hex>`
   * @throws TenureError `invalid-argument`
   */
  election(name: string, options: ElectionOptions = {}): Election {
    const prefix = electionPrefix(name, this.#namespace);
    return new Election(name, prefix, this.#electing, this.#registry, options);
  }

  /**
   * Starts a transaction, for writes guarded by a term: `txn().if(...term.guard()).success(put(...)).commit()`. Its
   * outcome is `not-leader` when the guard did not hold, and the term has ended then.
   */
  txn(): GuardedTxn {
    return new GuardedTxn(this.etcd);
  }

  /**
   * Leaves every election and closes the connections. Idempotent. Waits up to 3 s for keys to be deleted; what could
   * not be deleted by then goes with its lease.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await settledWithin(this.#electing.clock, this.#registry.close(), CLOSE_TIMEOUT_MS);
    await Promise.all([this.#electing.close(), this.etcd.close()]);
    this.#guard?.close();
  }
}

/**
 * Prepares a client. It connects when it is first used. Throws `invalid-argument` for an endpoint that cannot be one,
 * and for a guard whose program is missing, as in a bundle.
 */
export function connect(options: ConnectOptions = {}): Client {
  return new Client(options);
}

function ownGuard({ transport, ...store }: ConnectOptions): GuardLink {
  if (transport !== undefined) {
    throw new TenureError("invalid-argument", "a guard cannot use a transport that lives in this process");
  }
  return new GuardLink({ store, onLost: reportGuardLost });
}

function unreachable(error: TenureError): TenureError {
  if (error.code !== "unavailable" && error.code !== "deadline-exceeded") return error;
  return new TenureError("unavailable", `no endpoint answers: ${error.message}`, { cause: error });
}

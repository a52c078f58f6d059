import { EtcdError } from "./errors.ts";
import type {
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
} from "./gen/rpc_pb.ts";
import type { CallOptions } from "./call-options.ts";
import { MessageQueue } from "./message-queue.ts";
import { call, openStream, type Transport } from "./rpc-transport.ts";
import { StreamControl } from "./stream-control.ts";
import * as methods from "./wire/methods.ts";

/** Leases: keys that live on one go when it is revoked or expires. */
export class LeaseClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Grants a lease.
   *
   * @param ttlSeconds whole seconds; the server may raise it, so use the TTL of the answer
   * @param options.id an id of the caller's choice, which makes a repeated grant recognizable; default: the server's
   */
  async grant(ttlSeconds: bigint, options: { readonly id?: bigint } & CallOptions = {}): Promise<LeaseGrantResponse> {
    const { id = 0n } = options;
    const answer = await call(this.#transport, methods.leaseGrant, { TTL: ttlSeconds, ID: id }, options);
    if (answer.error !== "") throw new EtcdError("failed-precondition", answer.error);
    return answer;
  }

  /** Ends a lease and deletes its keys. Throws `not-found` when there is no such lease. */
  revoke(id: bigint, options: CallOptions = {}): Promise<LeaseRevokeResponse> {
    return call(this.#transport, methods.leaseRevoke, { ID: id }, options);
  }

  /** What is left of a lease; a TTL of -1 when there is none. */
  timeToLive(id: bigint, options: { readonly keys?: boolean } & CallOptions = {}): Promise<LeaseTimeToLiveResponse> {
    const { keys = false } = options;
    return call(this.#transport, methods.leaseTimeToLive, { ID: id, keys }, options);
  }

  list(options: CallOptions = {}): Promise<LeaseLeasesResponse> {
    return call(this.#transport, methods.leaseLeases, {}, options);
  }

  /**
   * Opens a stream of keep-alives. Answers come in the order of the requests; a TTL of 0 or less means that the lease
   * is gone. Abort `signal` to close it; with an EtcdError of code `deadline-exceeded` as reason the connection is
   * given up too if it was silent since the last request.
   */
  keepAlive(signal: AbortSignal): KeepAliveStream {
    const requests = new MessageQueue<{ ID: bigint }>();
    signal.addEventListener("abort", () => requests.end(), { once: true });
    const control = new StreamControl();
    const answers = openStream(this.#transport, methods.leaseKeepAlive, requests, signal, control);
    return { send: (id) => requests.push({ ID: id }), answers, suspect: () => control.suspect() };
  }
}

/** A stream of keep-alives. */
export interface KeepAliveStream {
  /** Asks for one renewal. */
  readonly send: (leaseId: bigint) => void;
  /** Says that an answer is overdue: calls that start now go to another endpoint, or a new connection. */
  readonly suspect: () => void;
  /** To be read by one loop; throws when the stream breaks. */
  readonly answers: AsyncIterable<LeaseKeepAliveResponse>;
}

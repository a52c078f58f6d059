import { type Client, createClient, createContextValues, type Transport } from "@connectrpc/connect";
import { EtcdError } from "./errors.ts";
import {
  Lease,
  type LeaseGrantResponse,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  type LeaseRevokeResponse,
  type LeaseTimeToLiveResponse,
} from "./gen/rpc_pb.ts";
import { type CallOptions, normalized, rpcOptions } from "./call-options.ts";
import { MessageQueue } from "./message-queue.ts";
import { StreamControl, streamControlKey } from "./stream-control.ts";

/** Leases: keys that live on one go when it is revoked or expires. */
export class LeaseClient {
  readonly #rpc: Client<typeof Lease>;

  constructor(transport: Transport) {
    this.#rpc = createClient(Lease, transport);
  }

  /**
   * Grants a lease.
   *
   * @param ttlSeconds whole seconds; the server may raise it, so use the TTL of the answer
   * @param options.id an id of the caller's choice, which makes a repeated grant recognizable; default: the server's
   */
  async grant(ttlSeconds: bigint, options: { readonly id?: bigint } & CallOptions = {}): Promise<LeaseGrantResponse> {
    const { id = 0n } = options;
    const answer = await normalized(this.#rpc.leaseGrant({ TTL: ttlSeconds, ID: id }, rpcOptions(options)));
    if (answer.error !== "") throw new EtcdError("failed-precondition", answer.error);
    return answer;
  }

  /** Ends a lease and deletes its keys. Throws `not-found` when there is no such lease. */
  revoke(id: bigint, options: CallOptions = {}): Promise<LeaseRevokeResponse> {
    return normalized(this.#rpc.leaseRevoke({ ID: id }, rpcOptions(options)));
  }

  /** What is left of a lease; a TTL of -1 when there is none. */
  timeToLive(id: bigint, options: { readonly keys?: boolean } & CallOptions = {}): Promise<LeaseTimeToLiveResponse> {
    const { keys = false } = options;
    return normalized(this.#rpc.leaseTimeToLive({ ID: id, keys }, rpcOptions(options)));
  }

  list(options: CallOptions = {}): Promise<LeaseLeasesResponse> {
    return normalized(this.#rpc.leaseLeases({}, rpcOptions(options)));
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
    const contextValues = createContextValues().set(streamControlKey, control);
    const answers = this.#rpc.leaseKeepAlive(requests, { signal, contextValues });
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

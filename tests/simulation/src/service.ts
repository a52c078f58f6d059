import { EtcdServerError } from "@tenure/embed";
import type {
  LeaseKeepAliveRequest,
  LeaseTimeToLiveRequest,
  RangeRequest,
  TxnRequest,
  WatchRequest,
} from "@tenure/etcd/rpc";
import type { Member } from "./member.ts";
import { type Operation, type Outcome, outcomeOf, tooManyRequests, unavailable } from "./operation.ts";
import { cancel } from "./scheduler.ts";

/** The server's end of a call. */
export interface ServerCall {
  message(request: unknown): void;
  /** There is room again for what the call sends. */
  drain(): void;
  close(): void;
}

/** How the server answers a call. */
export interface Reply {
  /** Returns false when the client does not keep up. */
  send(answer: unknown): boolean;
  end(error?: EtcdServerError): void;
}

/** Milliseconds etcd waits for a commit before it gives up on its answer. */
const REQUEST_TIMEOUT_MS = 7000;

const WRITES: Readonly<Record<string, Operation["t"]>> = {
  Put: "put",
  DeleteRange: "delete",
  Txn: "txn",
  LeaseGrant: "grant",
  LeaseRevoke: "revoke",
  Compact: "compact",
};

/** Serves etcd's API from one member. */
export class Service {
  readonly member: Member;
  /** Until when writes are refused because there are too many. */
  busyUntil = 0;
  /** Streams that are open. */
  streams = 0;

  constructor(member: Member) {
    this.member = member;
  }

  open(method: string, reply: Reply): ServerCall {
    // Whoever asks with `hasleader` is refused when there is none.
    if (this.member.knowsNoLeader) {
      reply.end(unavailable("no leader"));
      return closedCall;
    }
    if (method === "Watch") return this.#watch(reply);
    if (method === "LeaseKeepAlive") return this.#keepAlive(reply);
    return { ...closedCall, message: (request) => this.#unary(method, request, reply) };
  }

  #unary(method: string, request: unknown, client: Reply): void {
    const { server, cluster } = this.member;
    const write = WRITES[method];
    const timeout = cluster.scheduler.after(REQUEST_TIMEOUT_MS, () => client.end(unavailable("request timed out")));
    const end = (error?: EtcdServerError): void => {
      cancel(timeout);
      client.end(error);
    };
    const reply = { send: (answer: unknown) => client.send(answer), end };
    if (write !== undefined && !(method === "Txn" && isReadOnly(request as TxnRequest))) {
      if (cluster.scheduler.now < this.busyUntil) return reply.end(tooManyRequests());
      this.member.propose({ t: write, request } as Operation, (outcome) => finish(reply, outcome));
      return;
    }
    switch (method) {
      case "Txn":
        this.member.read(() =>
          finish(
            reply,
            outcomeOf(() => server.txn(request as TxnRequest)),
          ),
        );
        return;
      case "Range": {
        const range = request as RangeRequest;
        const answer = (): void =>
          finish(
            reply,
            outcomeOf(() => server.range(range)),
          );
        if (range.serializable) answer();
        else this.member.read(answer);
        return;
      }
      case "LeaseTimeToLive":
        this.member.read(() =>
          finish(
            reply,
            outcomeOf(() => this.#timeToLive(request as LeaseTimeToLiveRequest)),
          ),
        );
        return;
      case "LeaseLeases":
        return finish(
          reply,
          outcomeOf(() => server.leaseLeases()),
        );
      case "MemberList":
        return finish(
          reply,
          outcomeOf(() => server.cluster.memberList()),
        );
      case "Status":
        return finish(
          reply,
          outcomeOf(() => server.maintenance.status()),
        );
      default:
        return reply.end(new EtcdServerError(12, `unknown method ${method}`));
    }
  }

  #timeToLive(request: LeaseTimeToLiveRequest): unknown {
    const { leases, scheduler } = this.member.cluster;
    const answer = this.member.server.leaseTimeToLive(request);
    answer.TTL = BigInt(leases.remaining(request.ID, scheduler.now));
    return answer;
  }

  #watch(reply: Reply): ServerCall {
    const { server } = this.member;
    const stream = server.openWatch((response) => reply.send(response));
    return this.#stream(reply, {
      message: (request) => stream.handle(request as WatchRequest),
      drain: () => stream.drain(),
      close: () => server.closeWatch(stream),
    });
  }

  #keepAlive(reply: Reply): ServerCall {
    return this.#stream(reply, {
      ...closedCall,
      message: (request) => {
        const asked = request as LeaseKeepAliveRequest;
        this.member.keepAlive(asked.ID, (ttlSeconds) => {
          // The replica counts no time; what the leader says replaces what it would.
          const answer = this.member.server.leaseKeepAlive(asked);
          answer.TTL = BigInt(ttlSeconds);
          reply.send(answer);
        });
      },
    });
  }

  /** A stream ends when the member has had no leader for a while. */
  #stream(reply: Reply, call: ServerCall): ServerCall {
    this.streams++;
    const { onNoLeader } = this.member;
    const end = (): void => reply.end(unavailable("no leader"));
    onNoLeader.add(end);
    const close = (): void => {
      if (!onNoLeader.delete(end)) return;
      this.streams--;
      call.close();
    };
    return { ...call, close };
  }
}

const closedCall: ServerCall = {
  message: () => undefined,
  drain: () => undefined,
  close: () => undefined,
};

function finish(reply: Reply, outcome: Outcome): void {
  if (outcome.t === "refused") return reply.end(outcome.error);
  reply.send(outcome.answer);
  reply.end();
}

function isReadOnly({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(({ request }) => request.case === "requestRange");
}

import { CallScope } from "./call-scope.ts";
import type { Connection } from "./connection.ts";
import { EtcdError } from "./errors.ts";
import { publishRpc } from "./events.ts";
import { requestHeaders, startCall } from "./grpc-request.ts";
import type { Http2Session } from "./http2/http2.ts";
import type { Clock } from "./runtime/clock.ts";
import { FILTERS } from "./watch-message.ts";
import * as methods from "./wire/methods.ts";

/** Which member of which cluster it is that answers; an id is 0 where that is not told (etcd's gRPC proxy). */
export interface MemberIdentity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

/** The smallest key, and no event of it. */
const WATCH_OF_NOTHING = methods.watch.input.encode({
  requestUnion: {
    case: "createRequest",
    value: { key: Uint8Array.of(0), filters: [FILTERS.put, FILTERS.delete] },
  },
});

/**
 * Asks who answers on a session.
 *
 * It begins a watch of nothing and ends it with the first answer: that has a header, and etcd gives it to everybody,
 * without a token or a permission, as what says that the watch is refused. A member's state, which would be the plain
 * thing to ask for, is for administrators only since etcd 3.5.28. A member that only learns refuses.
 *
 * @throws EtcdError
 */
export function askIdentity(
  connection: Connection,
  session: Http2Session,
  clock: Clock,
  timeoutMs: number,
): Promise<MemberIdentity> {
  const method = methods.watch;
  return new Promise((resolve, reject) => {
    // Who it is does not depend on whether it sees a leader.
    const headers = requestHeaders(connection, method, { hasleader: "false" }, undefined);
    const call = startCall(session, headers, {
      onMessage: (message) => {
        try {
          const { clusterId = 0n, memberId = 0n } = method.output.decode(message).header ?? {};
          resolve({ clusterId, memberId });
        } catch (error) {
          reject(EtcdError.from(error));
        }
        call.cancel(new EtcdError("aborted", "it has answered"));
      },
      onEnd: (error) => {
        scope.close();
        reject(error ?? new EtcdError("internal", "the answer holds no message"));
      },
    });
    const scope = new CallScope(clock, undefined, clock.monotonic() + timeoutMs);
    scope.onEnd((error) => call.cancel(error));
    publishRpc(method, connection.endpoint.url);
    call.send(WATCH_OF_NOTHING, false);
  });
}

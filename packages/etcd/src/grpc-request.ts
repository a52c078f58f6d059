import type * as http2 from "node:http2";
import { Call, type CallListener } from "./call.ts";
import type { Connection, OpenSession } from "./connection.ts";
import { EtcdError } from "./errors.ts";
import { formatGrpcTimeout } from "./rpc/timeout.ts";
import type { CallHeaders } from "./rpc-transport.ts";
import type { AnyMethod } from "./wire/methods.ts";

/** Answers may be large: a range of a whole prefix, a watch event that was not fragmented. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

/** Begins a call on a session; throws `unavailable` when that is over. */
export function startCall(session: OpenSession, headers: http2.OutgoingHttpHeaders, listener: CallListener): Call {
  try {
    return new Call(session.http2, headers, MAX_MESSAGE_BYTES, listener);
  } catch (error) {
    // The session closed between our look at it and its use: nothing was sent.
    throw new EtcdError("unavailable", "the connection was lost", {
      cause: error,
      mayHaveApplied: false,
    });
  }
}

/** The headers of a request to the endpoint of a connection. */
export function requestHeaders(
  connection: Connection,
  method: AnyMethod,
  headers: CallHeaders | undefined,
  timeoutMs: number | undefined,
): http2.OutgoingHttpHeaders {
  const { host, port, secure } = connection.endpoint;
  const all: http2.OutgoingHttpHeaders = {
    ":method": "POST",
    ":scheme": secure ? "https" : "http",
    ":authority": `${host.includes(":") ? `[${host}]` : host}:${port}`,
    ":path": `/${method.parent.typeName}/${method.name}`,
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "tenure",
    // A member that sees no leader refuses at once instead of letting us wait.
    hasleader: "true",
  };
  if (timeoutMs !== undefined) all["grpc-timeout"] = formatGrpcTimeout(timeoutMs);
  return headers === undefined ? all : Object.assign(all, headers);
}

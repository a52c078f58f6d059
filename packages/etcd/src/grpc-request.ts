import { Call, type CallListener } from "./call.ts";
import type { Connection } from "./connection.ts";
import { EtcdError } from "./errors.ts";
import type { HeaderField } from "./http2/hpack-encoder.ts";
import type { Http2Session } from "./http2/http2.ts";
import { formatGrpcTimeout } from "./rpc/timeout.ts";
import type { CallHeaders } from "./rpc-transport.ts";
import type { AnyMethod } from "./wire/methods.ts";

/** Answers may be large: a range of a whole prefix, a watch event that was not fragmented. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

/** Begins a call on a session; throws `unavailable` when that is over. */
export function startCall(session: Http2Session, headers: readonly HeaderField[], listener: CallListener): Call {
  try {
    return new Call(session, headers, MAX_MESSAGE_BYTES, listener);
  } catch (error) {
    // The session closed between our look at it and its use: nothing was sent.
    throw new EtcdError("unavailable", "the connection was lost", {
      cause: error,
      mayHaveApplied: false,
    });
  }
}

/** What gRPC allows in the value of a header: anything else could arrive as another value, or as another header. */
const HEADER_VALUE = /^[\x20-\x7e]*$/;

/** What does not change from one call of a method to the next on a connection: made once, as strings cost to make. */
const usual = new WeakMap<Connection, Map<AnyMethod, readonly HeaderField[]>>();

/** The headers of a request to the endpoint of a connection. Throws `invalid-argument` for one that cannot be sent. */
export function requestHeaders(
  connection: Connection,
  method: AnyMethod,
  headers: CallHeaders | undefined,
  timeoutMs: number | undefined,
): readonly HeaderField[] {
  const all = Array.from(usualHeaders(connection, method));
  // A member that sees no leader refuses at once instead of letting us wait.
  if (headers?.["hasleader"] === undefined) all.push(["hasleader", "true"]);
  if (timeoutMs !== undefined) all.push(["grpc-timeout", formatGrpcTimeout(timeoutMs)]);
  if (headers !== undefined) for (const field of Object.entries(headers)) all.push(sendable(field));
  return all;
}

/** @returns the same; the error does not show the value, which may be a token */
function sendable(field: HeaderField): HeaderField {
  const [name, value] = field;
  if (HEADER_VALUE.test(value)) return field;
  throw new EtcdError("invalid-argument", `the value of the header "${name}" has characters that cannot be sent`);
}

function usualHeaders(connection: Connection, method: AnyMethod): readonly HeaderField[] {
  const ofConnection = usual.get(connection) ?? new Map<AnyMethod, readonly HeaderField[]>();
  usual.set(connection, ofConnection);
  let headers = ofConnection.get(method);
  if (headers === undefined) {
    const { host, port, secure } = connection.endpoint;
    headers = [
      [":method", "POST"],
      [":scheme", secure ? "https" : "http"],
      [":authority", `${host.includes(":") ? `[${host}]` : host}:${port}`],
      [":path", `/${method.parent.typeName}/${method.name}`],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ["user-agent", "tenure"],
    ];
    ofConnection.set(method, headers);
  }
  return headers;
}

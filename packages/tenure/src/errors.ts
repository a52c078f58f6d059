import { EtcdError } from "@tenure/etcd";

/** Everything that can go wrong, as a closed set. */
export type TenureErrorCode =
  /** The caller's signal aborted the wait. */
  | "aborted"
  /** The store cannot be reached, or has no leader of its own. */
  | "unavailable"
  | "deadline-exceeded"
  /** This term has been resigned, or never was. */
  | "not-leader"
  /** The term ended without being resigned: its lease can no longer be proven, or its key is gone. */
  | "leadership-lost"
  /** The lease a call depended on is gone. */
  | "session-ended"
  | "invalid-argument"
  | "unauthenticated"
  | "permission-denied"
  | "compacted"
  /** A quota, a size limit or a rate limit of the store. */
  | "resource-exhausted"
  /** The store is another one than before, or was set back. */
  | "cluster-changed"
  /** A key under the election's prefix belongs to something else. */
  | "nested-election"
  | "unimplemented"
  | "internal";

/** Why the lease under a term or a candidacy ended. */
export type SessionEnd =
  /** It could not be proven in time. */
  | "expired"
  /** The server knows it no more, although it was kept alive: somebody revoked it. */
  | "revoked"
  /** It was given back, or given up. */
  | "closed"
  /** The data behind the endpoints is not what it was: another cluster, or one that was set back. */
  | "cluster-changed"
  /** The store does not let us keep it alive any more. */
  | "auth";

/** The one error class of this package. */
export class TenureError extends Error {
  override readonly name: string = "TenureError";
  /** One of a closed set, for programs; the message is for people. */
  readonly code: TenureErrorCode;
  /** Where the end of a lease is the reason: what ended it. */
  readonly sessionEnd: SessionEnd | undefined;

  constructor(
    code: TenureErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly sessionEnd?: SessionEnd | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.sessionEnd = options.sessionEnd;
  }

  /** Makes a TenureError of anything thrown. */
  static from(thrown: unknown): TenureError {
    if (thrown instanceof TenureError) return thrown;
    const error = EtcdError.from(thrown);
    return new TenureError(codeOf(error), error.message, { cause: thrown });
  }
}

function codeOf(error: EtcdError): TenureErrorCode {
  switch (error.code) {
    case "not-found":
      return error.message.includes("lease") ? "session-ended" : "invalid-argument";
    case "failed-precondition":
      return "invalid-argument";
    default:
      return error.code;
  }
}

/** Errors that another attempt cannot mend: they are told to the caller instead of being waited out. */
export function isFatal(error: TenureError): boolean {
  switch (error.code) {
    case "invalid-argument":
    case "unauthenticated":
    case "permission-denied":
    case "nested-election":
    case "resource-exhausted":
    case "unimplemented":
      return true;
    case "aborted":
    case "unavailable":
    case "deadline-exceeded":
    case "not-leader":
    case "leadership-lost":
    case "session-ended":
    case "compacted":
    case "cluster-changed":
    case "internal":
      return false;
  }
}

/** Says what a missing permission is about, and how to grant it. Other errors are returned as they are. */
export function withPermissionHelp(error: TenureError, prefix: string, user: string | undefined): TenureError {
  if (error.code !== "permission-denied" || !error.message.includes("etcdserver: permission denied")) return error;
  const who = user === undefined ? "this client" : `user "${user}"`;
  const message =
    `${who} has no permission for the keys under "${prefix}"; ` +
    `grant it: etcdctl role grant-permission ROLE readwrite --prefix "${prefix}"`;
  return new TenureError("permission-denied", message, { cause: error });
}

/** The error for a wait that its caller aborted. */
export function abortedError(signal: AbortSignal): TenureError {
  return new TenureError("aborted", "aborted by the caller", { cause: signal.reason });
}

/** A text in quotes, for a message: nothing in it speaks to the reader's terminal. */
export function quoted(text: string): string {
  // JSON leaves the control characters above ASCII as they are.
  return JSON.stringify(text).replaceAll(/[\u007f-\u009f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}
